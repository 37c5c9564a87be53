// The charts' pure parts: columns, scales, ticks, spectrum, losses in words.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const here = new URL("../../common/gateway/page/js/charts/", import.meta.url);
const { Columns } = await import(new URL("columns.js", here));
const { niceStep, timeTicks, YScale } = await import(new URL("scale.js", here));
const { peaks, Spectrum } = await import(new URL("fft.js", here));
const losses = await import(new URL("losses.js", here));
const { CAUSES, causeWords } = await import(new URL("../causes.js", here));
const { Samples, strength } = await import(new URL("samples.js", here));

const near = (a, b, by) => assert.ok(Math.abs(a - b) <= by, `${a} is not ${b} ± ${by}`);

test("live values give each column its lowest, highest, mean and number", () => {
  const columns = new Columns(1, 0.5, 4, 103);
  for (const [t, v] of [[50.1, 3], [50.2, -1], [50.4, 4], [51.6, 7]]) columns.add(0, t, v);
  const i = columns.at(100);
  assert.deepEqual([columns.lo[0][i], columns.hi[0][i], columns.mean[0][i], columns.n[0][i]], [-1, 4, 2, 3]);
  assert.equal(columns.n[0][columns.at(101)], 0);
  assert.deepEqual(columns.extremes([0], 100, 103), [-1, 7]);
  assert.equal(columns.extremes([0], 101, 102), null);
});

test("the ring moves on, forgets the oldest, and takes nothing from before it", () => {
  const columns = new Columns(1, 1, 4, 10);
  columns.add(0, 7.5, 1);
  columns.add(0, 13.5, 2);
  assert.equal(columns.first, 10);
  assert.equal(columns.at(7), -1);
  columns.add(0, 7.6, 9);
  assert.equal(columns.filled(0, 13), 13);
  assert.equal(columns.filled(0, 12), -1);
  columns.advance(10_000);
  assert.equal(columns.extremes([0], 0, 20_000), null);
  assert.equal(columns.lo[0].length, 4);
});

test("what came live and is stored too counts once", () => {
  const columns = new Columns(1, 1, 4, 10);
  columns.add(0, 9.2, 5);
  columns.add(0, 9.4, 7);
  columns.merge(0, { t: [9.0, 10.0], min: [4, 1], max: [7, 2], mean: [5.5, 1.5], n: [3, 2] });
  const [a, b] = [columns.at(9), columns.at(10)];
  assert.deepEqual([columns.lo[0][a], columns.hi[0][a], columns.n[0][a], columns.mean[0][a]], [4, 7, 3, 5.5]);
  assert.deepEqual([columns.lo[0][b], columns.hi[0][b]], [1, 2]);
  columns.merge(0, { t: [9.0], min: [4], max: [7], mean: [5.5], n: [3] });
  assert.equal(columns.n[0][a], 3);
});

test("a negative scale turns lowest and highest round; a held value from before is the first column's", () => {
  const columns = new Columns(1, 1, 4, 10);
  columns.merge(0, { t: [2.0, 9.0], min: [8, 3], max: [8, 5], mean: [8, 4], n: [1, 2] }, { scale: -1, hold: true });
  const i = columns.at(9);
  assert.deepEqual([columns.lo[0][i], columns.hi[0][i], columns.mean[0][i]], [-5, -3, -4]);
  assert.equal(columns.mean[0][columns.at(columns.first)], -8);
  const other = new Columns(1, 1, 4, 10);
  other.merge(0, { t: [2.0], min: [8], max: [8], mean: [8], n: [1] });
  assert.equal(other.filled(0, 10), -1);
});

test("a window of sums over several columns is in all of them; a picture that stands takes nothing newer", () => {
  const columns = new Columns(1, 20, 20, 119, false);
  columns.merge(0, { t: [2040, 2100], min: [1, 3], max: [2, 4], mean: [1.5, 3.5], n: [9, 9] }, { source_s: 60 });
  const filled = (k) => columns.n[0][columns.at(k)] > 0;
  assert.deepEqual([101, 102, 103, 104, 105, 106, 107, 108].map(filled), [false, true, true, true, true, true, true, false]);
  columns.add(0, 99_999, 5);
  assert.equal(columns.last, 119);
  assert.deepEqual(columns.extremes([0], 0, 200), [1, 4]);
});

test("a column's own start never falls into the one before it", () => {
  const span_s = 600 / 417;
  const columns = new Columns(1, span_s, 420, 1248301000);
  for (let k = 1248300700; k < 1248301000; k++) assert.equal(columns.column(k * span_s), k);
});

