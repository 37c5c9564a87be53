/** The band of a latched stop, and the way out of it: hold 2 s, then a dialog that says what will happen. */

import { byId, setAttr, setHidden, setText } from "./dom.js";
import { moment, number, title } from "./format.js";
import { isLatched, latchedAt_s } from "./stop.js";
import { commandId } from "./token.js";

const HOLD_MS = 2000;
const SAME_NS = 2e9;

/** What the stop did, from what the rig says. → sentences */
export function whatHappened(state) {
  const [pumps, arm] = [state.get("pumps"), state.get("arm")];
  const out = [];
  if (pumps?.locked) {
    const ended = pumps.pumps.filter((pump) => pump.last?.reason === "estop" && wasThisStop(pumps, pump));
    for (const { pump, last } of ended) out.push(`${title(pump)} pump ended after ${amounts(last)}.`);
    out.push("Pumps are locked.");
  } else if (pumps) out.push("The pumps are not locked.");
  if (arm?.locked) out.push("Arm commands are refused; a move under way goes on to its target.");
  else if (arm) out.push("The arm is not locked.");
  return out;
}

function amounts({ ml, planned_ml, seconds, planned_s }) {
  if (ml === null || ml === undefined || !planned_ml) return `${number(seconds, 1)} of ${number(planned_s, 1)} s`;
  return `${number(ml, 1)} of ${number(planned_ml, 1)} mL`;
}

/** The last run belongs to this stop if it ended when the latch was set; an earlier stop may have ended it, too. */
function wasThisStop({ events, locked_t }, { last }) {
  const end = events.find((event) => event.command_id === last.command_id && event.event === "stopped");
  return Boolean(end) && Math.abs(end.t - locked_t) < SAME_NS;
}

const from = (reason) => (!reason ? "" : reason === "page" ? " from the page" : ` (${reason})`);

export function createLatch({ link, state }) {
  const band = byId("latched");
  const button = byId("unlock");
  const fill = button.querySelector(".fill");
  const dialog = byId("unlock-dialog");
  const typed = byId("unlock-typed");
  const confirm = byId("unlock-confirm");
  const said = byId("unlock-said");
  let heldFrom = null;
  let byKey = false;
  let frame = 0;
  let unlocking = false;

  function fillUp(now) {
    heldFrom ??= now;
    const share = Math.min(1, (now - heldFrom) / HOLD_MS);
    fill.style.width = `${share * 100}%`;
    if (share < 1) frame = requestAnimationFrame(fillUp);
    else if (!byKey) {
      release();
      open({ type: false });
    }
  }

  function hold(key) {
    if (frame) return;
    byKey = key;
    frame = requestAnimationFrame(fillUp);
  }

  function release() {
    cancelAnimationFrame(frame);
    frame = 0;
    heldFrom = null;
    fill.style.width = "0";
  }

  button.addEventListener("pointerdown", (event) => event.button === 0 && hold(false));
  for (const end of ["pointerup", "pointerleave", "pointercancel", "blur"]) button.addEventListener(end, release);
  const isPress = (event) => event.key === " " || event.key === "Enter";
  button.addEventListener("keydown", (event) => {
    if (!isPress(event)) return;
    event.preventDefault();
    if (!event.repeat) hold(true);
  });
  // A key that is held repeats, and its release presses too: the dialog opens when it is let go.
  button.addEventListener("keyup", (event) => {
    if (!isPress(event)) return;
    event.preventDefault();
    const isFull = byKey && heldFrom !== null && performance.now() - heldFrom >= HOLD_MS;
    release();
    if (isFull) open({ type: false });
  });
  button.addEventListener("contextmenu", (event) => event.preventDefault());

  /** type: for who cannot hold: the word UNLOCK is typed instead. */
  function open({ type }) {
    setText(byId("unlock-what"), whatHappened(state).join(" "));
    setHidden(byId("unlock-type"), !type);
    typed.value = "";
    confirm.disabled = type;
    setText(said, "");
    if (!dialog.open) dialog.showModal();
    byId("unlock-keep").focus();
  }

  typed.addEventListener("input", () => (confirm.disabled = typed.value.trim() !== "UNLOCK"));
  byId("unlock-keep").addEventListener("click", () => dialog.close());
  confirm.addEventListener("click", async () => {
    confirm.disabled = unlocking = true;
    setText(said, "Unlocking…");
    try {
      await link.request("POST", "/api/unlock", { command_id: commandId(), confirm: "unlock" });
    } catch (error) {
      unlocking = confirm.disabled = false;
      setText(said, `Not unlocked: ${error.message}`);
    }
  });

  function render() {
    const latched = isLatched(state);
    setHidden(band, !latched);
    if (!latched && dialog.open) {
      // only what the rig says closes it as done
      unlocking = false;
      dialog.close();
    }
    if (!latched) return release();
    const now = state.now();
    const reason = state.get("pumps")?.locked_by || state.get("arm")?.locked_by;
    setText(byId("latched-what"), `Stopped at ${moment(latchedAt_s(state), now, state.zone_s())}`);
    setText(byId("latched-detail"), `${from(reason)}. ${whatHappened(state).join(" ")} Nothing starts by itself after unlocking.`);
    const may = state.get("rig")?.control !== false;
    const live = link.state === "live";
    button.disabled = !may || !live;
    setText(button.lastElementChild, may ? "Hold 2 s to unlock" : "Unlocking needs the control token");
    setAttr(byId("unlock-typing"), "disabled", latched && may && live ? null : "");
    if (!live && frame) release();
    return undefined;
  }

  return { render, open };
}
