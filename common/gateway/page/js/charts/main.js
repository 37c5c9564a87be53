/** Puts the charts into their panels and feeds them with what is live. */

import { setText } from "../dom.js";
import { condition, HELD } from "../health.js";
import { sentence, tableButton } from "./describe.js";
import { Ledger } from "./ledger.js";
import { Loop } from "./loop.js";
import { Power } from "./power.js";
import { Thermostat, thermostatKey } from "./thermostat.js";
import { Vibration } from "./vibration.js";

/** panel, section of the status, what builds it, when it has to be built anew. */
const PANELS = [
  ["power", "pulse", Power, (s) => s.channels.map((c) => c.name).join()],
  ["vibration", "vibration", Vibration, (s) => s.sensors.slice(0, 1).map((v) => `${v.name} ${v.axes}`).join()],
  ["thermostat", "thermostat", Thermostat, thermostatKey],
];
const SAY_MS = 5000;

/** Where less is drawn than should be, `data-drawing` of the body is "reduced". */
export function mountCharts({ link, state, range, cursor, theme }) {
  const shown = new Map(); // panel → {key, view}
  const page = { link, state, range, cursor, theme, loop: new Loop(tick), ledger: new Ledger({ link, state, range }) };

  function build([name, section, Kind, keyOf]) {
    const told = state.get(section);
    const key = told ? keyOf(told) : "";
    const old = shown.get(name);
    if (old?.key === key) return;
    const body = document.querySelector(`[data-panel=${name}] .body`);
    old?.view.close();
    body.replaceChildren();
    shown.delete(name);
    if (key) {
      const view = new Kind(page, body, () => silentSince(name));
      tableButton(body, view.chart, () => view.lines?.() ?? []);
      shown.set(name, { key, view });
    }
    const views = [...shown.values()].map((each) => each.view);
    link.subscribe("charts", ["loss/", ...views.flatMap((view) => view.topics)], Math.max(0, ...views.map((view) => view.samples_hz ?? 0)));
  }

  /** Since when a part says nothing, and in a word why, if it was told so: {since_s, word}; null: it says something. */
  function silentSince(name) {
    const { state: is, age_s, why } = condition(name, state, link);
    return is === "stale" && age_s !== null ? { since_s: state.now() - age_s, word: HELD.includes(why) ? why : "" } : null;
  }

  function tick() {
    for (const { view } of shown.values()) view.chart.tick();
  }

  function render() {
    for (const { view } of shown.values()) view.render();
  }

  for (const panel of PANELS) state.on(panel[1], () => build(panel));
  PANELS.forEach(build);
  link.on("frames", ({ frames }) => {
    for (const [topic, frame] of frames) for (const { view } of shown.values()) if (view.topics.some((t) => topic.startsWith(t))) view.take(topic, frame);
  });
  state.on("tick", render);
  setInterval(() => {
    if (document.hidden) return;
    for (const { view } of shown.values()) setText(view.chart.sentence, sentence(view.chart, view.lines?.() ?? []));
    document.body.dataset.drawing = page.loop.reduced ? "reduced" : "";
  }, SAY_MS);
}
