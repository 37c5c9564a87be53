/** The pumps' panel: a card a pump, the newest events below. */

import { byId, h, keyed, setAttr, setHidden, setText } from "./dom.js";
import { moment, number, title } from "./format.js";
import { condition } from "./health.js";
import { icon, setIcon } from "./icons.js";
import { describe, inOrder } from "./pump_events.js";
import { CONFIRM_MS, createPumpCommand, isUnusual, planned_s, readAmount } from "./pump_command.js";
import { commandId } from "./token.js";

const FIRST_ML = "10.0";
const FIRST_S = "2.0";
/** What the field begins with: the last volume, with the decimal that volumes have; a tiny one in full. */
const usual = (ml) => (ml >= 0.1 ? ml.toFixed(1) : String(Number(ml.toFixed(3))));
const WORD = { prime: "priming", dispense: "dispensing" };
const DIRECTIONS = { forward: "Forward", reverse: "Reverse" };

const who = (command_id) => (!command_id ? "" : command_id.startsWith("page-") ? "page" : "script");

export function createPumps({ link, state, alarms }) {
  const cards = byId("pump-cards");
  const events = byId("pump-events");
  const made = new Map();

  function render() {
    const pumps = state.get("pumps");
    if (!pumps) return;
    const { state: is } = condition("pumps", state, link, alarms());
    const why = is === "stale" ? "stale" : pumps.locked ? "locked" : state.get("rig")?.control === false ? "control" : "";
    keyed(cards, pumps.pumps, (pump) => pump.pump, (pump) => {
      const card = createCard({ link, state, name: pump.pump });
      made.set(pump.pump, card);
      return card.node;
    }, (_, pump) => made.get(pump.pump).render(pump, why)); // prettier-ignore
    keyed(events, inOrder(pumps.events), (event) => `${event.t}${event.pump}${event.event}`, makeEvent, (node, event) => updateEvent(node, event, pumps.events));
    state.remark("pumps", remark(pumps, why));
  }

  function remark({ pumps }, why) {
    if (why === "locked") return "locked until you unlock";
    if (why === "control") return "commands need the control token";
    const bounds = new Set(pumps.map((pump) => `${number(pump.max_ml)} mL, ${number(pump.max_s)} s`));
    return bounds.size === 1 ? `most a run: ${[...bounds][0]}` : "";
  }

  const makeEvent = () => h("li", {}, h("time"), h("b"), h("span"), h("span"));

  function updateEvent(node, event, all) {
    const [at, pump, what, by] = node.children;
    setText(at, moment(event.t / 1e9, state.now(), state.zone_s()));
    setText(pump, title(event.pump || "all"));
    setText(what, describe(event, all));
    setText(by, who(event.command_id));
  }

  return { render };
}

