import assert from "node:assert/strict";
import { test } from "node:test";

import { condition, createHold, phrase } from "../../common/gateway/page/js/health.js";

const NOW_S = 1_800_000_000;
const ns = (age_s) => (NOW_S - age_s) * 1e9;
const LIVE = { state: "live", age: () => 0.1 };

function rig(more = {}) {
  const sections = {
    daemons: { thermostat: { state: "running", heard_t: ns(0.5) }, pump: { state: "running", heard_t: ns(0.5) } },
    streams: { "thermostat/tec/": { kind: "thermostat", src: "thermostat", limit_s: 1, heard_t: ns(0.1), state: "normal" } },
    thermostat: { devices: [] },
    pumps: { pumps: [] },
    ...more,
  };
  return { get: (name) => sections[name] ?? null, now: () => NOW_S };
}

test("normal while fresh", () => assert.equal(condition("thermostat", rig(), LIVE).state, "normal"));

test("a silent daemon makes its part stale, with the age of its newest data, and no other part", () => {
  const silent = rig({
    daemons: { thermostat: { state: "silent", heard_t: ns(13) }, pump: { state: "running", heard_t: ns(0) } },
    streams: { "thermostat/tec/": { kind: "thermostat", limit_s: 1, heard_t: ns(14), state: "stale" } },
  });
  const found = condition("thermostat", silent, LIVE, [{ id: "x", state: "fault", section: "thermostat" }]);
  assert.equal(found.state, "stale");
  assert.equal(Math.round(found.age_s), 14);
  assert.equal(condition("pumps", silent, LIVE).state, "normal");
});

test("one of two devices that is silent does not make the other look old", () => {
  const streams = {
    a: { kind: "thermostat", limit_s: 1, heard_t: ns(14), state: "stale" },
    b: { kind: "thermostat", limit_s: 1, heard_t: ns(0.1), state: "normal" },
  };
  assert.equal(condition("thermostat", rig({ streams }), LIVE).state, "normal");
});

test("without a link everything is stale, a latch too", () => {
  const link = { state: "stale", age: () => 14.2 };
  assert.deepEqual(condition("pumps", rig({ pumps: { locked: true, pumps: [] } }), link), { state: "stale", age_s: 14.2, why: "link" });
});

test("a sensor that was told to pause is held, not silent", () => {
  const sensor = { name: "vib0", state: "paused", fault: "" };
  const paused = (more) => rig({
    daemons: { highspeed: { state: "running", heard_t: ns(0.5) } },
    streams: { "samples/vib0/": { kind: "samples", limit_s: 1, heard_t: ns(70), state: "stale" } },
    vibration: { sensors: [{ ...sensor, ...more }] },
  });
  const found = condition("vibration", paused({}), LIVE);
  assert.deepEqual(found, { state: "stale", age_s: 70, why: "paused", since_s: NOW_S - 70 });
  assert.deepEqual(phrase(paused({ state: "stopped" }), LIVE, []), { state: "normal", text: "Vibration stopped" });
  assert.equal(condition("vibration", paused({ state: "running" }), LIVE).why, "stream");
  assert.equal(condition("vibration", paused({ fault: "no answer" }), LIVE).why, "stream");
  assert.equal(phrase(paused({ state: "running" }), LIVE, []).text, "1 silent");
});

test("a latch beats a fault, a fault a warning", () => {
  const alarms = [{ state: "warning", section: "pumps" }, { state: "fault", section: "pumps" }];
  assert.equal(condition("pumps", rig({ pumps: { locked: true, pumps: [] } }), LIVE, alarms).state, "latched");
  assert.equal(condition("pumps", rig(), LIVE, alarms).state, "fault");
  assert.equal(condition("pumps", rig(), LIVE, alarms.slice(0, 1)).state, "warning");
});

test("an alarm shows after 2 s, clears after 5 s, a latch does both at once", () => {
  const hold = createHold();
  const alarm = { id: "a", state: "warning", since_t: NOW_S * 1e9 };
  const latch = { id: "l", state: "latched", since_t: NOW_S * 1e9 };
  assert.deepEqual(hold([alarm], NOW_S), []);
  assert.deepEqual(hold([alarm, latch], NOW_S + 1), [latch]);
  assert.deepEqual(hold([alarm, latch], NOW_S + 2), [latch, alarm]);
  assert.deepEqual(hold([], NOW_S + 3), [alarm]);
  assert.deepEqual(hold([], NOW_S + 6.9), [alarm]);
  assert.deepEqual(hold([], NOW_S + 7), []);
});

test("an alarm that flickers never shows; one that is old shows to a new viewer at once", () => {
  const hold = createHold();
  for (let at = 0; at < 20; at += 2) {
    assert.deepEqual(hold([{ id: "a", state: "fault", since_t: (NOW_S + at) * 1e9 }], NOW_S + at), []);
    assert.deepEqual(hold([], NOW_S + at + 1), []);
  }
  const old = { id: "b", state: "fault", since_t: ns(100) };
  assert.deepEqual(createHold()([old], NOW_S), [old]);
});

test("the phrase says the worst", () => {
  const warning = { state: "warning", section: "outputs" };
  const fault = { state: "fault", section: "pumps" };
  assert.equal(phrase(rig(), LIVE, []).text, "All running");
  assert.equal(phrase(rig(), LIVE, [warning]).text, "1 warning");
  assert.equal(phrase(rig(), LIVE, [warning, fault, fault]).text, "2 faults");
  assert.equal(phrase(rig({ pumps: { locked: true, pumps: [] } }), LIVE, [fault]).text, "Stop latched");
  assert.equal(phrase(rig(), { state: "stale", age: () => 3 }, []).text, "No data");
});
