/** Eight cells: one value and one remark a part of the rig. */

import { byId, h, setAttr, setHidden, setText } from "./dom.js";
import { clock, duration, NONE, number, quantity, say } from "./format.js";
import { condition, HELD } from "./health.js";
import { icon, setIcon } from "./icons.js";
import { unknowns } from "./account.js";
import { doing } from "./arm.js";
import { isBehind } from "./outputs.js";

const J_PER_KWH = 3.6e6;
const TOLD_S = 3; // an edge stands in the status by then

const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const perSecond = (rate) => (rate === null ? NONE : `${number(rate, 1)} /s`);
const rateOf = (state, kind) => Object.values(state.get("streams") ?? {}).filter((stream) => stream.kind === kind).reduce((sum, stream) => sum + (stream.rate_hz ?? 0), 0);

/** Pulses a second of all meters, by their power; one whose next edge is certainly late counts less and less. */
function pulseRate(channels, now_s) {
  const known = channels.filter((each) => each.watts !== null && each.edge_t !== null);
  const rate = ({ watts, imp_per_kwh, edge_t }) => Math.min((watts * imp_per_kwh) / J_PER_KWH, 1 / Math.max(0.001, now_s - edge_t / 1e9 - TOLD_S));
  return known.length ? known.reduce((sum, each) => sum + rate(each), 0) : null;
}

/** "p99 212 µs"; from a millisecond on in ms, or it would not fit. */
function lateness(us) {
  if (us === undefined || us === null) return "";
  return us < 999.5 ? `p99 ${number(us)} µs` : `p99 ${number(us / 1000, us < 9950 ? 1 : 0)} ms`;
}

function pumpsWord({ pumps, locked }) {
  if (locked) return "latched";
  const running = pumps.filter((pump) => pump.run).length;
  return running ? `${running} running` : "idle";
}

/** name, part (js/health.js), its value and remark from the section. */
const CELLS = [
  ["Pulses", "power", (pulse, state) => [perSecond(pulseRate(pulse.channels, state.now())), many(pulse.channels.length, "channel")]],
  ["Vibration", "vibration", ({ sensors }, state) => [say(quantity.frequency(sensors[0]?.rate_hz)), lateness(state.get("daemons")?.highspeed?.lateness_us?.p99)]],
  ["Thermostat", "thermostat", ({ devices }, state) => [perSecond(rateOf(state, "thermostat")), many(devices.reduce((sum, each) => sum + each.channels.length, 0), "channel")]],
  ["Pumps", "pumps", (pumps) => [pumpsWord(pumps), many(pumps.pumps.length, "pump")]],
  ["Arm", "arm", (arm) => [perSecond(arm.rate_hz), doing(arm)]],
  ["Record", "record", (record) => [duration(record.behind_s), "behind"]],
  ["Outputs", "outputs", (outputs) => {
    const behind = outputs.filter(isBehind).length;
    return behind ? [`${behind} behind`, `of ${outputs.length}`] : ["up to date", many(outputs.length, "output")];
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
      const { state: is, why, since_s } = condition(cell.part, state, link, alarms());
      const section = state.get({ power: "pulse" }[cell.part] ?? cell.part);
      setHidden(cell.node, section === null && state.has("rig"));
      const held = HELD.includes(why);
      // a rate of pulses falls before anybody knows that they only are not told: it is not kept
      const unknown = !section || (is === "stale" && cell.part === "power");
      const [value, remark] = held ? [why, since_s ? `since ${clock(since_s, state.zone_s(), { seconds: false })}` : ""] : unknown ? [NONE, ""] : cell.view(section, state);
      setAttr(cell.node, "data-state", is);
      // what is stale stays as it was last said
      const frozen = is === "stale" && !held && !unknown && cell.value.textContent !== NONE;
      setIcon(cell.icon, held ? "pause" : is === "normal" && cell.part === "account" && section?.ok ? "check" : is);
      if (frozen) continue;
      setText(cell.value, value);
      setText(cell.remark, remark);
    }
  }

  return { render };
}