test("a gap is a stretch without values that is certainly longer than the limit", () => {
  const columns = new Columns(1, 1, 20, 20);
  for (const t of [3.5, 4.5, 6.5, 7.5, 12.5]) columns.add(0, t, 1);
  assert.deepEqual(columns.gaps(0, 1, 20, 3), [[8, 12]]);
  assert.deepEqual(columns.gaps(0, 1, 20, 0.9), [[5, 6], [8, 12]]);
  assert.deepEqual(columns.gaps(0, 1, 20, 4), []);
});

test("the mask has each column in which a loss lies, be it shorter than a column", () => {
  const columns = new Columns(1, 1, 6, 15);
  const mask = columns.mask([{ from_s: 11.4, to_s: 11.41 }, { from_s: 13.9, to_s: 40 }, { from_s: 1, to_s: 2 }]);
  assert.deepEqual([10, 11, 12, 13, 14, 15].map((k) => mask[columns.at(k)]), [0, 1, 0, 1, 1, 1]);
});

test("steps are 1, 2 or 5 times a power of ten", () => {
  for (const [span, most, step] of [[10, 5, 2], [0.07, 2, 0.05], [2600, 5, 1000], [1, 10, 0.1], [3e-5, 3, 1e-5]]) near(niceStep(span, most), step, step * 1e-9);
});

test("a y scale grows at once and shrinks after 30 s below half", () => {
  const y = new YScale({ zero: true, parts: 4, least: 100 });
  y.fit(200, 900, 0);
  assert.deepEqual([y.lo, y.hi], [0, 1000]);
  y.fit(200, 1900, 1);
  assert.deepEqual([y.lo, y.hi], [0, 2000]);
  y.fit(200, 900, 2);
  y.fit(200, 900, 31.9);
  assert.equal(y.hi, 2000);
  y.fit(200, 900, 32.1);
  assert.equal(y.hi, 1000);
  y.fit(100, 700, 33);
  y.fit(100, 400, 40);
  y.fit(100, 700, 50); // not small in between
  y.fit(100, 400, 60);
  y.fit(100, 400, 75);
  assert.equal(y.hi, 1000);
});

test("zero stays in view, three axes are symmetric about it", () => {
  const power = new YScale({ zero: true, parts: 5, least: 100 });
  power.fit(-120, 1600, 0);
  assert.ok(power.lo <= -120 && power.hi >= 1600 && power.lo % power.step === 0 && power.hi % power.step === 0);
  const axes = new YScale({ symmetric: true });
  axes.fit(-0.3, 0.91, 0);
  assert.deepEqual([axes.lo, axes.hi], [-1, 1]);
  const warm = new YScale({ parts: 2, least: 0.01 });
  warm.fit(24.989, 25.012, 0);
  near(warm.lo, 24.98, 1e-9);
  near(warm.hi, 25.02, 1e-9);
  warm.fit(30.0, 30.01, 1); // somewhere else altogether
  assert.ok(warm.hi - warm.lo < 6 && warm.lo <= 30 && warm.hi >= 30.01);
});

const at = (text) => Date.parse(text) / 1000;
const labels = (from, to, most, offset_s) => timeTicks(at(from), at(to), most, offset_s).map(([, label]) => label);

test("time ticks lie on whole steps of the rig's clock", () => {
  assert.deepEqual(labels("2026-11-22T14:22:07Z", "2026-11-22T14:32:07Z", 5), ["14:24", "14:26", "14:28", "14:30", "14:32"]);
  assert.deepEqual(labels("2026-11-22T14:31:58Z", "2026-11-22T14:32:08Z", 5), ["14:31:58", "14:32:00", "14:32:02", "14:32:04", "14:32:06", "14:32:08"]);
  assert.deepEqual(labels("2026-11-22T14:00:00Z", "2026-11-22T14:01:00Z", 4), ["14:00:00", "14:00:15", "14:00:30", "14:00:45", "14:01:00"]);
});

test("hours, days and weeks begin at the rig's midnight", () => {
  const day = timeTicks(at("2026-11-21T20:00:00Z"), at("2026-11-22T20:00:00Z"), 5, 19_800); // +5:30
  assert.deepEqual(day.map(([, label]) => label), ["06:00", "12:00", "18:00", "23 Nov"]);
  for (const [t] of day) assert.equal((t + 19_800) % 21_600, 0);
  assert.ok(labels("2026-11-20T00:00:00Z", "2026-11-23T00:00:00Z", 4).includes("21 Nov"));
  const weeks = timeTicks(at("2026-11-01T00:00:00Z"), at("2026-11-30T00:00:00Z"), 5);
  for (const [t] of weeks) assert.equal(new Date(t * 1000).getUTCDay(), 1);
});

