/** The last 200 ms of a sensor, a lane an axis, and its spectrum. */

import { number } from "../format.js";
import { peaks, Spectrum } from "./fft.js";
import { YScale, niceStep } from "./scale.js";

const SHOWN_S = 0.2;
const MEAN_S = 4;

/** scale: YScale, symmetric, of all axes. */
export function drawWave(plot, samples, scale, token, now_ms) {
  const { axes, rate_hz } = samples;
  const bottom_px = Math.ceil(plot.size * 2.3);
  plot.font();
  plot.begin(2, 14, plot.flag_px, bottom_px);
  const { left, top, width, height } = plot.box;
  const text2 = token("text2");
  for (const [share, label] of [[0, "−200"], [0.5, "−100"], [1, "0 ms"]]) {
    const x = left + share * width;
    plot.rule(x, top, x, top + height, token("grid"));
    plot.text(label, share ? (share === 1 ? plot.width : x) : 0, top + height + 6, text2, share ? (share === 1 ? "right" : "center") : "left", "top");
  }
  if (!rate_hz) return;
  // A frame is played over the time it lasts, or the picture would jump ten times a second.
  const waiting = Math.max(0, samples.frame_s - (now_ms - samples.came_ms) / 1000);
  const skip = Math.round(waiting * rate_hz);
  const n = Math.round(SHOWN_S * rate_hz) + 1;
  let most = 0;
  for (let a = 0; a < axes.length; a++) {
    for (let i = 0; i < n; i++) {
      const v = Math.abs(samples.at(a, skip + i));
      if (v > most) most = v;
    }
  }
  scale.fit(-most, most, now_ms / 1000);
  const each = height / axes.length;
  axes.forEach((_, a) => {
    const zero = top + (a + 0.5) * each;
    const per = (each / 2 - 4) / scale.hi;
    if (a) plot.rule(left, top + a * each, left + width, top + a * each, token("line"));
    plot.rule(left, zero, left + width, zero, token("edge"));
    const { ctx } = plot;
    ctx.beginPath();
    let on = false;
    for (let i = n - 1; i >= 0; i--) {
      const v = samples.at(a, skip + i);
      if (Number.isNaN(v)) on = false;
      else {
        ctx[on ? "lineTo" : "moveTo"](left + width * (1 - i / (n - 1)), zero - v * per);
        on = true;
      }
    }
    Object.assign(ctx, { strokeStyle: token("ink"), lineWidth: 1.5, lineJoin: "bevel" });
    ctx.stroke();
  });
}

/** Amplitudes in mg over frequency, the strongest named. */
export class SpectrumView {
  constructor() {
    this.work = new Float32Array(16384);
    this.spectrum = null;
    this.peaks = [];
    this.scale = new YScale({ parts: 20, least: 1 }); // of decades
  }

  draw(plot, samples, axis, token, now_ms) {
    const { rate_hz } = samples;
    // Pieces of about 1 s: under 1 Hz apart, and some to take the mean of in 4 s.
    const size = rate_hz ? Math.min(4096, 2 ** Math.round(Math.log2(rate_hz * 1.2))) : 0;
    if (size && this.spectrum?.size !== size) this.spectrum = new Spectrum(size);
    const n = size ? samples.newest(axis, this.work.subarray(0, Math.round(MEAN_S * rate_hz))) : 0;
    const enough = size && n >= size;
    const mg = enough ? this.spectrum.of(this.work, n) : null;
    if (mg) for (let k = 0; k < mg.length; k++) mg[k] *= 1000;
    this.peaks = mg ? peaks(mg, rate_hz) : [];
    const decade = (v) => Math.log10(Math.max(v, 0.001));
    const floor = mg && mg.slice(2).sort()[mg.length >> 2];
    const top_mg = mg && mg.reduce((a, b) => Math.max(a, b), 0);
    if (mg) this.scale.fit(Math.floor(decade(floor)), Math.ceil(decade(top_mg * 1.3)), now_ms / 1000);
    const { lo, hi } = this.scale;
    const ticks = [];
    for (let d = Math.ceil(lo); d <= hi; d++) ticks.push(d);
    plot.font();
    const widest = Math.max(0, ...ticks.map((d) => plot.measure(number(10 ** d, Math.max(0, -d)))));
    plot.begin(widest + 8, 10, plot.flag_px, Math.ceil(plot.size * 2.3));
    const { left, top, width, height } = plot.box;
    const half_hz = (rate_hz || 800) / 2;
    const x = (hz) => left + (hz / half_hz) * width;
    const y = (v) => top + height * (1 - (decade(v) - lo) / (hi - lo));
    for (const d of ticks) {
      plot.rule(left, y(10 ** d), left + width, y(10 ** d), token("grid"));
      plot.text(number(10 ** d, Math.max(0, -d)), left - 6, y(10 ** d), token("text2"), "right");
    }
    const step = niceStep(half_hz, Math.max(1, width / 52));
    const last = Math.floor(half_hz / step + 1e-3) * step;
    const last_words = `${number(last)} Hz`;
    const last_px = Math.min(x(last), plot.width - plot.measure(last_words) / 2) - plot.measure(last_words) / 2;
    for (let hz = 0; hz <= last + 1e-6; hz += step) {
      plot.rule(x(hz), top, x(hz), top + height, token("grid"));
      const words = hz === last ? last_words : number(hz);
      const half = plot.measure(words) / 2;
      const at = Math.min(x(hz), plot.width - half);
      if (hz === last || at + half + 6 <= last_px) plot.text(words, at, top + height + 6, token("text2"), "center", "top");
    }
    if (!mg) {
      plot.text(rate_hz ? "collecting 4 s" : "", left + width / 2, top + height / 2, token("text2"), "center");
      return;
    }
    plot.inside((ctx) => {
      ctx.beginPath();
      for (let k = 1; k < mg.length; k++) ctx.lineTo(x((k * rate_hz) / size), y(mg[k]));
      Object.assign(ctx, { strokeStyle: token("ink"), lineWidth: 1.5, lineJoin: "bevel" });
      ctx.stroke();
    });
    this.#name(plot, x, y, token("text"));
  }

  /** Names where there is room for them, the strongest first. */
  #name(plot, x, y, colour) {
    plot.font(600);
    const placed = [];
    for (const { hz, amplitude } of this.peaks) {
      const words = `${number(hz, 1)} Hz`;
      const wide = plot.measure(words);
      const left = x(hz) + 5 + wide > plot.width ? x(hz) - 5 - wide : x(hz) + 5;
      const at = Math.max(plot.box.top + 6, y(amplitude) + 4);
      if (placed.some(([a, b, c]) => left < b + 4 && left + wide > a - 4 && Math.abs(at - c) < 16)) continue;
      placed.push([left, left + wide, at]);
      plot.text(words, left, at, colour);
    }
  }
}
