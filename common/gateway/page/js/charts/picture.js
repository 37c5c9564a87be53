/** What a time chart shows: stored columns of the shared range, to which live values are added. */

import { Columns, CUT_S } from "./columns.js";

const SPARE = 2; // columns left of the picture, which moves on by one at a time
const EMPTY_MS = 5000; // to the next look whether anything is stored at all
const STORE_LAG_MS = 2500; // a live value is in the store after its commit, 1 s by default, and the queue before it

export class Picture {
  /** series: [{name, scale}]; width(): columns wanted; changed(): something to draw. */
  constructor({ link, range, state, series, width, changed }) {
    Object.assign(this, { link, range, state, series, width, changed });
    this.columns = null; // what is drawn
    this.coming = null; // what the next answer fills; live values go to both
    this.error = "";
    this.source_s = 0; // 0: raw values
    this.periods_s = series.map(() => null);
    this.first_s = null; // oldest stored value of all
    this.dim = true; // the range has changed, the drawn columns are of the old one
    this.filled_ms = 0;
    this.busy = this.again = false;
    this.timer = 0;
    const stop = [
      range.on(() => this.look()),
      link.on("state", (s) => s === "live" && (this.error ? this.look(true) : this.fillSoon())),
      link.on("dropped", () => this.fillSoon()),
    ];
    const shown = () => document.hidden || this.fillSoon();
    document.addEventListener("visibilitychange", shown);
    this.close = () => {
      clearTimeout(this.timer);
      document.removeEventListener("visibilitychange", shown);
      for (const end of stop) end?.();
    };
  }

  /** The range that the chart's x axis has: whole columns, so that a live picture moves a pixel at a time. */
  view() {
    const { live, span_s, from_s, to_s } = this.range.get();
    if (!live) return { from_s, to_s, live };
    const step_s = span_s / this.width();
    const end_s = (Math.floor(this.state.now() / step_s) + 1) * step_s;
    return { from_s: end_s - span_s, to_s: end_s, live };
  }

  /** Loads the range if it is another one than before. */
  look(force = false) {
    if (this.width() < 10) return;
    const { live, span_s, from_s, to_s } = this.range.get();
    const shown = live ? `${span_s}` : `${from_s} ${to_s}`;
    const key = `${shown} ${this.width()}`;
    // Nothing came for long, or the rig's clock was found to be another.
    const astray = live && this.columns?.moves && Math.abs(this.columns.column(to_s) - this.columns.last) > this.width() / 2;
    if (key === this.key && !force && (!astray || this.busy || this.error)) return;
    this.key = key;
    if (shown !== this.shown || astray) this.dim = true; // of another width: the picture holds until there is a sharper one
    this.shown = shown;
    this.changed();
    this.#load();
  }

  /** Fetches what was missed, once it is stored, into the picture that stays. */
  fillSoon(ms = STORE_LAG_MS) {
    clearTimeout(this.timer);
    this.filled_ms = performance.now() + ms + 1500;
    this.timer = setTimeout(() => {
      if (this.busy) this.fillSoon();
      else if (this.columns && !this.dim) this.#fetch(this.columns);
    }, ms);
  }

  /** Whether a hole may only be one that is being fetched. */
  get filling() {
    return this.dim || performance.now() < this.filled_ms;
  }

  add(s, t_s, value) {
    this.columns?.add(s, t_s, value);
    this.coming?.add(s, t_s, value);
  }

  #load() {
    if (this.busy) {
      this.again = true; // one question at a time; the newest range is asked next
      return;
    }
    const { live, from_s, to_s } = this.view();
    const width = this.width();
    const step_s = (to_s - from_s) / width;
    this.coming = new Columns(this.series.length, step_s, width + SPARE, Math.floor(to_s / step_s + 1e-6), live);
    this.#fetch(this.coming);
  }

  async #fetch(columns) {
    if (!this.series.length) return; // a device that nothing is known of yet
    this.busy = true;
    const { step_s } = columns;
    const query = new URLSearchParams(this.series.map(({ name }) => ["name", name]));
    const width = columns.count - SPARE;
    const to_s = (columns.last + 1) * step_s;
    // A little less than whole columns: rounding must not make ten minutes longer than those that come as raw values.
    const range = { from: (to_s - width * step_s).toFixed(6), to: (to_s - CUT_S).toFixed(6), columns: width };
    for (const [key, value] of Object.entries(range)) query.set(key, value);
    try {
      this.#take(columns, await this.link.fetchPack(`/api/series?${query}`));
      this.error = "";
      if (columns === this.coming) {
        this.columns = columns;
        this.dim &&= this.again;
        if (columns.moves) this.fillSoon();
      }
      if (this.first_s === null) this.fillSoon(EMPTY_MS);
    } catch (error) {
      this.error = error.message || "no answer";
      if (!this.columns) [this.columns, this.dim] = [columns, false]; // what comes live is shown all the same
    }
    this.coming = null;
    this.busy = false;
    this.changed();
    if (this.again) {
      this.again = false;
      this.#load();
    }
  }

  #take(columns, answer) {
    this.source_s = answer.source;
    this.first_s = null;
    this.series.forEach(({ name, scale = 1 }, s) => {
      const found = answer.series[name];
      if (!found) return;
      columns.merge(s, arrays(found), { scale, hold: found.kind === "step", source_s: answer.source });
      this.periods_s[s] = Math.max(found.period_s ?? 0, answer.source) || null;
      if (found.first_t !== null) this.first_s = Math.min(this.first_s ?? Infinity, found.first_t);
    });
  }
}

/** Binary arrays of an answer as typed ones: copies, since views need not be aligned. */
function arrays(found) {
  const typed = (data, Kind) => (data instanceof Uint8Array ? new Kind(data.slice().buffer) : data);
  const of = (key) => typed(found[key], Float32Array);
  return { t: typed(found.t, Float64Array), min: of("min"), max: of("max"), mean: of("mean"), n: of("n") };
}
