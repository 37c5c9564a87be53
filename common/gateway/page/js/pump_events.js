/** The pumps' newest events, as a list of few lines shows them. Pure. */

import { number } from "./format.js";

const TOGETHER_NS = 1e9; // one press is an event of each pump, some ms apart
const OUTCOMES = ["done", "stopped", "failed", "refused"];

/** Newest first, but of what happened together the outcome of a run first; what befell several pumps alike is one of "all". */
export function inOrder(events) {
  const groups = [];
  for (const event of events) {
    if (groups.length && groups.at(-1)[0].t - event.t < TOGETHER_NS) groups.at(-1).push(event);
    else groups.push([event]);
  }
  const outcome = ({ event }) => OUTCOMES.includes(event);
  return groups.flatMap((group) => {
    const rest = group.filter((event) => !outcome(event));
    const alike = ({ event, command_id }) => rest.filter((other) => !command_id && !other.command_id && other.event === event);
    const joined = rest.filter((event) => !alike(event).length || alike(event)[0] === event);
    return [...group.filter(outcome), ...joined.map((event) => (alike(event).length > 1 ? { ...event, pump: "" } : event))];
  });
}

/** "done, 10.0 of 10.0 mL": what was asked for stands in the intent of the same command. */
export function describe(event, all) {
  const asked = all.find((other) => other.event === "intent" && other.command_id === event.command_id && event.command_id)?.ml;
  const has = (value) => value !== null && value !== undefined;
  let amount = "";
  if (has(event.ml)) amount = has(asked) && event.event !== "intent" && event.event !== "started" ? `${number(event.ml, 1)} of ${number(asked, 1)} mL` : `${number(event.ml, 1)} mL`;
  else if (has(event.seconds)) amount = `${number(event.seconds, 1)} s`;
  return [event.event, amount, event.reason].filter(Boolean).join(", ");
}