function createCard({ link, state, name }) {
  let pump = null;
  let confirmUntil = 0;
  let unit = null; // "mL" or "s"; null until the pump is known
  let direction = "forward";
  const command = createPumpCommand({
    request: link.request,
    newId: commandId,
    isLive: () => link.state === "live",
    changed: () => pump && draw(),
  });

  const shape = icon("normal");
  const word = h("span", { class: "word" });
  const today = h("span", { class: "minor" });
  const bar = h("div", { class: "progress", role: "progressbar", "aria-label": `${title(name)}: delivered` }, h("i"));
  const delivered = h("p", { class: "delivered" }, h("b", { data: { value: `pump-${name}-ml` } }), h("span"), " ", h("small"));
  const messageId = `pump-${name}-message`;
  const field = h("input", { inputmode: "decimal", autocomplete: "off", "aria-label": `${title(name)}: how much`, "aria-describedby": messageId, oninput: draw, onkeydown: (event) => event.key === "Enter" && go() });
  const unitButton = h("button", { type: "button", class: "unit", onclick: otherUnit });
  const turn = h("button", { type: "button", class: "turn", onclick: otherDirection });
  const act = h("button", { type: "button", class: "primary", onclick: go });
  const stop = h("button", { type: "button", class: "halt", onclick: halt }, "Stop");
  const message = h("p", { class: "message", id: messageId, role: "status" });
  const node = h("div", { class: "pump", data: { pump: name } },
    h("div", { class: "head" }, h("h3", {}, title(name)), h("span", { class: "doing" }, shape, " ", word), today),
    h("div", { class: "row" }, delivered, h("span", { class: "amount" }, field, unitButton), turn, h("span", { class: "act" }, act, stop)),
    h("div", { class: "foot" }, bar, message)); // prettier-ignore

  function otherUnit() {
    unit = unit === "mL" ? "s" : "mL";
    field.value = unit === "mL" ? FIRST_ML : FIRST_S;
    draw();
  }

  function otherDirection() {
    direction = direction === "forward" ? "reverse" : "forward";
    draw();
  }

  const amount = () => readAmount(field.value, { most: unit === "mL" ? pump.max_ml : pump.max_s, unit });

  function go() {
    const { value } = amount();
    if (act.disabled || value === null) return;
    if (unit === "mL" && isUnusual(value, pump.last?.planned_ml) && performance.now() > confirmUntil) {
      confirmUntil = performance.now() + CONFIRM_MS;
      setTimeout(draw, CONFIRM_MS + 20);
      return draw();
    }
    confirmUntil = 0;
    return unit === "mL"
      ? command.send("/api/pumps/dispense", { pump: name, ml: value, direction })
      : command.send("/api/pumps/prime", { pump: name, seconds: value, direction });
  }

  // stopping is free of any condition: it goes out at once, as often as it is pressed
  function halt() {
    setText(message, "Stopping…");
    link.request("POST", "/api/pumps/stop", { pump: name }).catch((error) => setText(message, `Not stopped: ${error.message}. Use STOP, or the switch on the rig.`));
  }

  /** What the button will do: "Dispense 10.0 mL, 3.0 s". */
  function label({ value, decimals }) {
    const verb = unit === "mL" ? "Dispense" : "Prime";
    if (value === null) return verb;
    const much = `${number(value, Math.max(1, decimals))} ${unit}`;
    if (performance.now() < confirmUntil) return `Confirm ${much}`;
    const seconds = unit === "mL" ? planned_s(value, pump) : null;
    return seconds === null ? `${verb} ${much}` : `${verb} ${much}, ${number(seconds, 1)} s`;
  }

  let why = "";
  function draw() {
    const { run } = pump;
    const stale = why === "stale";
    const was = stale ? "was " : "";
    setAttr(node, "data-running", run ? "" : null);
    setIcon(shape, stale ? "stale" : why === "locked" ? "latched" : run ? (run.direction === "reverse" ? "back" : "play") : "normal");
    setText(word, run ? `${was}${WORD[run.action] ?? run.action} ${run.direction}` : why === "locked" ? "locked" : `${was}idle`);
    setText(today, `today ${number(pump.today_ml, 1)} mL · ${pump.today_runs} ${pump.today_runs === 1 ? "run" : "runs"}`);
    drawRun(run);
    const read = amount();
    const busy = command.phase !== "idle" && command.phase !== "ended";
    const uncalibrated = unit === "mL" && !pump.steps_per_ml;
    setText(unitButton, unit);
    setAttr(unitButton, "aria-label", `${unit}: enter ${unit === "mL" ? "seconds" : "millilitres"} instead`);
    setText(turn, DIRECTIONS[direction]);
    setAttr(turn, "aria-label", `${title(name)}: ${direction}; turn`);
    setText(act, label(read));
    act.disabled = Boolean(why) || busy || Boolean(run) || read.value === null || uncalibrated;
    field.disabled = unitButton.disabled = turn.disabled = Boolean(why) || busy;
    setHidden(act, Boolean(run));
    setHidden(stop, !run);
    setAttr(field, "aria-invalid", read.wrong ? "true" : null);
    const hint = uncalibrated ? "Not calibrated: only seconds" : "";
    const text = why ? "" : read.wrong || hint || (command.phase === "going" ? "" : command.text);
    setText(message, text);
    setHidden(bar, !run || Boolean(text));
    setAttr(message, "data-bad", read.wrong || command.bad ? "" : null);
  }

  function drawRun(run) {
    const share = run ? Math.min(1, run.steps / run.planned_steps) : 0;
    bar.firstChild.style.width = `${(share * 100).toFixed(1)}%`;
    setAttr(bar, "aria-valuenow", Math.round(share * 100));
    if (!run) return;
    const gone_s = run.began_t ? state.now() - run.began_t / 1e9 : share * run.planned_s;
    const [b, span, small] = delivered.children;
    const hasMl = run.planned_ml !== null && run.planned_ml !== undefined;
    setText(b, hasMl ? number(run.planned_ml * share, 1) : number(run.planned_s * share, 1));
    setText(span, hasMl ? ` of ${number(run.planned_ml, 1)} mL` : ` of ${number(run.planned_s, 1)} s`);
    setText(small, `${number(Math.max(0, run.planned_s - gone_s), 1)} s left · ends by itself at ${number(run.planned_s, 1)} s`);
  }

  return {
    node,
    render(next, reason) {
      [pump, why] = [next, reason];
      if (unit === null) {
        unit = pump.steps_per_ml ? "mL" : "s";
        field.value = unit === "mL" ? (pump.last?.planned_ml ? usual(pump.last.planned_ml) : FIRST_ML) : FIRST_S;
      }
      command.see(pump);
      draw();
    },
  };
}
