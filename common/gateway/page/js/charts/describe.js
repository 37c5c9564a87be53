/** What a chart shows, in words: a sentence for those who do not see it, and a table. */

import { h } from "../dom.js";
import { clock, moment } from "../format.js";
import { causeWords } from "../causes.js";
import { countWords } from "./losses.js";

const ROWS = 30;

/** Latest, lowest and highest of each series, and the losses; lines: of the spectrum, [name, amplitude]. */
export function sentence(chart, lines) {
  const { view, series, picture: { columns }, losses, page: { state } } = chart;
  if (!view || !columns) return "";
  const time = (t_s) => moment(t_s, state.now(), state.zone_s());
  const parts = series.map(({ label, say }, s) => {
    const found = columns.extremes([s], columns.column(view.from_s), columns.column(view.to_s));
    if (!found) return `${label}: no values`;
    const i = columns.at(columns.filled(s, columns.column(view.to_s)));
    return `${label}: latest ${say(columns.lo[s][i], columns.hi[s][i])}, lowest and highest ${say(...found)}`;
  });
  const lost = losses.slice(-5).map((l) => `${countWords(l.count, l.unit)}, ${causeWords(l.cause)}, ${time(l.from_s)}`);
  const told = losses.length ? ` ${losses.length} losses: ${lost.join("; ")}.` : " No losses.";
  const spectrum = lines.length ? ` Strongest in the spectrum: ${lines.map((line) => line.join(", ")).join("; ")}.` : "";
  return `${time(view.from_s)} to ${time(view.to_s)}. ${parts.join(". ")}.${told}${spectrum}`;
}

/** A button that shows the panel's chart as a table and back; more(): further rows of [name, value]. */
export function tableButton(body, chart, more = () => []) {
  const words = "Show as table";
  const box = h("div", { class: "chart-table", hidden: true, tabindex: 0, role: "region", "aria-label": `${chart.spec.name}, table` });
  const button = h("button", { type: "button", class: "as-table", title: words, "aria-label": words, "aria-expanded": "false", onclick: toggle });
  button.innerHTML =
    '<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d="M1.8 2.8h12.4v10.4H1.8zM1.8 6.3h12.4M1.8 9.7h12.4M6 2.8v10.4" fill="none" stroke="currentColor" stroke-width="1.4"/></svg>';
  chart.el.append(button);
  body.append(box);

  function toggle() {
    box.hidden = !box.hidden;
    button.setAttribute("aria-expanded", String(!box.hidden));
    body.toggleAttribute("data-table", !box.hidden);
    if (!box.hidden) box.replaceChildren(...content(chart, more()));
  }
}

function content(chart, more) {
  const { view, series, picture: { columns }, losses, page: { state } } = chart;
  if (!columns) return [h("p", {}, "No data.")];
  const time = (t_s) => (Math.abs(state.now() - t_s) < 86400 ? clock(t_s, state.zone_s()) : moment(t_s, state.now(), state.zone_s()));
  const cells = (list, tag = "td") => list.map((text) => h(tag, {}, text));
  const rows = Array.from({ length: ROWS }, (_, r) => {
    const [a, b] = [r, r + 1].map((i) => columns.column(view.from_s + ((view.to_s - view.from_s) * i) / ROWS));
    const values = series.map(({ say }, s) => {
      const found = columns.extremes([s], a, b - 1);
      return found ? say(...found) : "–";
    });
    return h("tr", {}, h("th", { scope: "row" }, time(a * columns.step_s)), ...cells(values));
  });
  const lost = losses.map((l) => h("tr", {}, h("th", { scope: "row" }, time(l.from_s)), ...cells([countWords(l.count, l.unit), causeWords(l.cause)])));
  return [
    h("table", {}, h("thead", {}, h("tr", {}, ...cells(["From", ...series.map((s) => s.label)], "th"))), h("tbody", {}, ...rows)),
    ...(lost.length ? [h("table", {}, h("caption", {}, "Losses"), h("tbody", {}, ...lost))] : []),
    ...(more.length ? [h("table", {}, h("tbody", {}, ...more.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)))))] : []),
  ];
}