test("months and years", () => {
  assert.deepEqual(labels("2026-01-10T00:00:00Z", "2026-11-20T00:00:00Z", 6), ["Mar", "May", "Jul", "Sep", "Nov"]);
  assert.deepEqual(labels("2016-11-22T00:00:00Z", "2026-11-22T00:00:00Z", 6), ["2018", "2020", "2022", "2024", "2026"]);
  assert.deepEqual(labels("2025-09-10T00:00:00Z", "2026-04-20T00:00:00Z", 8), ["Oct", "Nov", "Dec", "2026", "Feb", "Mar", "Apr"]);
});

test("the spectrum is that of a plain DFT", () => {
  const size = 64;
  const samples = Float64Array.from({ length: size }, (_, i) => Math.sin(i * 1.7) + 0.3 * Math.cos(i * 0.4) + ((i * 7919) % 13) / 13);
  const mean = samples.reduce((a, b) => a + b) / size;
  const found = new Spectrum(size).of(samples);
  for (let k = 0; k <= size / 2; k++) {
    let [re, im] = [0, 0];
    for (let i = 0; i < size; i++) {
      const v = (samples[i] - mean) * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size));
      re += v * Math.cos((2 * Math.PI * k * i) / size);
      im -= v * Math.sin((2 * Math.PI * k * i) / size);
    }
    near(found[k], (Math.hypot(re, im) * 4) / size, 1e-9);
  }
});

test("peaks are named by frequency, their amplitude is the sine's", () => {
  const rate_hz = 800;
  const samples = Float32Array.from({ length: 3200 }, (_, i) => 1 + 0.3 * Math.sin((2 * Math.PI * 24.8 * i) / rate_hz) + 0.04 * Math.sin((2 * Math.PI * 148.2 * i) / rate_hz) + 0.001 * (((i * 7919) % 101) / 101));
  const [first, second] = peaks(new Spectrum(1024).of(samples), rate_hz);
  near(first.hz, 24.8, 0.1);
  near(first.amplitude, 0.3, 0.05);
  near(second.hz, 148.2, 0.1);
  assert.deepEqual(peaks(new Spectrum(1024).of(new Float32Array(1024)), rate_hz), []);
});

test("a loss in words; a cause that is not known stands as it is", () => {
  assert.equal(causeWords("fifo_overflow"), "FIFO overrun");
  assert.equal(causeWords("my_own_cause"), "my own cause");
  assert.equal(losses.countWords(1, "edge"), "1 edge");
  assert.equal(losses.countWords(null, "poll"), "unknown polls");
  assert.equal(losses.countWords(31204, "frame"), "31,204 frames");
});

test("sums stay within a unit, unknown stays unknown", () => {
  const of = (unit, count) => ({ unit, count });
  assert.equal(losses.sumWords([of("sample", 12), of("sample", 170), of("frame", 6)]), "182 samples, 6 frames");
  assert.equal(losses.sumWords([of("poll", 4), of("poll", null)]), "4 polls and unknown");
  assert.equal(losses.sumWords([of("edge", null)]), "unknown edges");
  assert.equal(losses.sumWords([]), "");
});

const loss = (fields) => losses.asLoss({ t_ns: 5e9, from_t_ns: 2e9, to_t_ns: 3e9, stream: "samples/vib0/", unit: "sample", count: 12, cause: "late", src: "highspeed", ...fields });

test("a loss concerns the chart of its stream, and all of its source", () => {
  assert.ok(losses.concerns(loss({}), "samples/vib0/", "highspeed"));
  assert.ok(!losses.concerns(loss({ stream: "samples/vib01/" }), "samples/vib0/", "highspeed"));
  assert.ok(losses.concerns(loss({ stream: "*" }), "samples/vib0/", "highspeed"));
  assert.ok(!losses.concerns(loss({ stream: "*" }), "pulse/", "pulse"));
  assert.ok(!losses.concerns(loss({ count: 0 }), "samples/vib0/", "highspeed"));
  assert.ok(losses.concerns(loss({ count: null }), "samples/vib0/", "highspeed"));
  assert.ok(!losses.concerns(loss({ unit: "row", stream: "samples/vib0/" }), "samples/vib0/", "highspeed"));
});

