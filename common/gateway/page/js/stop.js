/** The STOP button: pressed by mouse and pen at once, by touch on release without scrolling, by Ctrl+. from anywhere. */

import { byId, setAttr, setHidden, setText } from "./dom.js";
import { clock } from "./format.js";
import { createEstop } from "./estop.js";
import { icon, setIcon } from "./icons.js";
import { commandId } from "./token.js";

const SLIP_PX = 12; // a finger that moved further was scrolling

/** What the button stops: "pumps, arm", of the devices that there are. */
const stops = (state) => (state.get("rig")?.stops ?? ["pumps", "arm"]).join(", ");

export const isLatched = (state) => Boolean(state.get("pumps")?.locked || state.get("arm")?.locked);
export const latchedAt_s = (state) => Math.min(...["pumps", "arm"].map((name) => state.get(name)?.locked_t).filter(Boolean)) / 1e9;

export function createStop({ link, state }) {
  const button = byId("stop");
  const [title, subtitle] = button.querySelectorAll("b, small");
  const sign = button.insertBefore(icon("stop"), button.firstChild);
  const estop = createEstop({
    send: link.send,
    post: (body, signal) => link.request("POST", "/api/estop", body, signal),
    newId: commandId,
    changed: () => render(),
  });
  let touch = null; // {x, y, scrolled}: where a finger went down
  let pressedAt = -Infinity;

  function press() {
    pressedAt = performance.now();
    estop.press();
  }

  link.on("reply", estop.hear);
  button.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") touch = { x: event.clientX, y: event.clientY, scrolled: scrollY };
    else if (event.button === 0) press();
  });
  button.addEventListener("pointercancel", () => (touch = null));
  button.addEventListener("pointerup", (event) => {
    if (event.pointerType !== "touch" || !touch) return;
    const still = Math.hypot(event.clientX - touch.x, event.clientY - touch.y) < SLIP_PX && scrollY === touch.scrolled;
    touch = null;
    if (still) press();
  });
  button.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && !event.repeat) press();
  });
  // a click without any pointer or key comes from assistive technology
  button.addEventListener("click", (event) => {
    if (event.detail === 0 && performance.now() - pressedAt > 700) press();
  });
  addEventListener(
    "keydown",
    (event) => {
      if (event.key !== "." || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      if (!event.repeat) press();
    },
    { capture: true },
  );

  /** → [look, icon, title, subtitle] */
  function face() {
    const latched = isLatched(state);
    if (estop.phase === "answered" && latched) estop.phase = "idle";
    if (estop.phase === "silent") return ["silent", "stop", "No answer", "use the switch on the rig"];
    if (estop.phase === "refused") return ["silent", "stop", "Refused", "use the switch on the rig"];
    if (link.state !== "live") return ["unreachable", "stop", "STOP cannot reach the rig", "use the switch on the rig"];
    // answered is not yet stopped: the status says so
    if (estop.phase === "sending" || (estop.phase === "answered" && !latched)) return ["sending", "stop", "Stopping…", `software stop: ${stops(state)}`];
    if (latched) return ["latched", "latched", "STOPPED", `latched ${clock(latchedAt_s(state), state.zone_s())}`];
    return ["ready", "stop", "STOP ALL", `software stop: ${stops(state)}`];
  }

  function render() {
    const [look, shape, first, second] = face();
    setAttr(button, "data-look", look);
    setIcon(sign, shape);
    setText(title, first);
    setText(subtitle, second);
    setAttr(button, "aria-label", `${first} ${second}. Software emergency stop: ${stops(state)}`);
    setHidden(button, state.get("rig")?.stops?.length === 0);
  }

  return { render };
}
