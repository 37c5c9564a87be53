/** What the rig says of itself, by section (docs/http.md, "The status"); numbers change at most 4 times a second. */

const FLUSH_MS = 250;
const CLOCK_SAMPLES = 40;

/** Difference of two clocks from messages' times: the least delayed of the newest ones is nearest to the truth. */
export function createOffset(size = CLOCK_SAMPLES) {
  const seen = [];
  return {
    add(remote_s, local_s) {
      seen.push(remote_s - local_s);
      if (seen.length > size) seen.shift();
    },
    get: () => (seen.length ? Math.max(...seen) : null),
  };
}

export function createState(link) {
  const sections = {};
  const listeners = new Map();
  const remarks = new Map();
  const dirty = new Set();
  const offset = createOffset();
  let heard_s = null; // the rig's time of its newest message
  let timer = 0;

  const localNow = () => Date.now() / 1000;
  const emit = (name) => listeners.get(name)?.forEach((fn) => fn(sections[name] ?? null, name));

  function flush() {
    clearTimeout(timer);
    timer = 0;
    if (document.hidden) return;
    const names = [...dirty];
    dirty.clear();
    names.forEach(emit);
    emit("tick");
  }

  const locked = () => [sections.pumps, sections.arm].map((each) => Boolean(each?.locked)).join();

  function take(changed) {
    const first = !("rig" in sections);
    const before = locked();
    for (const [name, value] of Object.entries(changed)) {
      sections[name] = value;
      dirty.add(name);
    }
    // a latch shows at once, and so does the first picture
    if (first || before !== locked()) flush();
    else timer ||= setTimeout(flush, FLUSH_MS);
  }

  function hear({ t }) {
    if (!t) return;
    heard_s = t / 1e9;
    offset.add(heard_s, localNow());
  }

  link.on("hello", hear);
  link.on("status", (message) => {
    hear(message);
    take(message.sections);
  });
  link.on("state", flush);
  setInterval(() => timer || flush(), FLUSH_MS);
  document.addEventListener("visibilitychange", flush);

  return {
    take,
    get: (name) => sections[name] ?? null,
    /** Whether the rig has said anything of it, be it null. */
    has: (name) => name in sections,
    on(name, fn) {
      if (!listeners.has(name)) listeners.set(name, new Set());
      listeners.get(name).add(fn);
      return () => listeners.get(name).delete(fn);
    },
    /** The rig's wall time in s, as well as it is known here. */
    now: () => localNow() + (offset.get() ?? 0),
    heard_s: () => heard_s,
    /** How far the viewer's clock is ahead of the rig's, s; null: not known. */
    viewerAhead_s: () => (offset.get() === null ? null : -offset.get()),
    zone_s: () => sections.rig?.utc_offset_s ?? 0,
    /** what: a text or an element, for the right side of the panel's header. */
    remark(panel, what) {
      remarks.set(panel, what);
    },
    remarkOf: (panel) => remarks.get(panel) ?? "",
  };
}
