/** The time ruler: logarithmic from 10 years (left) to 10 seconds, now at the right end. Its thumb is where the view begins. */

import { byId, h, setAttr, setText } from "./dom.js";
import { moment, spoken } from "./format.js";
import { SPAN_MAX_S, SPAN_MIN_S } from "./range.js";

export const LABELS = [
  ["10 y", SPAN_MAX_S], ["1 y", 31_557_600], ["1 mo", 2_629_800], ["1 wk", 604_800], ["1 d", 86_400],
  ["1 h", 3600], ["10 min", 600], ["1 min", 60], ["10 s", SPAN_MIN_S],
]; // prettier-ignore
const TEN_S_AT = 0.93; // the rest of the track is from 10 s to now
const SNAP = 0.012;
const DECADES = Math.log10(SPAN_MAX_S / SPAN_MIN_S);

/** Where on the track (0 to 1) something of that age lies. */
export function place(age_s) {
  if (age_s <= SPAN_MIN_S) return 1 - (1 - TEN_S_AT) * (Math.max(0, age_s) / SPAN_MIN_S);
  return Math.max(0, TEN_S_AT * (1 - Math.log10(age_s / SPAN_MIN_S) / DECADES));
}

/** The age at a place of the track, snapped to the labels, else of two digits. */
export function ageAt(where) {
  const near = LABELS.find(([, span]) => Math.abs(place(span) - where) < SNAP);
  if (near) return near[1];
  const age = SPAN_MIN_S * 10 ** (DECADES * (1 - Math.min(1, Math.max(0, where / TEN_S_AT))));
  return Math.min(SPAN_MAX_S, Number(age.toPrecision(2)));
}

export function createRuler({ state, range }) {
  const slider = byId("ruler");
  const [fill, thumb] = [slider.querySelector(".fill"), slider.querySelector(".thumb")];
  const labels = LABELS.map(([text, span_s]) => {
    const button = h("button", { type: "button", tabindex: "-1", "aria-label": `${text}: the last ${spoken(span_s)}`, onclick: () => range.set({ span_s }, { push: true }) }, text);
    button.style.left = `${place(span_s) * 100}%`;
    return button;
  });
  const now = h("button", { type: "button", tabindex: "-1", "aria-label": "now: follow it", onclick: range.live }, "now");
  now.style.left = "100%";
  byId("ruler-labels").append(...labels, now);

  let dragging = null; // {pushed}

  /** Sets where the view begins; of a view in the past the end stays. */
  function begin(age_s, options) {
    const { live, to_s } = range.get();
    if (live) range.set({ span_s: age_s }, options);
    else range.set({ from_s: Math.min(state.now() - age_s, to_s - SPAN_MIN_S), to_s }, options);
  }

  function drag(event) {
    const box = slider.getBoundingClientRect();
    const age_s = ageAt((event.clientX - box.left) / box.width);
    // the first change is a step of its own, so that Back leads to where the drag began
    begin(age_s, { push: !dragging.pushed });
    dragging.pushed = true;
  }

  slider.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    slider.setPointerCapture(event.pointerId);
    dragging = { pushed: false };
    drag(event);
  });
  slider.addEventListener("pointermove", (event) => dragging && drag(event));
  for (const end of ["pointerup", "pointercancel"]) slider.addEventListener(end, () => (dragging = null));

  /** One label further: −1 towards years. */
  function step(by) {
    const { from_s, span_s, live } = range.get();
    const age_s = live ? span_s : state.now() - from_s;
    const spans = LABELS.map(([, span]) => span);
    const next = by < 0 ? spans.findLast((span) => span > age_s * 1.001) : spans.find((span) => span < age_s * 0.999);
    if (next) begin(next, { push: true });
  }

  slider.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const act = {
      ArrowLeft: () => step(-1), ArrowDown: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => step(1),
      PageDown: () => range.zoom(2), PageUp: () => range.zoom(0.5),
      Home: () => begin(SPAN_MAX_S, { push: true }), End: () => begin(SPAN_MIN_S, { push: true }),
    }[event.key]; // prettier-ignore
    if (!act) return;
    event.preventDefault();
    act();
  });

  function render() {
    const { live, span_s, from_s, to_s } = range.get();
    const now_s = state.now();
    const from = place(live ? span_s : now_s - from_s);
    const to = live ? 1 : place(now_s - to_s);
    const set = (node, property, value) => node.style[property] !== value && (node.style[property] = value);
    set(thumb, "left", `${(from * 100).toFixed(2)}%`);
    set(fill, "left", `${(from * 100).toFixed(2)}%`);
    set(fill, "right", `${((1 - to) * 100).toFixed(2)}%`);
    const zone = state.zone_s();
    const text = live ? `last ${spoken(span_s)}` : `${moment(from_s, now_s, zone)} to ${moment(to_s, now_s, zone)}, ${spoken(span_s)}`;
    setAttr(slider, "aria-valuetext", text);
    setAttr(slider, "aria-valuenow", Math.round(from * 1000));
    setAttr(slider, "data-past", live ? null : "");
    LABELS.forEach(([, span], at) => setAttr(labels[at], "aria-pressed", live && Math.abs(span - span_s) < span * 0.001));
  }

  range.on(render);
  return { render, choose: (at) => labels[at]?.click() };
}
