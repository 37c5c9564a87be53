/** Which state a part of the rig is in: stale before latched before fault before warning before normal.

Stale comes first because nothing else that a silent part last said is known to hold. */

import { title } from "./format.js";

/** kinds: of the streams that keep it fresh; daemon: whose silence makes it stale. */
export const PARTS = {
  power: { section: "pulse", kinds: ["pulse"], daemon: "pulse" },
  vibration: { section: "vibration", kinds: ["samples"], daemon: "highspeed" },
  thermostat: { section: "thermostat", kinds: ["thermostat"], daemon: "thermostat" },
  pumps: { section: "pumps", kinds: [], daemon: "pump" },
  arm: { section: "arm", kinds: ["arm_feedback"], daemon: "dds" },
  record: { section: "record", kinds: [], daemon: "sink" },
  account: { section: "account", kinds: [], daemon: "sink" },
  outputs: { section: "outputs", kinds: [], daemon: "sink" },
  storage: { section: "storage", kinds: [], daemon: "sink" },
};

const RANK = ["normal", "warning", "fault", "latched"];
const MIN_STALE_S = 2.5; // of the whole page

/** What a sensor may be told to do: nothing. That is no fault, but nothing of it is new. */
export const HELD = ["paused", "stopped"];

/** The age of what one stream last said, s; null while it is fresh. */
export function streamAge(stream, now_s) {
  if (!stream || stream.state !== "stale") return null;
  return stream.heard_t ? Math.max(0, now_s - stream.heard_t / 1e9) : null;
}

/** → {state, age_s (of what is stale), why ("" | "link" | "daemon" | "stream" | "paused" | "stopped"), since_s (of what is held)}.

rig: {get(section), now()}; link: {state, age()}; alarms: the attention list as it is shown. */
export function condition(name, rig, link, alarms = []) {
  const part = PARTS[name];
  if (link.state !== "live") return { state: "stale", age_s: Math.max(link.age() ?? 0, link.state === "down" ? 0 : MIN_STALE_S), why: "link" };
  const now_s = rig.now();
  const daemon = (rig.get("daemons") ?? {})[part.daemon];
  const streams = Object.values(rig.get("streams") ?? {}).filter((stream) => part.kinds.includes(stream.kind));
  const periodic = streams.filter((stream) => stream.limit_s);
  const old = periodic.length > 0 && periodic.every((stream) => stream.state === "stale");
  const unheard = streams.length > 0 && streams.every((stream) => stream.state === "never" || stream.heard_t === null);
  // the last edge of a meter may be known from the store
  const never = unheard && !rig.get(part.section)?.channels?.some((channel) => channel.edge_t !== null);
  if (daemon && daemon.state !== "running") {
    const heard = Math.max(0, ...(periodic.length ? periodic : [daemon]).map((each) => each.heard_t ?? 0));
    return { state: "stale", age_s: heard ? now_s - heard / 1e9 : null, why: "daemon" };
  }
  const sensor = rig.get(part.section)?.sensors?.[0]; // the one that is shown
  if (sensor && HELD.includes(sensor.state) && !sensor.fault) {
    const heard = rig.get("streams")?.[`samples/${sensor.name}/`]?.heard_t;
    const since_s = heard ? heard / 1e9 : null;
    return { state: "stale", age_s: heard ? Math.max(0, now_s - since_s) : null, why: sensor.state, since_s };
  }
  if (old) return { state: "stale", age_s: Math.min(...periodic.map((stream) => streamAge(stream, now_s) ?? Infinity)), why: "stream" };
  if (rig.get(part.section)?.locked) return { state: "latched", age_s: null, why: "" };
  const worst = alarms.filter((alarm) => alarm.section === part.section || alarm.section === name).map((alarm) => alarm.state);
  const state = RANK[Math.max(0, ...worst.map((each) => RANK.indexOf(each)))];
  return { state, age_s: null, why: "", never };
}

const HOLD_S = 2;
const CLEAR_S = 5;

/** Faults and warnings must hold 2 s before they show, and be gone 5 s before they clear; a latch acts at once.

→ update(list, now_s): the list as it is to be shown, worst first. */
export function createHold() {
  const known = new Map(); // id → {item, first_s, last_s, shown}
  return function update(list, now_s) {
    for (const item of list) {
      const entry = known.get(item.id) ?? { first_s: Math.min(now_s, item.since_t ? item.since_t / 1e9 : now_s), shown: false };
      Object.assign(entry, { item, last_s: now_s });
      entry.shown ||= item.state === "latched" || now_s - entry.first_s >= HOLD_S;
      known.set(item.id, entry);
    }
    for (const [id, entry] of known) {
      const gone_s = now_s - entry.last_s;
      if (gone_s > 0 && (!entry.shown || entry.item.state === "latched" || gone_s >= CLEAR_S)) known.delete(id);
    }
    const shown = [...known.values()].filter((entry) => entry.shown).map((entry) => entry.item);
    return shown.sort((a, b) => RANK.indexOf(b.state) - RANK.indexOf(a.state));
  };
}

/** What is read from three metres away. → {state, text} */
export function phrase(rig, link, alarms) {
  const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  if (link.state === "down") return { state: "stale", text: "Connecting" };
  if (link.state === "stale") return { state: "stale", text: "No data", age_s: link.age() };
  if (rig.get("pumps")?.locked || rig.get("arm")?.locked) return { state: "latched", text: "Stop latched" };
  for (const state of ["fault", "warning"]) {
    const count = alarms.filter((alarm) => alarm.state === state).length;
    if (count) return { state, text: many(count, state) };
  }
  const stale = Object.keys(PARTS).filter((name) => rig.get(PARTS[name].section)).map((name) => [name, condition(name, rig, link)]).filter(([, each]) => each.state === "stale");
  const [held, silent] = [true, false].map((wanted) => stale.filter(([, each]) => HELD.includes(each.why) === wanted));
  if (silent.length) return { state: "stale", text: `${silent.length} silent` };
  if (held.length) return { state: "normal", text: `${title(held[0][0])} ${held[0][1].why}` };
  return { state: "normal", text: "All running" };
}
