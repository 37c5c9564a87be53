/** The arm's panel: a row a joint with its range, the commanded angle as a tick and the actual one as a dot. */

import { byId, h, keyed, setAttr, setHidden, setText } from "./dom.js";
import { number, quantity, say } from "./format.js";

/** What the arm says of itself, in a word. */
export function doing({ state, locked }) {
  if (locked) return "latched";
  if (state?.enable_status === undefined || state.enable_status === null) return "unknown";
  if (state.error_status) return `error ${state.error_status}`;
  if (state.power_status === 0) return "power off";
  return state.enable_status ? "holding" : "released";
}

const GRIPPER = 6;

export function createArm({ state }) {
  const rows = byId("arm-joints");

  function make({ label }) {
    const track = h("span", { class: "track" }, h("i", { class: "zero" }), h("i", { class: "tick" }), h("i", { class: "dot" }));
    return h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, track), h("td", { data: { value: `arm-${label}` } }), h("td", { class: "error" }));
  }

  function update(node, { angle, target, limits, unit }) {
    const [zero, tick, dot] = node.querySelectorAll("i");
    const [low, high] = limits ?? [null, null];
    const put = (mark, value) => {
      const known = value !== null && value !== undefined && limits;
      setHidden(mark, !known);
      if (known) mark.style.left = `${Math.min(100, Math.max(0, ((value - low) / (high - low)) * 100)).toFixed(1)}%`;
    };
    put(zero, low < 0 && high > 0 ? 0 : null);
    put(tick, target);
    put(dot, angle);
    const known = angle !== null && angle !== undefined;
    setText(node.children[2], known ? say({ ...quantity.angle(angle), unit }) : "–");
    setText(node.children[3], known && target !== null && target !== undefined ? quantity.angleError(angle - target).text : "–");
    setAttr(node, "title", limits ? `range ${number(low)} to ${number(high)}` : null);
  }

  function render() {
    const arm = state.get("arm");
    if (!arm) return;
    setText(byId("arm-doing"), `${doing(arm)}, ${number(arm.rate_hz, 1)} /s`);
    const count = Math.max(arm.limits?.length ?? 0, arm.angles?.length ?? 0);
    const joints = Array.from({ length: count }, (_, id) => ({
      label: id === GRIPPER ? "G" : `J${id}`,
      angle: arm.angles?.[id],
      target: arm.targets?.[id],
      limits: arm.limits?.[id],
      unit: id !== GRIPPER || arm.gripper_unit === "deg" ? "°" : arm.gripper_unit === "mm" ? "mm" : "",
    }));
    keyed(rows, joints, (joint) => joint.label, make, update);
  }

  return { render };
}
