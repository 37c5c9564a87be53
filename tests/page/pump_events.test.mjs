import assert from "node:assert/strict";
import { test } from "node:test";

import { drive } from "../../common/gateway/page/js/drive.js";
import { describe, inOrder } from "../../common/gateway/page/js/pump_events.js";

const MS = 1e6;
const event = (t_ms, pump, what, fields = {}) => ({ t: t_ms * MS, pump, event: what, command_id: "", reason: null, ml: null, seconds: null, ...fields });
const shown = (events) => inOrder(events).map((each) => `${each.pump || "all"} ${describe(each, events)}`);

test("after a stop the outcome of the run comes first, and what befell all pumps is one line", () => {
  const run = { command_id: "page-1" };
  const events = [
    event(60_002, "food", "estop", { reason: "asked for" }),
    event(60_001, "water", "estop", { reason: "asked for" }),
    event(60_000, "water", "stopped", { ...run, ml: 5.94, reason: "estop" }),
    event(57_010, "water", "started", { ...run, ml: 20 }),
    event(57_000, "water", "intent", { ...run, ml: 20 }),
  ];
  const expected = ["water stopped, 5.9 of 20.0 mL, estop", "all estop, asked for", "water started, 20.0 mL", "water intent, 20.0 mL"];
  assert.deepEqual(shown(events), expected);
});

test("runs of several pumps stay apart, and what is seconds apart stays in its order", () => {
  const of = (pump) => ({ command_id: `page-${pump}`, ml: 1 });
  const started = [event(10_001, "food", "started", of("food")), event(10_000, "water", "started", of("water"))];
  assert.equal(shown(started).length, 2);
  const apart = [event(20_000, "water", "unlocked"), event(10_000, "water", "done", of("water")), event(2000, "water", "unlocked")];
  assert.deepEqual(inOrder(apart), apart);
});

test("the current of a thermostat's channel is tec_i; i_tec is a voltage, where there is nothing else", () => {
  const words = (channel) => {
    const found = drive(channel);
    return found && [found.field, found.unit, found.value.text, found.value.unit];
  };
  assert.deepEqual(words({ i_tec: 1.467, tec_i: -0.083 }), ["tec_i", "A", "−0.083", "A"]);
  assert.deepEqual(words({ i_tec: 1.467, tec_i: null }), ["tec_i", "A", "–", "A"]);
  assert.deepEqual(words({ i_tec: 1.467 }), ["i_tec", "V", "1.467", "V"]);
  assert.equal(words({ i_tec: null }), null);
});
