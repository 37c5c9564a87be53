/** Sends the emergency stop until the rig has answered: by HTTP and /live at once, again each 250 ms, under one command id.

The one command that may be sent again: it cannot move anything. No DOM here. */

const AGAIN_MS = 250;
const NO_ANSWER_MS = 1000;
const TIMEOUT_MS = 3000;

/** send(message): over /live; post(body, signal): by HTTP, rejects without an answer or with an error of the rig.

→ {press(), hear(reply), phase ("idle" | "sending" | "silent" | "answered" | "refused"), detail} */
export function createEstop({ send, post, newId, changed, timers = globalThis }) {
  const self = { phase: "idle", detail: "", press, hear };
  let id = null;
  let again = 0;

  function set(phase, detail = "") {
    Object.assign(self, { phase, detail });
    changed();
  }

  function finish(phase, detail) {
    timers.clearInterval(again);
    id = null;
    set(phase, detail);
  }

  function attempt() {
    const mine = id;
    const body = { command_id: mine, reason: "page" };
    try {
      send({ op: "estop", ...body });
    } catch {
      // HTTP goes out all the same
    }
    post(body, AbortSignal.timeout(TIMEOUT_MS)).then(
      (answer) => mine === id && finish("answered", answer.detail),
      // no token: sending it again would not help; any other error may pass
      (error) => mine === id && (error.status === 401 || error.status === 403) && finish("refused", error.message),
    );
  }

  function press() {
    if (id !== null) return;
    id = newId();
    set("sending");
    attempt();
    again = timers.setInterval(attempt, AGAIN_MS);
    const mine = id;
    timers.setTimeout(() => mine === id && set("silent"), NO_ANSWER_MS);
  }

  function hear(reply) {
    if (reply.op === "estop" && reply.command_id === id && id !== null && reply.ok) finish("answered", reply.detail);
  }

  return self;
}
