/** The axes of a time chart: lanes above each other with their levels, and the time below. */

import { timeTicks } from "./scale.js";

const CORNER_PX = 26; // bottom left: the button for the table

/** Room above and below the values, px, where there are several lanes: their labels must not touch. */
const gapOf = (plot, lanes) => (lanes.length > 1 ? 0.75 * plot.size : 0);

/** Room left of the levels for the lanes' names, px. */
export const namesWidth = (plot, lanes) => Math.max(0, ...lanes.map(({ label, named }) => (label && !named ? plot.measure(label) + 6 : 0)));

/** y of a value in a lane, px; lanes share the plot evenly. */
export function laneY(plot, lanes, lane, value) {
  const { box } = plot;
  const gap = gapOf(plot, lanes);
  const each = box.height / lanes.length;
  const { lo, hi } = lanes[lane].y;
  if (!Number.isFinite(lo)) return box.top + (lane + 0.5) * each;
  return box.top + lane * each + gap + (each - 2 * gap) * (1 - (value - lo) / (hi - lo));
}

/** Levels of all lanes: [lane, value, label]; as many as there is room for. */
export function levels(plot, lanes) {
  const found = [];
  lanes.forEach(({ y, text, label, named }, lane) => {
    if (named) found.push([lane, 0, label]);
    if (named || !Number.isFinite(y.lo)) return;
    const room = Math.max(1, Math.floor((plot.box.height / lanes.length - 2 * gapOf(plot, lanes)) / (1.1 * plot.size)));
    const all = Math.round((y.hi - y.lo) / y.step);
    const skip = [1, 2, 5, 10].find((n) => all / n <= room) ?? 10;
    const some = y.ticks(skip);
    const enough = some.length > 1;
    for (const v of enough ? some : [y.lo, y.hi]) found.push([lane, v, text(v, enough ? y.step * skip : y.step)]);
  });
  return found;
}

/** Grid, labels, zero lines and targets. `marks`: of `levels`; view: {from_s, to_s, date: of its end, or ""}; offset_s: the rig's zone. */
export function drawAxes(plot, lanes, marks, view, offset_s, token) {
  const { box } = plot;
  const [grid, text2] = [token("grid"), token("text2")];
  const right = box.left + box.width;
  const bottom = box.top + box.height;
  plot.font();
  const per_s = box.width / (view.to_s - view.from_s);
  const widest = plot.measure(view.to_s - view.from_s < 300 ? "00:00:00" : "00:00") + 18;
  let dated = view.date ?? ""; // said once, by the first time of day
  let free_x = CORNER_PX;
  for (const [t_s, time] of timeTicks(view.from_s, view.to_s, box.width / widest, offset_s)) {
    const x = box.left + (t_s - view.from_s) * per_s;
    plot.rule(x, box.top, x, bottom, grid);
    // A label that would be cut off is left out, its grid line stays.
    const label = dated && time.includes(":") ? `${dated} ${time}` : time;
    const half = plot.measure(label) / 2;
    if (x + half > plot.width || x - half <= free_x) continue;
    plot.text(label, x, bottom + 6, text2, "center", "top");
    [dated, free_x] = ["", x + half + 4];
  }
  for (const [lane, value, label] of marks) {
    const y = laneY(plot, lanes, lane, value);
    if (!lanes[lane].named) plot.rule(box.left, y, right, y, grid);
    plot.font(lanes[lane].named ? 600 : 400);
    plot.text(label, box.left - 7, y, token(lanes[lane].named ? "text" : "text2"), "right");
  }
  lanes.forEach(({ y, target, label, named }, lane) => {
    const top = box.top + (lane * box.height) / lanes.length;
    if (lane) plot.rule(0, top, right, top, token("line"));
    // A lane that has a name for its level is zero in the middle: a strong line there would look like data.
    if (y.lo <= 0 && y.hi >= 0) plot.rule(box.left, laneY(plot, lanes, lane, 0), right, laneY(plot, lanes, lane, 0), named ? grid : token("edge"));
    const aim = target?.();
    if (aim >= y.lo && aim <= y.hi) plot.rule(box.left, laneY(plot, lanes, lane, aim), right, laneY(plot, lanes, lane, aim), text2, [4, 3]);
    if (!label || named) return;
    plot.font(600);
    plot.text(label, 0, top + box.height / lanes.length / 2, token("text"));
  });
}
