/** Steps of 1-2-5 for values, and whole steps of the clock for times. Pure. */

/** The 1-2-5 step that cuts `span` into at most `most` parts. */
export function niceStep(span, most) {
  const rough = span / Math.max(1, most);
  const ten = 10 ** Math.floor(Math.log10(rough));
  for (const m of [1, 2, 5]) if (m * ten >= rough * 0.999999) return m * ten;
  return 10 * ten;
}

export const decimals = (step) => Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9)));

/** A y scale that grows at once and shrinks after 30 s below half; bounds lie on steps. */
export class YScale {
  /** zero: always in view. parts: steps at most. least: smallest height. symmetric: as far below zero as above. */
  constructor({ zero = false, parts = 4, least = 1e-6, symmetric = false }) {
    Object.assign(this, { zero, parts, least, symmetric, lo: NaN, hi: NaN, step: 1, small_since: Infinity });
  }

  /** Takes the data's lowest and highest at `now_s` (any clock that does not go back); true if the scale has changed. */
  fit(lo, hi, now_s) {
    const want = this.#round(lo, hi);
    const grown = !(want.lo >= this.lo && want.hi <= this.hi);
    const small = want.hi - want.lo <= (this.hi - this.lo) / 2;
    if (!small) this.small_since = Infinity;
    else if (this.small_since === Infinity) this.small_since = now_s;
    const kept = Number.isFinite(this.lo);
    if (kept && !grown && !(now_s - this.small_since >= 30)) return false;
    // Growing keeps the other end, or a slow drift would move both ends at every step.
    const joined = kept && grown && !(now_s - this.small_since >= 30);
    const next = joined ? this.#round(Math.min(lo, this.lo), Math.max(hi, this.hi)) : want;
    // Data that went elsewhere as a whole: nothing of the old scale is of use.
    Object.assign(this, joined && next.hi - next.lo > 4 * (want.hi - want.lo) ? want : next);
    this.small_since = Infinity;
    return true;
  }

  /** Forget the old picture's scale: the range was changed by hand. */
  reset() {
    this.lo = this.hi = NaN;
    this.small_since = Infinity;
  }

  #round(lo, hi) {
    if (this.zero || this.symmetric) [lo, hi] = [Math.min(lo, 0), Math.max(hi, 0)];
    if (this.symmetric) [lo, hi] = [-Math.max(-lo, hi), Math.max(-lo, hi)];
    if (hi - lo < this.least) {
      const short = this.least - (hi - lo);
      [lo, hi] = this.zero ? [lo, hi + short] : [lo - short / 2, hi + short / 2];
    }
    if (this.symmetric) {
      const step = niceStep(hi, 1); // ±1, ±2, ±5
      return { lo: -step, hi: step, step };
    }
    const step = niceStep(hi - lo, this.parts);
    return { lo: Math.floor(lo / step + 1e-6) * step, hi: Math.ceil(hi / step - 1e-6) * step, step };
  }

  /** Values of the ticks, at most every `skip`-th step. */
  ticks(skip = 1) {
    const found = [];
    for (let i = Math.ceil(this.lo / this.step - 1e-6); i * this.step <= this.hi + this.step * 1e-6; i++) {
      if (i % skip === 0) found.push(i * this.step);
    }
    return found;
  }
}

const MIN = 60;
const H = 3600;
const DAY = 86400;
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30]
  .concat([1, 2, 5, 10, 15, 30].map((m) => m * MIN), [1, 2, 3, 6, 12].map((h) => h * H), [DAY, 2 * DAY, 7 * DAY]);
const MONTHS = [1, 2, 3, 6, 12, 24, 60, 120];
const NAMES = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const two = (v) => String(v).padStart(2, "0");

/** Ticks on whole steps of the rig's clock: [t_s, label] pairs. `most`: how many fit; `offset_s`: rig's time − UTC. */
export function timeTicks(from_s, to_s, most, offset_s = 0) {
  const rough = (to_s - from_s) / Math.max(1, most);
  const step = STEPS.find((s) => s >= rough * 0.999);
  if (step === undefined) return monthTicks(from_s, to_s, rough, offset_s);
  const origin = step === 7 * DAY ? 4 * DAY : 0; // weeks begin on Mondays; 1970 began on a Thursday
  const ticks = [];
  for (let i = Math.ceil((from_s + offset_s - origin) / step - 1e-9); ; i++) {
    const local = i * step + origin;
    if (local - offset_s > to_s) return ticks;
    ticks.push([local - offset_s, clockLabel(local, step)]);
  }
}

function clockLabel(local_s, step) {
  const d = new Date(Math.round(local_s * 1000));
  const day = `${d.getUTCDate()} ${NAMES[d.getUTCMonth()]}`;
  if (step >= DAY || (step >= H && local_s % DAY === 0)) return day;
  const minutes = `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
  if (step >= MIN) return minutes;
  const s = step < 1 ? (local_s % MIN).toFixed(1).padStart(4, "0") : two(d.getUTCSeconds());
  return `${minutes}:${s}`;
}

function monthTicks(from_s, to_s, rough, offset_s) {
  const months = MONTHS.find((m) => m * 30.5 * DAY >= rough) ?? 120;
  const start = new Date((from_s + offset_s) * 1000);
  const ticks = [];
  for (let m = Math.floor((start.getUTCFullYear() * 12 + start.getUTCMonth()) / months) * months; ; m += months) {
    const t_s = Date.UTC(Math.floor(m / 12), m % 12) / 1000 - offset_s;
    if (t_s > to_s) return ticks;
    if (t_s >= from_s) ticks.push([t_s, m % 12 ? NAMES[m % 12] : String(m / 12)]);
  }
}
