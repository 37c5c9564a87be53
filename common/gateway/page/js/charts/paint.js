/** Draws one series of columns: its band from lowest to highest, and its line. Nothing crosses a gap. */

const SPARSE_PX = 6; // values farther apart have points
const rects = { area: [], band: [], dots: [], lonely: [] }; // x, y, width, height of each; reused

/** series: hold (steps), band ("solid": that is the picture; else pale), fill (to zero), bound(): what a step has since
 * its last value at most. x(t_s), y(v): px. lost: 1 for each column (by place) in which a loss lies; hide: nothing is drawn there. */
export function drawSeries(ctx, { columns, s, view, x, y, limit_s, lost, hide, series, colour, end_s }) {
  for (const kind of Object.values(rects)) kind.length = 0;
  const line = new Path2D();
  const span = {
    first: Math.max(columns.first, columns.column(view.from_s) - 1),
    last: Math.min(columns.last, columns.column(Math.min(view.to_s, end_s))),
  };
  const edge = (k) => x(k * columns.step_s);
  let apart = 0;
  if (series.hold) steps(line, span, { columns, s, edge, y, lost, hide, bound: series.bound?.(), end_x: x(Math.min(view.to_s, end_s)) });
  else apart = values(line, span, { columns, s, edge, y, lost, hide, limit_s, solid: series.band === "solid" });

  const alpha = ctx.globalAlpha;
  ctx.fillStyle = ctx.strokeStyle = colour;
  const fill = (list, share) => {
    ctx.globalAlpha = share * alpha;
    for (let i = 0; i < list.length; i += 4) ctx.fillRect(list[i], list[i + 1], list[i + 2], list[i + 3]);
  };
  if (series.fill) fill(rects.area, 0.12);
  fill(rects.band, series.band === "solid" ? 0.85 : 0.3);
  fill(rects.lonely, 1);
  if (apart > SPARSE_PX) fill(rects.dots, 1);
  ctx.lineWidth = 1.5;
  ctx.lineJoin = "bevel"; // the cheapest, by far
  ctx.stroke(line);
}

/** Bars on whole pixels: filled one by one they cost a twentieth of one path with all of them. */
function bar(list, left, right, top, bottom) {
  const x = Math.round(left);
  list.push(x, top, Math.max(1, Math.round(right) - x), bottom - top);
}

/** Lines through the columns' means; a column with several values has a band. Returns how far they are apart, px. */
function values(line, { first, last }, { columns, s, edge, y, lost, hide, limit_s, solid }) {
  let before = -1; // the filled column before
  let lower = 0;
  let upper = 0;
  let point = [0, 0];
  let alone = false; // the point before has no line to the one before it
  let lines = 0;
  let apart = 0;
  const dot = (list, [px, py]) => list.push(px - 1.5, py - 1.5, 3, 3);
  for (let k = first; k <= last; k++) {
    const i = columns.at(k);
    if (!columns.n[s][i] || (hide && lost[i])) continue;
    const [left, right] = [edge(k), edge(k + 1)];
    const [lo, hi, mean] = [y(columns.lo[s][i]), y(columns.hi[s][i]), y(columns.mean[s][i])];
    const middle = (left + right) / 2;
    let broken = before < 0 || columns.broken(before, k, limit_s);
    for (let j = before + 1; j < k && !broken; j++) broken = lost[columns.at(j)] === 1;
    if (solid) {
      // Neighbours touch, as the line through the samples would.
      const joined = !broken && k === before + 1;
      const [a, b] = joined ? [Math.min(hi, lower), Math.max(lo, upper)] : [hi, lo];
      bar(rects.band, left, right, a - 0.5, b + 0.5);
    } else if (lo - hi > 1) bar(rects.band, left, right, hi, lo);
    if (broken || (solid && k === before + 1)) line.moveTo(middle, mean);
    else line.lineTo(middle, mean);
    if (alone && broken) dot(rects.lonely, point);
    if (!broken) {
      apart += middle - point[0];
      lines++;
    }
    alone = broken;
    point = [middle, mean];
    dot(rects.dots, point);
    [upper, lower, before] = [hi, lo, k];
  }
  if (alone) dot(rects.lonely, point);
  return apart / (lines || 1);
}

/** Steps: a value holds until the next, but not through a loss. */
function steps(line, { first, last }, { columns, s, edge, y, lost, hide, bound, end_x }) {
  const zero = y(0);
  const earlier = columns.filled(s, first - 1);
  let height = earlier < 0 ? null : y(columns.mean[s][columns.at(earlier)]);
  let from_x = edge(first);
  let next = null; // the value after a loss
  if (height !== null) line.moveTo(from_x, height);
  const hold = (to_x) => {
    line.lineTo(to_x, height);
    bar(rects.area, from_x, to_x, Math.min(height, zero), Math.max(height, zero));
    from_x = to_x;
  };
  for (let k = first; k <= last; k++) {
    const i = columns.at(k);
    const left = edge(k);
    if (height !== null && lost[i]) {
      hold(left);
      height = null;
    }
    const filled = columns.n[s][i] > 0;
    if (hide && lost[i]) {
      if (filled) next = y(columns.mean[s][i]);
      continue;
    }
    if (!filled && next === null) continue;
    const mean = filled ? y(columns.mean[s][i]) : next;
    next = null;
    if (height !== null) {
      hold(left);
      line.lineTo(left, mean);
    } else line.moveTo(left, mean);
    [height, from_x] = [mean, left];
    const [lo, hi] = [y(columns.lo[s][i]), y(columns.hi[s][i])];
    if (filled && lo - hi > 1) bar(rects.band, left, edge(k + 1), hi, lo);
  }
  if (height === null || end_x <= from_x) return;
  if (bound !== undefined) line.lineTo(from_x, (height = y(bound)));
  hold(end_x);
}
