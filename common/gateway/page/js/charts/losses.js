/** What is lost, for charts: the ledger's rows in words, which chart they concern, and flags that do not overlap. Pure. */

import { causeWords } from "../causes.js";
import { counted } from "../format.js";

/** "12 samples": a canvas wraps nothing, so its spaces are plain ones. */
export const countWords = (count, unit) => counted(count, unit).replaceAll("\u00a0", " ");

const seconds = (ns) => (ns === null || ns === undefined ? NaN : Number(ns) / 1e9);

/** A row of `query ledger`, of the status, or a loss frame, as charts want it; times in s. */
export function asLoss(row) {
  const t_s = seconds(row.t_ns ?? row.t);
  const from_s = seconds(row.from_t_ns ?? row.from_t) || t_s;
  const to_s = Math.max(from_s, seconds(row.to_t_ns ?? row.to_t) || t_s);
  const { stream, unit, cause, count = null, src = null } = row;
  return { t_s, from_s, to_s, stream, unit, cause, src, count: count === null ? null : Number(count) };
}

/** Whether a loss concerns what a chart shows: `prefix` "samples/vib0/", `src` the daemon ("highspeed"). */
export function concerns(loss, prefix, src) {
  if (loss.count === 0 || loss.unit === "row" || loss.cause === "foreign") return false;
  return loss.stream === "*" ? loss.src === src : `${loss.stream}/`.startsWith(prefix);
}

/** One row of a kind: the ledger's copy of a loss frame replaces the frame. */
export function distinct(list) {
  const seen = new Map();
  for (const l of list) seen.set(`${l.stream} ${l.src} ${l.cause} ${l.unit} ${Math.round(l.from_s * 1e3)}`, l);
  return [...seen.values()].sort((a, b) => a.from_s - b.from_s);
}

/** "12 samples lost": sums within a unit, never across; an unknown count stays written. */
export function sumWords(list) {
  const sums = new Map();
  for (const { unit, count } of list) {
    const sum = sums.get(unit) ?? { known: 0, unknown: 0, rows: 0 };
    if (count === null) sum.unknown++;
    else [sum.known, sum.rows] = [sum.known + count, sum.rows + 1];
    sums.set(unit, sum);
  }
  return [...sums].map(([unit, sum]) => {
    const known = sum.rows ? countWords(sum.known, unit) : "";
    if (!sum.unknown) return known;
    return known ? `${known} and unknown` : countWords(null, unit);
  }).join(", ");
}

/** Flags for losses at x … x2 (px): texts that would overlap become one. `width(text)` measures; returns [{x, left, text, list}]. */
export function flags(marks, width, room) {
  const place = (group) => {
    const [first, ...more] = group.list;
    group.text = more.length ? `${group.list.length} losses, ${sumWords(group.list)}` : `${sumWords([first])} · ${causeWords(first.cause)}`;
    const w = width(group.text) + 6;
    // Text stands left of its stem, as in a sentence that ends there; at the left edge right of it.
    group.left = group.x - w >= 0 ? group.x - w : Math.min(group.x + 4, Math.max(0, room - w));
    group.right = Math.max(group.left + w, group.x);
    return group;
  };
  const done = [];
  for (const mark of marks) {
    let group = place({ x: mark.x, stems: [mark.x], list: [mark.loss] });
    while (done.length && group.left < done.at(-1).right + 8) {
      const before = done.pop();
      group = place({ x: group.x, stems: before.stems.concat(group.stems), list: before.list.concat(group.list) });
    }
    done.push(group);
  }
  return done;
}

const ABOUT = 0.6; // stretches of that share of the longest are about as long: counts vary

/** The parts of a loss's range in which none of the series `list` has a value: a list of {from_s, to_s}; none: all of it has.
 *
 * period_s: between two values; null: they come when they come, and the part is the last of the longest stretches (a range
 * may begin before the loss, by as much as nobody knew of, but hardly end after it).
 */
export function blanks(columns, list, { from_s, to_s }, period_s) {
  const { step_s, first, last } = columns;
  const filled = (k) => list.some((s) => columns.n[s][columns.at(k)] > 0);
  let before = Math.min(columns.column(from_s) - 1, last);
  while (before >= first && !filled(before)) before--;
  const found = [];
  const add = (next) => {
    // What holds until the next value, which is beyond the loss, is not known either.
    const begin = period_s === null ? before : before + 1;
    const part = { from_s: Math.max(from_s, begin * step_s), to_s: Math.min(to_s, next * step_s) };
    if (part.to_s > part.from_s && (period_s === null || (next - before - 1) * step_s > 1.5 * period_s)) found.push(part);
  };
  const end = columns.column(to_s);
  for (let k = Math.max(before + 1, first); k <= last && before <= end; k++) {
    if (!filled(k)) continue;
    add(k);
    before = k;
  }
  if (before <= end) add(Infinity);
  if (period_s !== null) return found;
  const longest = Math.max(...found.map((part) => part.to_s - part.from_s));
  return found.filter((part) => part.to_s - part.from_s >= ABOUT * longest).slice(-1);
}

/** What remains of a hole after the losses that explain it: none of it, where one of them lies in it. */
export const unaccounted = (holes, list, slack_s) =>
  holes.filter(([a, b]) => !list.some((l) => l.from_s <= b + slack_s && l.to_s >= a - slack_s));