test("a loss without a range lies where it was told; frame and ledger row are one", () => {
  const bare = loss({ from_t_ns: null, to_t_ns: null });
  assert.deepEqual([bare.from_s, bare.to_s], [5, 5]);
  const frame = losses.asLoss({ t: 5e9, from_t: 2e9, to_t: 3e9, stream: "samples/vib0/", unit: "sample", count: 12, cause: "late", src: "highspeed" });
  assert.equal(losses.distinct([frame, loss({}), loss({ from_t_ns: 4e9 })]).length, 2);
});

test("flags that would overlap become one", () => {
  const width = (text) => text.length * 6;
  const mark = (x, fields) => ({ x, loss: loss(fields) });
  const apart = losses.flags([mark(200, {}), mark(600, { cause: "fifo_overflow" })], width, 700);
  assert.deepEqual(apart.map((f) => f.text), ["12 samples · sampling late", "12 samples · FIFO overrun"]);
  const merged = losses.flags([mark(200, {}), mark(230, { count: 170 }), mark(250, { unit: "frame", count: 5 })], width, 700);
  assert.deepEqual(merged.map((f) => f.text), ["3 losses, 182 samples, 5 frames"]);
  assert.deepEqual(merged[0].stems, [200, 230, 250]);
  for (const x of [0, 3, 350, 699]) {
    const [flag] = losses.flags([mark(x, {})], width, 700);
    assert.ok(flag.left >= 0 && flag.left + width(flag.text) <= 700, `${x}: ${flag.left}`);
  }
});

test("no two flags overlap, and no loss is left out", () => {
  const width = (text) => text.length * 6;
  for (let seed = 1; seed < 200; seed++) {
    const xs = Array.from({ length: 1 + (seed % 12) }, (_, i) => ((seed * 7919 * (i + 3)) % 6990) / 10).sort((a, b) => a - b);
    const found = losses.flags(xs.map((x) => ({ x, loss: loss({}) })), width, 700);
    assert.equal(found.flatMap((f) => f.list).length, xs.length);
    for (let i = 1; i < found.length; i++) assert.ok(found[i].left >= found[i - 1].left + width(found[i - 1].text), `seed ${seed}`);
  }
});

/** Columns of 1 s, of the range 0 to 99, with a value at each of these times. */
function filledAt(times, series = 1, step_s = 1) {
  const columns = new Columns(series, step_s, Math.round(100 / step_s), Math.round(100 / step_s) - 1, false);
  for (const [t, s = 0] of times) columns.add(s, t + 0.4 * step_s, 1);
  return columns;
}
const every = (from, to, by = 1) => Array.from({ length: Math.ceil((to - from) / by) }, (_, i) => [from + i * by]);
const blanksOf = (columns, range, period_s, list = [0]) => losses.blanks(columns, list, { from_s: range[0], to_s: range[1] }, period_s).map((part) => [part.from_s, part.to_s]);

test("a hatch covers the part of a loss's range in which there are no values", () => {
  // told wider than it was: values come until 48, and again from 50
  const down = filledAt([...every(0, 48), ...every(50, 100)]);
  assert.deepEqual(blanksOf(down, [10, 50], 0.1), [[48, 50]]);
  // all of it
  assert.deepEqual(blanksOf(filledAt([...every(0, 10), ...every(50, 100)]), [10, 50], 0.1), [[10, 50]]);
  assert.deepEqual(blanksOf(filledAt([...every(0, 9), ...every(52, 100)]), [10.5, 50.5], 0.1), [[10.5, 50.5]]);
  // two pieces; one that nothing follows yet
  assert.deepEqual(blanksOf(filledAt([...every(0, 20), ...every(30, 40), ...every(45, 100)]), [15, 60], 0.1), [[20, 30], [40, 45]]);
  assert.deepEqual(blanksOf(filledAt(every(0, 20)), [15, 60], 0.1), [[20, 60]]);
  assert.deepEqual(blanksOf(filledAt([]), [15, 60], 0.1), [[15, 60]]);
});

test("a range of which every column has values has no hatch, and seldom values are no blanks", () => {
  assert.deepEqual(blanksOf(filledAt(every(0, 100)), [10, 50], 0.1), []);
  assert.deepEqual(blanksOf(filledAt(every(0, 100, 10)), [10, 50], 10), []);
  assert.deepEqual(blanksOf(filledAt([...every(0, 40, 10), ...every(60, 100, 10)]), [10, 70], 10), [[31, 60]]);
});

