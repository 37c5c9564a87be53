/** The outputs' panel: how far each is behind the record, what waits, what was set aside. */

import { byId, h, keyed, setAttr, setText } from "./dom.js";
import { clock, duration, number } from "./format.js";
import { condition } from "./health.js";
import { icon, setIcon } from "./icons.js";

const NAMES = { csv: "CSV", influx: "InfluxDB", rollups: "Rollups" };
const BEHIND_S = 60;

export const isBehind = (output) => output.behind_s > BEHIND_S;

export function createOutputs({ link, state }) {
  const list = byId("output-list");
  const make = () => h("li", {}, h("div", { class: "head" }, icon("normal"), h("b"), h("span", { class: "lag" })), h("p", { class: "minor" }));

  function detail({ reason, behind, quarantine, delivered, refused, since_t }) {
    const parts = [];
    if (reason) parts.push(since_t ? `${reason} since ${clock(since_t / 1e9, state.zone_s())}` : reason);
    if (behind > 0) parts.push(`${number(behind)} rows wait`);
    if (!reason && delivered !== null && delivered !== undefined) parts.push(`${number(delivered)} rows delivered`);
    if (refused) parts.push(`${number(refused)} refused`);
    parts.push(`${number(quarantine)} in quarantine`);
    return parts.join(" · ");
  }

  function render() {
    const outputs = state.get("outputs");
    if (!outputs) return;
    const stale = condition("outputs", state, link).state === "stale";
    keyed(list, outputs, (output) => output.name, make, (node, output) => {
      const is = stale ? "stale" : isBehind(output) ? "warning" : "normal";
      setAttr(node, "data-state", is);
      setIcon(node.querySelector(".icon"), is);
      setText(node.querySelector("b"), NAMES[output.name] ?? output.name);
      setText(node.querySelector(".lag"), output.behind_s === null ? "unknown" : duration(output.behind_s));
      setText(node.querySelector("p"), detail(output));
    }); // prettier-ignore
    setText(byId("no-outputs"), outputs.length ? "" : "No outputs are configured: the record is the database.");
  }

  return { render };
}
