import assert from "node:assert/strict";
import { test } from "node:test";

import { createEstop } from "../../common/gateway/page/js/estop.js";
import { createPumpCommand, isUnusual, planned_s, readAmount } from "../../common/gateway/page/js/pump_command.js";

const turn = () => new Promise((done) => setImmediate(done));
const never = () => new Promise(() => {});

function stop(post) {
  const clock = { at: 0, jobs: [] };
  const timers = {
    setInterval: (fn, ms) => clock.jobs.push({ fn, ms, due: ms }) - 1,
    setTimeout: (fn, ms) => clock.jobs.push({ fn, due: ms, once: true }) - 1,
    clearInterval: (id) => (clock.jobs[id].off = true),
  };
  const sent = { live: [], http: [] };
  const estop = createEstop({
    send: (message) => sent.live.push(message.command_id),
    post: (body) => (sent.http.push(body.command_id), post(sent.http.length)),
    newId: () => "page-1",
    changed: () => {},
    timers,
  });
  const pass = (ms) => {
    for (clock.at += ms; ; ) {
      const job = clock.jobs.filter((each) => !each.off && each.due <= clock.at).sort((a, b) => a.due - b.due)[0];
      if (!job) return;
      if (job.once) job.off = true;
      else job.due += job.ms;
      job.fn();
    }
  };
  return { estop, sent, pass };
}

test("the stop goes out both ways at once, under one id, again each 250 ms until it is answered", () => {
  const { estop, sent, pass } = stop(never);
  estop.press();
  assert.deepEqual([sent.live, sent.http], [["page-1"], ["page-1"]]);
  pass(500);
  assert.equal(sent.http.length, 3);
  estop.hear({ op: "estop", command_id: "another", ok: true });
  pass(250);
  assert.deepEqual([sent.http.length, estop.phase], [4, "sending"]);
  estop.hear({ op: "estop", command_id: "page-1", ok: true });
  pass(5000);
  assert.deepEqual([sent.http.length, new Set([...sent.live, ...sent.http]).size, estop.phase], [4, 1, "answered"]);
});

test("after a second without an answer it says so, and goes on", () => {
  const { estop, sent, pass } = stop(never);
  estop.press();
  pass(1000);
  assert.equal(estop.phase, "silent");
  pass(1000);
  assert.equal(sent.http.length, 9);
});

test("an error of the rig is no answer; a token that may not is", async () => {
  const failing = stop(() => Promise.reject(Object.assign(new Error("nobody answers"), { status: 503 })));
  failing.estop.press();
  await turn();
  assert.equal(failing.estop.phase, "sending");
  const refused = stop(() => Promise.reject(Object.assign(new Error("a token is needed"), { status: 401 })));
  refused.estop.press();
  await turn();
  refused.pass(2000);
  assert.deepEqual([refused.estop.phase, refused.sent.http.length], ["refused", 1]);
});

test("a press while one is under way sends nothing new", () => {
  const { estop, sent } = stop(never);
  estop.press();
  estop.press();
  assert.equal(sent.http.length, 1);
});

/** A rig that answers as told; asked: all requests. */
function pump(answer) {
  const asked = [];
  const link = { live: true };
  const command = createPumpCommand({
    request: async (method, path, body) => {
      asked.push([method, path, body?.command_id]);
      return answer(method, asked);
    },
    newId: () => `page-${asked.length}`,
    isLive: () => link.live,
    changed: () => {},
    wait: turn,
  });
  return { command, asked, link };
}
const failure = (status, message = "") => Object.assign(new Error(message), { status });
const posts = (asked) => asked.filter(([method]) => method === "POST").length;

test("a dose is sent once; a second press before the outcome does nothing", async () => {
  const { command, asked } = pump((method) => (method === "POST" ? {} : { state: "running", running: [{}] }));
  command.send("/api/pumps/dispense", { pump: "water", ml: 10 });
  command.send("/api/pumps/dispense", { pump: "water", ml: 10 });
  for (let i = 0; i < 5; i++) await turn();
  command.send("/api/pumps/dispense", { pump: "water", ml: 10 });
  assert.equal(posts(asked), 1);
  command.see({ last: { command_id: "page-0", state: "done", ml: 10, planned_ml: 10 } });
  assert.deepEqual([command.phase, command.text], ["ended", "done, 10.0 of 10.0 mL"]);
});

test("no answer: it asks what came of it, once the link is back, and never sends again", async () => {
  const { command, asked, link } = pump((method) => {
    if (method === "POST") throw failure(0, "the rig does not answer");
    return { state: "stopped", ended: [{ ml: 3, planned_ml: 10, reason: "estop" }] };
  });
  link.live = false;
  const done = command.send("/api/pumps/dispense", { pump: "water", ml: 10 });
  for (let i = 0; i < 10; i++) await turn();
  assert.deepEqual([asked.length, command.phase], [1, "asking"]);
  link.live = true;
  await done;
  assert.deepEqual([posts(asked), asked.at(-1)[1]], [1, "/api/pumps/commands/page-0"]);
  assert.equal(command.text, "stopped, 3.0 of 10.0 mL, estop");
});

test("a gateway that got no answer from the daemon may have moved something: asked, not sent again", async () => {
  const { command, asked } = pump((method) => {
    if (method === "POST") throw failure(504, "no answer");
    throw failure(404, "unknown");
  });
  await command.send("/api/pumps/dispense", { pump: "water", ml: 10 });
  assert.deepEqual([posts(asked), command.bad], [1, true]);
  assert.match(command.text, /nothing moved/);
});

test("a refusal is an outcome", async () => {
  const { command, asked } = pump(() => {
    throw failure(409, "busy: water runs");
  });
  await command.send("/api/pumps/dispense", { pump: "water", ml: 10 });
  assert.deepEqual([asked.length, command.phase, command.text], [1, "ended", "Refused: busy: water runs"]);
});

test("amounts are read to the letter, never rounded", () => {
  const read = (text) => readAmount(text, { most: 250, unit: "mL" });
  assert.deepEqual(read("10.25"), { value: 10.25, decimals: 2, wrong: "" });
  for (const bad of ["", "0", "-1", "1e3", "10,5", "abc", "251", "1.23456", "Infinity"]) assert.equal(read(bad).value, null, bad);
  assert.match(read("251").wrong, /At most 250 mL/);
  assert.match(read("10,5").wrong, /10\.5/);
});

test("more than five times the last volume takes a second press", () => {
  assert.deepEqual([isUnusual(50, 10), isUnusual(50.1, 10), isUnusual(50, null)], [false, true, false]);
});

test("the planned time is the daemon's arithmetic", () => {
  const close = (a, b) => assert.ok(Math.abs(a - b) < 1e-9, `${a} ${b}`);
  close(planned_s(10, { steps_per_ml: 3000, hz: 10000, ramp_s: 0.2 }), 3.2);
  close(planned_s(0.5, { steps_per_ml: 3000, hz: 10000, ramp_s: 0.2 }), 2 * Math.sqrt((1500 * 0.2) / 10000));
  assert.equal(planned_s(10, { steps_per_ml: null, hz: 10000, ramp_s: 0.2 }), null);
});

