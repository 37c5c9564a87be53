/** Storage: what is used, what was written today against the card's budget, how long the card lasts. */

import { byId, setAttr, setText } from "./dom.js";
import { number, quantity, say } from "./format.js";

const gb = (bytes) => say(quantity.bytes(bytes));

export function createStorage({ state }) {
  function bar(id, share) {
    const node = byId(id);
    const known = Number.isFinite(share);
    node.firstElementChild.style.width = `${known ? Math.min(100, share * 100).toFixed(1) : 0}%`;
    setAttr(node, "aria-valuenow", known ? Math.round(share * 100) : null);
  }

  /** "about 7 years"; years that nobody will see are not counted. */
  function life(years) {
    if (years === null || years === undefined) return "unknown";
    if (years > 30) return "over 30 years";
    if (years < 1) return `about ${number(years * 12)} months`;
    return `about ${number(years)} ${Math.round(years) === 1 ? "year" : "years"}`;
  }

  function render() {
    const storage = state.get("storage");
    if (!storage) return;
    const used = storage.disk_bytes === null ? null : storage.disk_bytes - storage.free_bytes;
    setText(byId("disk-used"), used === null ? "unknown" : `${number(used / 1e9, 1)} of ${gb(storage.disk_bytes)}`);
    setText(byId("disk-store"), `record ${gb(storage.store_bytes)}`);
    bar("disk-bar", used / storage.disk_bytes);
    setText(byId("written"), storage.written_today_bytes === null ? "written today: unknown" : `${gb(storage.written_today_bytes)} written today`);
    setText(byId("written-budget"), storage.budget_day_bytes ? `budget ${gb(storage.budget_day_bytes)}` : "");
    bar("written-bar", storage.written_today_bytes / storage.budget_day_bytes);
    const pace = byId("written-bar").lastElementChild;
    const expected = storage.written_day_bytes / storage.budget_day_bytes;
    pace.hidden = !Number.isFinite(expected) || expected > 1;
    pace.style.left = `${expected * 100}%`;
    setText(byId("card-life"), `Card: ${life(storage.card_years)}`);
    setText(byId("card-pace"), storage.written_day_bytes === null ? "" : `at ${gb(storage.written_day_bytes)} a day`);
  }

  return { render };
}
