/** By so much less than whole columns picture.js asks for: the store's columns may begin so much earlier. */
export const CUT_S = 1e-5;

/** Lowest, highest, mean and number of some series in columns of equal time: a ring that only moves on.
 *
 * Column k holds the times from k × step_s to (k + 1) × step_s since 1970, so that a picture that moves on does not
 * shimmer. Arrays are made once; times are in s.
 */
export class Columns {
  /** `series`: how many; `count`: columns kept; `last`: number of the newest one; moves: what is newer moves it on. */
  constructor(series, step_s, count, last, moves = true) {
    this.moves = moves;
    this.step_s = step_s;
    this.count = count;
    this.last = last;
    const make = () => Array.from({ length: series }, () => new Float32Array(count));
    this.lo = make();
    this.hi = make();
    this.mean = make();
    this.n = make();
  }

  get first() {
    return this.last - this.count + 1;
  }

  column(t_s) {
    return Math.floor(t_s / this.step_s + 1e-6); // a column's own start must not fall into the one before
  }

  /** Place of column k in the arrays, or -1 where it is not kept. */
  at(k) {
    return k > this.last || k < this.first ? -1 : ((k % this.count) + this.count) % this.count;
  }

  /** Makes room up to column k. */
  advance(k) {
    if (k <= this.last || !this.moves) return;
    const from = Math.max(this.last + 1, k - this.count + 1);
    this.last = k;
    for (let i = from; i <= k; i++) for (const n of this.n) n[this.at(i)] = 0;
  }

  /** One live value. */
  add(s, t_s, value) {
    if (!Number.isFinite(value)) return;
    const k = this.column(t_s);
    this.advance(k);
    const i = this.at(k);
    if (i < 0) return;
    const n = ++this.n[s][i];
    if (n === 1) {
      this.lo[s][i] = this.hi[s][i] = this.mean[s][i] = value;
      return;
    }
    if (value < this.lo[s][i]) this.lo[s][i] = value;
    if (value > this.hi[s][i]) this.hi[s][i] = value;
    this.mean[s][i] += (value - this.mean[s][i]) / n;
  }

  /** Columns as the store has them (`/api/series`). What is here already counts once: extremes join, the fuller mean stays.
   *
   * hold: values hold until the next, so that one from before the first column is the first column's. source_s: of what
   * window each is made; a window over several columns is in all of them.
   */
  merge(s, stored, { scale = 1, hold = false, source_s = 0 } = {}) {
    const { t, min, max, mean, n } = stored;
    for (let j = 0; j < t.length; j++) {
      const found = this.column(t[j] + CUT_S);
      const first = hold ? Math.max(found, this.first) : found;
      const last = hold ? first : Math.min(Math.max(first, this.column(t[j] + source_s) - 1), this.last);
      this.advance(first);
      const [a, b] = [min[j] * scale, max[j] * scale];
      for (let k = first; k <= Math.max(first, last); k++) this.#join(s, k, Math.min(a, b), Math.max(a, b), mean[j] * scale, n[j]);
    }
  }

  #join(s, k, lo, hi, mean, n) {
    const i = this.at(k);
    if (i < 0) return;
    const had = this.n[s][i];
    if (!had || lo < this.lo[s][i]) this.lo[s][i] = lo;
    if (!had || hi > this.hi[s][i]) this.hi[s][i] = hi;
    if (n <= had) return;
    this.n[s][i] = n;
    this.mean[s][i] = mean;
  }

  /** [lowest, highest] of the given series from column a to b, or null where there is nothing. */
  extremes(list, a, b) {
    let lo = Infinity;
    let hi = -Infinity;
    for (const s of list) {
      for (let k = Math.max(a, this.first); k <= Math.min(b, this.last); k++) {
        const i = this.at(k);
        if (!this.n[s][i]) continue;
        if (this.lo[s][i] < lo) lo = this.lo[s][i];
        if (this.hi[s][i] > hi) hi = this.hi[s][i];
      }
    }
    return lo > hi ? null : [lo, hi];
  }

  /** Nearest filled column at or before k (for steps: the value that holds), or -1; looks back as far as is kept. */
  filled(s, k, back = this.count) {
    for (let j = Math.min(k, this.last); j >= Math.max(this.first, k - back); j--) if (this.n[s][this.at(j)]) return j;
    return -1;
  }

  /** 1 at the place of each column in which one of the ranges {from_s, to_s} lies; reused. */
  mask(ranges) {
    this.masked ??= new Uint8Array(this.count);
    this.masked.fill(0);
    for (const { from_s, to_s } of ranges) {
      const last = Math.min(this.column(to_s), this.last);
      for (let k = Math.max(this.column(from_s), this.first); k <= last; k++) this.masked[this.at(k)] = 1;
    }
    return this.masked;
  }

  /** Runs of empty columns in which certainly no value came for over `limit_s`: a list of [from_s, to_s]. */
  gaps(s, a, b, limit_s) {
    const found = [];
    let before = null;
    for (let k = Math.max(a, this.first); k <= Math.min(b, this.last); k++) {
      if (!this.n[s][this.at(k)]) continue;
      if (before !== null && this.broken(before, k, limit_s)) found.push([(before + 1) * this.step_s, k * this.step_s]);
      before = k;
    }
    return found;
  }

  /** Whether the line breaks between the filled columns a and b. */
  broken(a, b, limit_s) {
    return (b - a - 1) * this.step_s > limit_s;
  }
}
