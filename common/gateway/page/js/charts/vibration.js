/** The vibration panel: lowest to highest an axis in the shared range, the last 200 ms, the spectrum. */

import { h, setText } from "../dom.js";
import { number, quantity, say } from "../format.js";
import { icon } from "../icons.js";
import { figure, Remark } from "./figures.js";
import { sumWords } from "./losses.js";
import { Plot } from "./plot.js";
import { Samples, strength } from "./samples.js";
import { YScale } from "./scale.js";
import { TimeChart } from "./timechart.js";
import { drawWave, SpectrumView } from "./wave.js";

const MEAN = "of the last 4 s, without the mean (gravity)";
const ALL_HZ = 4000; // the fastest sensor: its samples come whole

export class Vibration {
  constructor(page, body, silent) {
    const [sensor] = page.state.get("vibration").sensors;
    const { name, axes } = sensor;
    Object.assign(this, { page, name, axes, remark: new Remark("vibration", page.state, icon) });
    this.samples = new Samples(axes);
    this.work = new Float32Array(16384);
    this.axis = axes.length - 1;
    const { loop, theme } = page;
    this.figures = {
      rms: figure("vibration.rms", "RMS", { title: `All axes together, ${MEAN}` }),
      peak: figure("vibration.peak", "Peak", { title: `The farthest of any axis, ${MEAN}` }),
      clipped: figure("vibration.clipped", "Clipped", { title: "Samples at the end of the sensor's range, since the gateway was started" }),
      strongest: figure("vibration.strongest", "Strongest", { title: "The strongest line of the spectrum" }),
    };
    this.captions = { envelope: h("p", { class: "caption" }), wave: h("p", { class: "caption" }) };
    this.choice = h("button", { type: "button", class: "link", title: "Another axis", onclick: () => {
      this.axis = (this.axis + 1) % axes.length;
      this.spectrum.scale.reset();
      this.spectral.dirty();
    } });
    const part = (kind, caption, ...list) => {
      const plot = h("div", { class: "chart-part" });
      const el = h("div", { class: `part ${kind}` }, h("div", { class: "figures inline" }, ...list.map((f) => f.el)), caption, plot);
      body.append(el);
      return [el, plot];
    };
    const [, lanes_el] = part("envelope", this.captions.envelope, this.figures.rms, this.figures.peak);
    const [wave_el, wave_plot] = part("wave", this.captions.wave, this.figures.clipped);
    const [spectrum_el, spectrum_plot] = part("spectrum", h("p", { class: "caption" }, this.choice), this.figures.strongest);
    this.scale = new YScale({ symmetric: true, least: 0.02 });
    const y = new YScale({ symmetric: true, least: 0.02 });
    this.y = y;
    this.chart = new TimeChart(page, lanes_el, {
      key: "vibration", name: "Vibration, lowest to highest", prefix: `samples/${name}/`, src: "highspeed", per_s: 20, silent,
      series: axes.map((axis, lane) => ({
        name: `samples/${name}/${axis}`, stream: `samples/${name}/`, label: axis, token: "ink", lane, band: "solid",
        period_s: 1 / (sensor.nominal_hz ?? 100),
        say: (lo, hi) => `${number(lo, 2)} to ${number(hi, 2)}` })),
      lanes: axes.map((label) => ({ y, label, named: true })),
      hover: (at) => this.remark.hover(at),
    });
    this.spectrum = new SpectrumView();
    this.wave_plot = new Plot(wave_plot, "The last 200 ms", "about-vibration", () => this.waving.dirty());
    this.waving = loop.add(wave_el, 20, (now_ms) => {
      drawWave(this.wave_plot, this.samples, this.scale, theme.token, performance.now());
      if (performance.now() - this.samples.came_ms < 1000) this.waving.dirty();
    });
    this.spectrum_plot = new Plot(spectrum_plot, "Spectrum", "about-vibration", () => this.spectral.dirty());
    this.spectral = loop.add(spectrum_el, 4, () => this.spectrum.draw(this.spectrum_plot, this.samples, this.axis, theme.token, performance.now()));
    const themed = theme.on(() => {
      this.waving.dirty();
      this.spectral.dirty();
    });
    this.close = () => {
      themed();
      for (const item of [this.waving, this.spectral]) loop.remove(item);
      for (const part of [this.chart, this.wave_plot, this.spectrum_plot]) part.close();
    };
  }

  /** The named lines of the spectrum: [frequency, amplitude]. */
  lines() {
    return this.spectrum.peaks.map(({ hz, amplitude }) => [say(quantity.frequency(hz)), `${number(amplitude, 1)} mg`]);
  }

  get topics() {
    return [`samples/${this.name}/`];
  }

  samples_hz = ALL_HZ;

  take(topic, frame) {
    if (frame.sensor !== this.name) return;
    const { picture } = this.chart;
    this.samples.take(frame, performance.now(), (axis, t_s, value) => picture.add(axis, t_s, value));
    this.waving.dirty();
    this.spectral.dirty();
  }

  render() {
    const sensor = this.page.state.get("vibration").sensors.find((s) => s.name === this.name);
    if (!sensor) return;
    const n = Math.min(this.work.length, Math.round(4 * (this.samples.rate_hz || 0)));
    const { rms, peak } = strength(this.samples, this.work.subarray(0, n));
    this.figures.rms.set(quantity.rms(rms));
    this.figures.peak.set(quantity.peak(peak));
    this.figures.clipped.set({ text: number(sensor.clipped), unit: "" });
    this.figures.strongest.set(quantity.frequency(this.spectrum.peaks[0]?.hz));
    const bounds = ({ hi }) => (Number.isFinite(hi) ? `, ±${hi} ${sensor.unit}` : "");
    setText(this.captions.envelope, `Lowest to highest${bounds(this.y)} a lane`);
    setText(this.captions.wave, `Last 200 ms${bounds(this.scale)}`);
    setText(this.choice, `Spectrum of ${this.axes[this.axis]}, mg, mean of 4 s`);
    const usual = [say(quantity.frequency(sensor.rate_hz)), sensor.range ? `±${number(sensor.range)} ${sensor.unit}` : ""];
    if (sensor.state !== "running") usual.unshift(sensor.fault || sensor.state);
    this.remark.say(usual.filter(Boolean).join(" · "), sumWords(this.chart.losses));
  }
}