test("values that come when they come: the blank is the last of the longest stretches", () => {
  // an edge a second until the daemon was ended; the range ends where it was there again
  assert.deepEqual(blanksOf(filledAt([...every(0, 45, 2), ...every(60, 100, 2)]), [0, 60], null), [[44, 60]]);
  // ended for less than the time between two edges
  assert.deepEqual(blanksOf(filledAt([...every(0, 41, 5), ...every(46, 100, 5)]), [10, 44], null), [[40, 44]]);
});

test("where one series of a chart has values there is no blank", () => {
  const columns = filledAt([...every(0, 100), ...every(0, 20).map(([t]) => [t, 1])], 2);
  assert.deepEqual(blanksOf(columns, [10, 50], 0.1, [0, 1]), []);
  assert.deepEqual(blanksOf(columns, [10, 50], 0.1, [1]), [[20, 50]]);
});

test("a hole that a loss explains is no hole", () => {
  assert.deepEqual(losses.unaccounted([[1, 3], [10, 12]], [loss({})], 0.1), [[10, 12]]);
});

const frame = (t_s, values, fields = {}) => ({
  t: t_s * 1e9, rate_hz: 10, n: values.length / 2, axes: ["x", "y"], scale: 0.5, dtype: "<i2", dt_ns: 1e8,
  values: new Uint8Array(new Int16Array(values).buffer), ...fields,
});

test("samples are taken out of a frame with their times, a hole is NaN", () => {
  const seen = [];
  const samples = new Samples(["x", "y"]);
  samples.take(frame(5, [2, 4, 6, 8]), 0, (...each) => seen.push(each));
  assert.deepEqual(seen, [[0, 5, 1], [1, 5, 2], [0, 5.1, 3], [1, 5.1, 4]]);
  samples.take(frame(5.4, [10, 12]), 0, () => {});
  assert.deepEqual([0, 1, 2, 3, 4].map((back) => samples.at(0, back)), [5, NaN, NaN, 3, 1]);
  const out = new Float32Array(8);
  assert.equal(samples.newest(0, out), 1);
});

test("bytes need not be aligned, floats and uneven times are read", () => {
  const odd = new Uint8Array(1 + 8);
  odd.set(new Uint8Array(new Float32Array([0.25, 0.75]).buffer), 1);
  const seen = [];
  new Samples(["x"]).take({ t: 0, rate_hz: 10, axes: ["x"], scale: 2, dtype: "<f4", dt_ns: [3e8], values: odd.subarray(1) }, 0, (...each) => seen.push(each));
  assert.deepEqual(seen, [[0, 0, 0.5], [0, 0.3, 1.5]]);
});

test("reduced frames give their pairs to the envelope, and nothing to the wave", () => {
  const seen = [];
  const samples = new Samples(["x", "y"]);
  samples.take(frame(0, [-2, -4, 2, 4, -6, -8, 6, 8], { reduced: 5 }), 0, (axis, t_s, v) => axis === 0 && seen.push([t_s, v]));
  assert.deepEqual(seen, [[0, -1], [0, 1], [0.5, -3], [0.5, 3]]);
  assert.equal(samples.newest(0, new Float32Array(8)), 0);
});

test("RMS and peak leave gravity out", () => {
  const samples = new Samples(["x", "y"]);
  const values = Array.from({ length: 400 }, (_, i) => [100 + (i % 2 ? 20 : -20), 0]).flat();
  samples.take(frame(0, values), 0, () => {});
  const { rms, peak } = strength(samples, new Float32Array(200));
  near(rms, 10, 1e-3);
  near(peak, 10, 1e-3);
  assert.deepEqual(strength(new Samples(["x"]), new Float32Array(8)), { rms: null, peak: null });
});

test("what has words of its own is a cause of docs/delivery.md, and all of them can be read", () => {
  const text = readFileSync(new URL("../../docs/delivery.md", import.meta.url), "utf8").split("## Causes")[1].split("\n## ")[0];
  const causes = [...text.matchAll(/^\| ((?:`[a-z_]+`(?:, )?)+) \|/gm)].flatMap(([, names]) => [...names.matchAll(/`([a-z_]+)`/g)].map(([, name]) => name));
  assert.ok(causes.length > 30, `${causes.length} causes`);
  for (const cause of causes) assert.match(causeWords(cause), /^[A-Za-z0-9 ]+$/);
  for (const cause of Object.keys(CAUSES)) assert.ok(causes.includes(cause), cause);
});
