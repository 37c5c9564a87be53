/** The newest samples of a sensor: a ring of some seconds an axis. What is missing is NaN. */

const LONGEST = 16384; // 4 s at 4 kHz

export class Samples {
  constructor(axes) {
    this.axes = axes;
    this.ring = axes.map(() => new Float32Array(LONGEST));
    this.written = 0; // samples so far
    this.whole = 0; // of these, the newest without a hole
    this.rate_hz = 0;
    this.end_s = NaN; // time of the newest sample
    this.came_ms = 0;
    this.frame_s = 0;
  }

  /** A `samples` frame, now_ms: when it came. each(axis, t_s, value) is called for every sample. */
  take(frame, now_ms, each) {
    const { axes, scale } = frame;
    const values = typed(frame);
    const n = values.length / axes.length;
    const pair = frame.reduced ? 2 : 1; // lowest and highest of `reduced` samples
    let t_s = frame.t / 1e9;
    const step_s = 1 / frame.rate_hz;
    if (!frame.reduced) this.#hole(t_s, frame.rate_hz);
    for (let i = 0; i < n; i++) {
      if (i) t_s += frame.reduced ? (i % pair ? 0 : frame.reduced * step_s) : delta(frame.dt_ns, i) / 1e9;
      for (let a = 0; a < axes.length; a++) {
        const value = values[i * axes.length + a] * scale;
        each(a, t_s, value);
        if (!frame.reduced) this.ring[a][this.written % LONGEST] = value;
      }
      if (!frame.reduced) this.#count();
    }
    Object.assign(this, { rate_hz: frame.rate_hz, end_s: t_s, came_ms: now_ms, frame_s: n / frame.rate_hz });
  }

  /** Value `back` samples before the newest. */
  at(axis, back) {
    return back >= this.written || back >= LONGEST ? NaN : this.ring[axis][(this.written - 1 - back) % LONGEST];
  }

  /** Copies the newest samples of an axis without a hole, at most as many as `out` holds, oldest first; returns how many. */
  newest(axis, out) {
    const n = Math.min(out.length, this.whole, LONGEST);
    for (let i = 0; i < n; i++) out[i] = this.ring[axis][(this.written - n + i) % LONGEST];
    return n;
  }

  #count() {
    this.written++;
    this.whole++;
  }

  #hole(t_s, rate_hz) {
    const missing = Math.round((t_s - this.end_s) * rate_hz) - 1;
    if (!(missing >= 1) || Number.isNaN(this.end_s)) return;
    for (let i = 0; i < Math.min(missing, LONGEST); i++, this.written++) {
      for (const ring of this.ring) ring[this.written % LONGEST] = NaN;
    }
    this.whole = 0;
  }
}

const delta = (dt_ns, i) => (typeof dt_ns === "number" ? dt_ns : dt_ns[i - 1]);

function typed({ dtype, values }) {
  const bytes = values.slice(); // a view of the message need not be aligned
  return dtype === "<f4" ? new Float32Array(bytes.buffer) : new Int16Array(bytes.buffer);
}

/** {rms, peak} of the axes together, each without its mean (gravity). `work`: room for the samples. */
export function strength(samples, work) {
  let [sum, peak] = [0, 0];
  let n = 0;
  for (let a = 0; a < samples.axes.length; a++) {
    n = samples.newest(a, work);
    if (!n) return { rms: null, peak: null };
    let mean = 0;
    for (let i = 0; i < n; i++) mean += work[i];
    mean /= n;
    for (let i = 0; i < n; i++) {
      const v = work[i] - mean;
      sum += v * v;
      peak = Math.max(peak, Math.abs(v));
    }
  }
  return { rms: Math.sqrt(sum / n), peak };
}
