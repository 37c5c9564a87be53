/** The account: the audit's equation in frames, what devices lost before that, and the ledger, newest first. */

import { causeWords } from "./causes.js";
import { byId, h, keyed, setAttr, setHidden, setText } from "./dom.js";
import { counted, lasted, moment, number } from "./format.js";
import { icon, setIcon } from "./icons.js";

const FEW = 5;
const ROOM = 5; // a loss is shown with so much around it
const MIN_SHOWN_S = 10;

/** Losses of devices by unit: {sample: 182, poll: 4}; rows whose count is not known are counted apart. */
export function byUnit(devices) {
  const sums = new Map();
  let unknown = 0;
  for (const { unit, count } of devices) {
    if (count === null || count === undefined) unknown += 1;
    else sums.set(unit, (sums.get(unit) ?? 0) + count);
  }
  return { sums: [...sums], unknown };
}

/** How often nobody can know how much was lost: frames of the equation, and losses of devices. */
export const unknowns = ({ unknown, devices }) => (unknown ?? 0) + byUnit(devices ?? []).unknown;

export function createAccount({ state, range }) {
  const body = byId("ledger-rows");
  const box = byId("ledger");
  const more = byId("ledger-more");
  const verdict = byId("verdict");
  const sign = verdict.insertBefore(icon("check"), verdict.firstChild);
  let everything = false;

  more.addEventListener("click", () => {
    everything = !everything;
    render();
  });
  new ResizeObserver(render).observe(box);

  function zoomTo({ from_t, to_t, t }) {
    const from_s = (from_t ?? t) / 1e9;
    const to_s = (to_t ?? t) / 1e9;
    const half = Math.max(MIN_SHOWN_S, (to_s - from_s) * ROOM) / 2;
    range.set({ from_s: (from_s + to_s) / 2 - half, to_s: (from_s + to_s) / 2 + half }, { push: true });
  }

  function make(row) {
    const when = h("button", { type: "button", title: "Show this time in the charts" });
    return h("tr", { onclick: () => zoomTo(row) }, h("td", {}, when), h("td", {}, icon("loss"), " ", h("span")), h("td", { class: "count" }), h("td"), h("td", { class: "count" }));
  }

  function update(node, row) {
    const [when, stream, count, cause, time] = node.children;
    setText(when.firstChild, moment((row.from_t ?? row.t) / 1e9, state.now(), state.zone_s()));
    setText(stream.lastChild, (row.stream ?? "").replace(/\/$/, "") || "–");
    setText(count, counted(row.count, row.unit));
    setText(cause, causeWords(row.cause ?? "unknown"));
    setAttr(cause, "title", row.detail || null);
    setText(time, row.from_t && row.to_t > row.from_t ? lasted((row.to_t - row.from_t) / 1e9) : "–");
  }

  /** On a wall the panel's height is given: as many rows as it has room for. */
  function room() {
    if (getComputedStyle(box).getPropertyValue("--fixed").trim() !== "1") return FEW;
    const row = body.firstElementChild?.offsetHeight || 28;
    const head = box.querySelector("thead").offsetHeight;
    return Math.max(1, Math.floor((box.clientHeight - head) / row));
  }

  function renderEquation(account) {
    for (const name of ["published", "stored", "lost", "pending"]) setText(byId(`account-${name}`), number(account[name]));
    const is = account.ok === null ? "stale" : account.ok ? "check" : "fault";
    setIcon(sign, is);
    setAttr(verdict, "data-state", account.ok === false ? "fault" : "normal");
    setText(verdict.lastElementChild, account.ok === null ? "unknown" : account.ok ? "balances" : "does not balance");
    const { sums } = byUnit(account.devices ?? []);
    const before = sums.length ? `Lost before a frame was made: ${sums.map(([unit, count]) => counted(count, unit)).join(", ")}.` : "Nothing lost before a frame was made.";
    const many = unknowns(account);
    setText(byId("account-devices"), `${before} Unknown: ${many ? number(many) : "none"}.`);
  }

  function render() {
    const account = state.get("account");
    if (!account) return;
    renderEquation(account);
    const ledger = account.ledger ?? [];
    const fits = room();
    const rows = everything ? ledger : ledger.slice(0, fits);
    keyed(body, rows, (row) => `${row.t}${row.stream}${row.cause}${row.from_t}`, make, update);
    setHidden(box.querySelector("table"), !ledger.length);
    setText(byId("ledger-empty"), ledger.length ? "" : "No losses.");
    setHidden(more, ledger.length <= fits);
    setText(more, everything ? "Fewer" : `${ledger.length - fits} more`);
    setAttr(more, "aria-expanded", everything);
    setAttr(box, "data-all", everything ? "" : null);
    state.remark("account", "every loss, with its cause");
  }

  /** The row after (1) or before (−1) the one that has focus. */
  function walk(by) {
    const buttons = [...body.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const next = at < 0 ? (by > 0 ? 0 : buttons.length - 1) : at + by;
    buttons[Math.min(buttons.length - 1, Math.max(0, next))]?.focus();
  }

  return { render, walk };
}
