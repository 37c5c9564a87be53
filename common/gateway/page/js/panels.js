/** What all panels share: which are there, their state, the age of what is old, the remark at the right of the header. */

import { h, setAttr, setHidden, setText } from "./dom.js";
import { duration, moment, roughly, title } from "./format.js";
import { condition, HELD, PARTS } from "./health.js";

const WAITED_FOR = { power: "pulse", vibration: "sample", thermostat: "report", arm: "angles" };

/** "Waiting for the first report · 192.168.1.26:23 · refused, try 6"; "" once something came. */
export function waiting(name, section) {
  if (name !== "thermostat") return WAITED_FOR[name] ? `Waiting for the first ${WAITED_FOR[name]}` : "";
  const device = section.devices.find((each) => !each.connected) ?? section.devices[0];
  const error = [device?.last_error, device?.tries ? `try ${device.tries}` : ""].filter(Boolean).join(", ");
  const address = error.startsWith(device?.address) ? "" : device?.address;
  return ["Waiting for the first report", address, error].filter(Boolean).join(" · ");
}

/** What the charts and the lists do not say themselves. */
function remarkOf(name, state) {
  if (state.remarkOf(name)) return state.remarkOf(name);
  const section = state.get(PARTS[name].section);
  if (name === "thermostat" && section?.devices[0]?.period_s) return `report every ${duration(section.devices[0].period_s)}`;
  return "";
}

export function createPanels({ link, state, alarms }) {
  const panels = [...document.querySelectorAll("[data-panel]")].map((node) => {
    const tag = h("span", { class: "tag", hidden: true });
    node.querySelector("header").append(tag);
    return { name: node.dataset.panel, node, tag, remark: node.querySelector(".remark"), note: node.querySelector(".note") };
  });

  function renderPanel({ name, node, tag, remark, note }) {
    const section = state.get(PARTS[name].section);
    setHidden(node, section === null && state.has("rig"));
    const { state: is, age_s, never, why, since_s } = condition(name, state, link, alarms());
    setAttr(node, "data-state", is);
    const held = HELD.includes(why);
    const stale = held || (is === "stale" && age_s !== null && link.state !== "down");
    setHidden(tag, !stale);
    if (held) setText(tag, title(why) + (since_s ? ` since ${moment(since_s, state.now(), state.zone_s())}` : ""));
    else if (stale) setText(tag, `${roughly(age_s)} old`);
    if (note) {
      const text = never && section ? waiting(name, section) : "";
      setText(note, text);
      setHidden(note, !text);
    }
    setHidden(remark, stale);
    const said = remarkOf(name, state);
    if (typeof said === "string") setText(remark, said);
    else if (remark.firstChild !== said) remark.replaceChildren(said);
  }

  return { render: () => panels.forEach(renderPanel) };
}
