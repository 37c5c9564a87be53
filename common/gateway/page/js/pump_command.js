/** One press of a pump's button, from intent to outcome. It is sent once; after that the page only asks what came of it.

No DOM here. phase: "idle", "sending", "asking" (no answer yet), "going" (the rig has it), "ended". */

const ASK_MS = 1000;
const TIMEOUT_MS = 4000;

export const CONFIRM_MS = 3000;
const CONFIRM_OVER = 5;

/** Whether a volume is so much more than the last one that it takes a second press. */
export const isUnusual = (amount, last) => Boolean(last) && amount > CONFIRM_OVER * last;

/** What is wrong with a number as typed, for its field; "" nothing. → {value, decimals, wrong} */
export function readAmount(text, { most, unit }) {
  const trimmed = text.trim();
  const match = /^\d+(?:\.(\d*))?$/.exec(trimmed);
  const value = match ? Number(trimmed) : null;
  const decimals = match?.[1]?.length ?? 0;
  let wrong = "";
  if (!trimmed) wrong = `How much? Up to ${most} ${unit}`;
  else if (!match) wrong = trimmed.includes(",") ? "Decimals after a point: 10.5" : "A number, as 10.5";
  else if (value === 0) wrong = `More than 0 ${unit}`;
  else if (value > most) wrong = `At most ${most} ${unit} a run`;
  else if (decimals > 3) wrong = "At most 3 decimals";
  return { value: wrong ? null : value, decimals, wrong };
}

/** Planned time of a volume, s: the daemon's own arithmetic (both ramps included); null without a calibration. */
export function planned_s(ml, { steps_per_ml, hz, ramp_s = 0 }) {
  if (!steps_per_ml || !hz || !ml) return null;
  const steps = ml * steps_per_ml;
  return steps >= hz * ramp_s ? steps / hz + ramp_s : 2 * Math.sqrt((steps * ramp_s) / hz);
}

/** request(method, path, body, signal) as of js/link.js; isLive(): whether asking makes sense now. */
export function createPumpCommand({ request, newId, isLive, changed, wait = (ms) => new Promise((done) => setTimeout(done, ms)) }) {
  const self = { phase: "idle", id: null, text: "", bad: false, send, see };

  function set(phase, text = "", bad = false) {
    Object.assign(self, { phase, text, bad });
    changed();
  }

  async function send(path, body) {
    if (self.phase !== "idle" && self.phase !== "ended") return;
    const id = (self.id = newId());
    set("sending", "Sending…");
    try {
      await request("POST", path, { command_id: id, ...body }, AbortSignal.timeout(TIMEOUT_MS));
      if (self.phase === "sending") set("going");
    } catch (error) {
      // a refusal is an outcome; no answer is none, and neither is a gateway that got none
      if (error.status >= 400 && error.status < 500) return set("ended", `Refused: ${error.message}`, true);
    }
    return follow(id);
  }

  async function follow(id) {
    let unknown = 0;
    for (;;) {
      await wait(ASK_MS);
      if (self.id !== id || self.phase === "ended") return;
      if (!isLive()) {
        set("asking", "No answer. Asking what came of it once the rig is back; it is not sent again.", true);
        continue;
      }
      try {
        const found = await request("GET", `/api/pumps/commands/${id}`, undefined, AbortSignal.timeout(TIMEOUT_MS));
        if (found.state !== "running") return ended(found);
        if (self.phase !== "going") set("going");
      } catch (error) {
        // one "unknown" may be a command that is still on its way
        if (error.status === 404 && ++unknown >= 3) return set("ended", "The rig never got this command: nothing moved.", true);
        if (error.status !== 404 && self.phase !== "going") set("asking", "No answer yet. Asking what came of it; it is not sent again.", true);
      }
    }
  }

  function ended({ state, ended: runs = [], events = [] }) {
    const run = runs.at(-1) ?? events.filter((event) => event.event === state).at(-1) ?? {};
    if (self.phase !== "ended") set("ended", outcome(state, run), state !== "done");
  }

  /** What the status says of this pump: the outcome comes sooner that way than by asking. */
  function see(pump) {
    if (!self.id || self.phase === "ended" || pump.last?.command_id !== self.id) return;
    set("ended", outcome(pump.last.state, pump.last), pump.last.state !== "done");
  }

  return self;
}

const ONE = (value) => value.toFixed(1);

/** "done, 10.0 of 10.0 mL"; reason after what was stopped or refused. */
export function outcome(state, { ml, planned_ml, seconds, reason }) {
  const amount = ml !== null && ml !== undefined ? (planned_ml ? `${ONE(ml)} of ${ONE(planned_ml)} mL` : `${ONE(ml)} mL`) : seconds ? `${ONE(seconds)} s` : "";
  return [state === "unknown" ? "outcome unknown" : state, amount, state === "done" ? "" : reason].filter(Boolean).join(", ");
}
