/** The ledger's rows for the charts: of the shared range, newly told ones at once. */

import { asLoss, concerns, distinct } from "./losses.js";

const MOST = 2000;
const RETRY_MS = 3000;

export class Ledger {
  constructor({ link, state, range }) {
    Object.assign(this, { link, range });
    this.rows = [];
    this.told = []; // loss frames that are newer than the rows
    this.listeners = new Set();
    this.busy = this.again = false;
    this.newest = "";
    this.from_s = Infinity; // since when the rows are known
    link.on("frames", ({ frames }) => {
      for (const [topic, frame] of frames) if (topic.startsWith("loss/")) this.#tell(frame);
    });
    state.on("account", (account) => {
      const newest = JSON.stringify(account?.ledger?.[0] ?? null);
      if (newest !== this.newest) this.load();
      this.newest = newest;
    });
    link.on("state", (s) => s === "live" && this.load());
    range.on(() => range.get().from_s < this.from_s && this.load());
    this.load(); // before any chart asks for its data: what is lost must not look as if nobody knew of it
  }

  /** Whether the losses since then are known. */
  knows(from_s) {
    return this.from_s <= from_s;
  }

  on(fn) {
    this.listeners.add(fn);
    return () => this.listeners.delete(fn);
  }

  /** Losses that lie in a range and concern a chart, by time. */
  of(prefix, src, from_s, to_s) {
    return this.rows.filter((l) => l.to_s >= from_s && l.from_s <= to_s && concerns(l, prefix, src));
  }

  async load() {
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    this.again = false;
    let wait_ms = 500;
    try {
      // Without an end: a loss that covers the whole range is told of after it.
      const { from_s } = this.range.get();
      const query = new URLSearchParams({ from: from_s.toFixed(3), limit: MOST });
      const rows = (await this.link.request("GET", `/api/query/ledger?${query}`)).map(asLoss);
      this.from_s = from_s;
      this.told = this.told.filter((l) => performance.now() - l.told_ms < 60_000);
      this.rows = distinct([...this.told, ...rows]);
      for (const fn of this.listeners) fn();
    } catch {
      // The charts' own question says that nobody answers.
      wait_ms = RETRY_MS;
      this.again = this.link.state === "live";
    }
    setTimeout(() => {
      this.busy = false;
      if (this.again) this.load();
    }, wait_ms);
  }

  #tell(frame) {
    this.told = [...this.told.slice(-50), { ...asLoss(frame), told_ms: performance.now() }];
    this.rows = distinct([...this.rows, this.told.at(-1)]);
    for (const fn of this.listeners) fn();
  }
}
