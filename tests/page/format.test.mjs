import assert from "node:assert/strict";
import { test } from "node:test";

import * as f from "../../common/gateway/page/js/format.js";

const plain = (text) => text.replaceAll("\u00a0", " ");
const DAY = 86400;

test("numbers have commas, a true minus, and a dash where nothing is known", () => {
  assert.equal(f.number(1284.4), "1,284");
  assert.equal(f.number(18204331), "18,204,331");
  assert.equal(f.number(-2.34, 1), "\u22122.3");
  assert.equal(f.number(0.412, 3, { sign: true }), "+0.412");
  assert.equal(f.number(-0.04, 1, { sign: true }), "0.0");
  for (const unknown of [null, undefined, NaN, Infinity]) assert.equal(f.number(unknown, 2), "–");
});

test("each quantity has its unit and decimals", () => {
  const say = (name, value) => plain(f.say(f.quantity[name](value)));
  assert.equal(say("power", 12345.6), "12,346 W");
  assert.equal(say("energy", 9.4249), "9.42 kWh");
  assert.equal(say("temperature", 25.0019), "25.002 °C");
  assert.equal(say("current", -0.1377), "\u22120.138 A");
  assert.equal(say("current", 0.4123), "+0.412 A");
  assert.equal(say("rms", 0.3141), "0.314 g");
  assert.equal(say("peak", 0.914), "0.91 g");
  assert.equal(say("frequency", 24.78), "24.8 Hz");
  assert.equal(say("volume", 25), "25.0 mL");
  assert.equal(say("angle", -38), "\u221238.0°");
  assert.equal(say("angleError", 0.21), "+0.2");
  assert.equal(say("bytes", 11.2e9), "11.2 GB");
  assert.equal(say("bytes", null), "–");
});

test("power is a falling upper bound once more time has passed than between the last two edges", () => {
  const at = (now_s) => plain(f.power({ watts: 360, edge_s: 100, gap_s: 10, now_s }).text);
  assert.equal(at(109), "360");
  assert.equal(at(110), "360");
  assert.equal(at(120), "≤ 180");
  assert.equal(at(200), "≤ 36");
  assert.equal(f.power({ watts: null, edge_s: 0, gap_s: 0, now_s: 1 }).text, "–");
});

test("durations have two units at most and never 60 of one", () => {
  const said = [[0.84, "0.8 s"], [9.97, "10 s"], [12.4, "12 s"], [59.6, "1 min 0 s"], [252, "4 min 12 s"], [3599.7, "1 h 0 min"],
    [11100, "3 h 5 min"], [86399, "1 d 0 h"], [187200, "2 d 4 h"], [null, "–"], [-0.2, "0.0 s"]]; // prettier-ignore
  for (const [seconds, text] of said) assert.equal(plain(f.duration(seconds)), text);
});

test("what lasted shortly is said finely", () => {
  for (const [seconds, text] of [[0.015, "15 ms"], [0.21, "0.21 s"], [0.997, "1.0 s"], [4, "4.0 s"], [null, "–"]]) assert.equal(plain(f.lasted(seconds)), text);
});

test("ages from afar are whole and of one unit", () => {
  for (const [seconds, text] of [[14.9, "14 s"], [252, "4 min"], [7300, "2 h"], [-1, "0 s"]]) assert.equal(plain(f.roughly(seconds)), text);
});

test("times are the rig's; older than a day with their date", () => {
  const now = Date.UTC(2026, 10, 22, 13, 32, 7) / 1000;
  assert.equal(f.clock(now, 3600), "14:32:07");
  assert.equal(f.moment(now - 60, now, 3600), "14:31:07");
  assert.equal(f.moment(now - 3 * DAY, now, 3600), "19 Nov 14:32");
  assert.equal(f.moment(now - 400 * DAY, now, 3600), "18 Oct 2025 14:32");
  assert.equal(f.clock(null, 0), "–");
});

test("counts take their unit, one and unknown ones too", () => {
  assert.equal(plain(f.counted(1, "edge")), "1 edge");
  assert.equal(plain(f.counted(1200, "sample")), "1,200 samples");
  assert.equal(plain(f.counted(null, "frame")), "unknown frames");
});

test("spans are spoken", () => {
  for (const [seconds, text] of [[600, "10 minutes"], [3600, "1 hour"], [315576000, "10 years"], [90, "1.5 minutes"]]) assert.equal(f.spoken(seconds), text);
});

test("a date is told where it is not today's, by the rig's clock", () => {
  const now_s = Date.UTC(2026, 10, 22, 0, 30) / 1000;
  assert.equal(f.dateUnlessToday(now_s - 600, now_s, 0), "");
  assert.equal(f.dateUnlessToday(now_s - 3600, now_s, 0), "21 Nov");
  assert.equal(f.dateUnlessToday(now_s - 600, now_s, -3600), "");
  assert.equal(f.dateUnlessToday(now_s - 3600, now_s, 3600), "");
  assert.equal(f.dateUnlessToday(now_s - 365 * DAY, now_s, 0), "22 Nov 2025");
});
