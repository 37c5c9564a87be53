/** Eight cells: one value and one remark a part of the rig. */

import { byId, h, setAttr, setHidden, setText } from "./dom.js";
import { duration, NONE, number, quantity, say } from "./format.js";
import { condition } from "./health.js";
import { icon, setIcon } from "./icons.js";
import { unknowns } from "./account.js";
import { doing } from "./arm.js";
import { isBehind } from "./outputs.js";

const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const perSecond = (rate) => `${number(rate, 1)} /s`;
const rateOf = (state, kind) => Object.values(state.get("streams") ?? {}).filter((stream) => stream.kind === kind).reduce((sum, stream) => sum + (stream.rate_hz ?? 0), 0);

/** Pulses a second of all channels; a channel whose next edge is late counts less and less. */
function pulseRate(channels, now_s) {
  return channels.filter((each) => each.gap_s > 0).reduce((sum, each) => sum + 1 / Math.max(each.gap_s, now_s - each.edge_t / 1e9), 0);
}

function pumpsWord({ pumps, locked }) {
  if (locked) return "latched";
  const running = pumps.filter((pump) => pump.run).length;
  return running ? `${running} running` : "idle";
}

/** name, part (js/health.js), its value and remark from the section. */
const CELLS = [
  ["Pulses", "power", (pulse, state) => [perSecond(pulseRate(pulse.channels, state.now())), many(pulse.channels.length, "channel")]],
  ["Vibration", "vibration", ({ sensors }, state) => {
    const p99 = state.get("daemons")?.highspeed?.lateness_us?.p99;
    return [say(quantity.frequency(sensors[0]?.rate_hz)), p99 === undefined || p99 === null ? "" : `p99 ${number(p99)} µs`];
  }],
  ["Thermostat", "thermostat", ({ devices }, state) => [perSecond(rateOf(state, "thermostat")), many(devices.reduce((sum, each) => sum + each.channels.length, 0), "channel")]],
  ["Pumps", "pumps", (pumps) => [pumpsWord(pumps), many(pumps.pumps.length, "pump")]],
  ["Arm", "arm", (arm) => [perSecond(arm.rate_hz), doing(arm)]],
  ["Record", "record", (record) => [duration(record.behind_s), "behind"]],
  ["Outputs", "outputs", (outputs) => {
    const all = outputs.filter((each) => each.name !== "rollups");
    const behind = all.filter(isBehind).length;
    return behind ? [`${behind} behind`, `of ${all.length}`] : ["up to date", many(all.length, "output")];
  }],
  ["Account", "account", (account) => {
    const { ok, published, stored, lost, pending } = account;
    const off = published - stored - lost - pending;
    return [ok ? "balances" : ok === null ? "unknown" : off ? `off by ${number(off)}` : "does not balance", `${number(unknowns(account))} unknown`];
  }],
]; // prettier-ignore

export function createStrip({ link, state, alarms }) {
  const cells = CELLS.map(([name, part, view]) => {
    const parts = { icon: icon("normal"), value: h("b", { data: { value: `cell-${part}` } }, NONE), remark: h("span") };
    const node = h("li", { data: { cell: part, state: "normal" } }, h("span", { class: "name" }, parts.icon, name), h("span", { class: "now" }, parts.value, " ", parts.remark));
    byId("strip").append(node);
    return { part, view, node, ...parts };
  });

  function render() {
    for (const cell of cells) {
      const { state: is } = condition(cell.part, state, link, alarms());
      const section = state.get({ power: "pulse" }[cell.part] ?? cell.part);
      setHidden(cell.node, section === null && state.has("rig"));
      const [value, remark] = section ? cell.view(section, state) : [NONE, ""];
      setAttr(cell.node, "data-state", is);
      // what is stale stays as it was last said
      const frozen = is === "stale" && cell.value.textContent !== NONE;
      setIcon(cell.icon, is === "normal" && cell.part === "account" && section?.ok ? "check" : is);
      if (frozen) continue;
      setText(cell.value, value);
      setText(cell.remark, remark);
    }
  }

  return { render };
}
