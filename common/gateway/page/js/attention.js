/** The band under the bar: what is not normal, at most three lines, worst first. */

import { byId, h, keyed, setAttr, setHidden, setText } from "./dom.js";
import { moment, roughly } from "./format.js";
import { createHold } from "./health.js";
import { icon, setIcon } from "./icons.js";

const MOST = 3;
const SKIPPED_S = 10; // a note about skipped frames goes by itself

const sentence = (text) => (/[.!?…]$/.test(text) ? text : `${text}.`);

export function createAttention({ link, state, token }) {
  const hold = createHold();
  const list = byId("attention-lines");
  const more = byId("attention-more");
  let everything = false;
  let alarms = [];
  let skipped = { frames: 0, until: 0 };
  let page = null;
  let newPage = false;

  more.addEventListener("click", () => {
    everything = !everything;
    render();
  });
  link.on("dropped", ({ frames }) => {
    const now = performance.now();
    skipped = { frames: (now < skipped.until ? skipped.frames : 0) + frames, until: now + SKIPPED_S * 1000 };
  });
  link.on("hello", (hello) => {
    page ??= hello.page;
    newPage = hello.page !== page;
  });

  function linkLine() {
    if (link.state === "live" || token.wanted) return [];
    const next = Math.ceil(link.nextTry_s());
    const trying = next > 0 ? `Try ${link.tries + 1} to reconnect in ${next} s.` : "Reconnecting now.";
    const seen = state.heard_s();
    const what = link.state === "down" ? "No connection to the rig yet." : `No data for ${roughly(link.age())}.`;
    const from = seen === null ? "" : `What you see is from ${moment(seen, state.now(), state.zone_s())}. `;
    return [{ id: "link", state: "stale", what, detail: `${from}${trying} Acquisition does not depend on this page.`, button: ["Try now", link.tryNow] }];
  }

  function notes() {
    const out = [];
    if (performance.now() < skipped.until)
      out.push({ id: "skipped", state: "note", what: "", detail: `This view skipped ${skipped.frames} frames, the record has them.` });
    if (newPage) out.push({ id: "page", state: "note", what: "", detail: "The rig has another version of this page.", button: ["Reload for the new page", () => location.reload()] });
    return out;
  }

  function make(line) {
    const [label, act] = line.button ?? [];
    return h("li", {}, icon("normal"), h("p", {}, h("b"), " ", h("span")), h("span", { class: "since" }), label && h("button", { type: "button", class: "quiet", onclick: act }, label));
  }

  function update(node, line) {
    setAttr(node, "data-state", line.state);
    setIcon(node.querySelector(".icon"), line.state === "note" ? "normal" : line.state);
    setText(node.querySelector("b"), line.what && sentence(line.what));
    setText(node.querySelector("p span"), [line.detail, line.do].filter(Boolean).map(sentence).join(" "));
    setText(node.querySelector(".since"), line.since_t ? `since ${moment(line.since_t / 1e9, state.now(), state.zone_s())}` : "");
  }

  function render() {
    // while the rig is silent its alarms are neither new nor gone
    if (link.state === "live") alarms = hold(state.get("attention") ?? [], state.now());
    // the latch has a band of its own
    const lines = [...linkLine(), ...alarms.filter((alarm) => alarm.state !== "latched"), ...notes()];
    const shown = everything ? lines : lines.slice(0, MOST);
    keyed(list, shown, (line) => line.id, make, update);
    setHidden(more, lines.length <= MOST);
    setText(more, everything ? "Show less" : `${lines.length - MOST} more`);
    setAttr(more, "aria-expanded", everything);
  }

  return { render, alarms: () => alarms };
}
