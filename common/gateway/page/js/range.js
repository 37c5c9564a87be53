/** The time range that all charts share. It lives in the address, so that the browser's Back works:
`#span=600` follows now, `#from=…&to=…` (epoch seconds) stands still. */

export const SPAN_MIN_S = 10;
export const SPAN_MAX_S = 315_576_000; // 10 years
const DEFAULT_S = 600;

const clampSpan = (span_s) => Math.min(SPAN_MAX_S, Math.max(SPAN_MIN_S, span_s));

/** → {span_s} or {from_s, to_s}; null: nothing sensible in it. */
export function parse(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const [span, from, to] = ["span", "from", "to"].map((key) => (fields.has(key) ? Number(fields.get(key)) : NaN));
  if (to > from && from >= 0) return bounded({ from_s: from, to_s: to });
  return span > 0 ? { span_s: clampSpan(span) } : null;
}

export function toHash(value) {
  if (value.span_s !== undefined) return `#span=${Number(value.span_s.toFixed(1))}`;
  return `#from=${value.from_s.toFixed(3)}&to=${value.to_s.toFixed(3)}`;
}

function bounded({ from_s, to_s }) {
  const span_s = clampSpan(to_s - from_s);
  const middle = (from_s + to_s) / 2;
  return span_s === to_s - from_s ? { from_s, to_s } : { from_s: middle - span_s / 2, to_s: middle + span_s / 2 };
}

export function createRange(now) {
  const listeners = new Set();
  let value = parse(location.hash) ?? { span_s: DEFAULT_S };
  let depth = history.state?.depth ?? 0;

  const tell = () => listeners.forEach((fn) => fn(get()));

  function get() {
    if (value.span_s === undefined) return { live: false, span_s: value.to_s - value.from_s, ...value };
    const to_s = now();
    return { live: true, span_s: value.span_s, from_s: to_s - value.span_s, to_s };
  }

  /** push: a step that Back undoes; without it the last step is replaced (while something is dragged). */
  function set(next, { push = false } = {}) {
    value = next.span_s !== undefined ? { span_s: clampSpan(next.span_s) } : bounded(next);
    if (push) history.pushState({ depth: ++depth }, "", toHash(value));
    else history.replaceState({ depth }, "", toHash(value));
    tell();
  }

  function fromAddress() {
    depth = history.state?.depth ?? 0;
    const next = parse(location.hash) ?? { span_s: DEFAULT_S };
    if (toHash(next) === toHash(value)) return;
    value = next;
    tell();
  }
  addEventListener("popstate", fromAddress);
  addEventListener("hashchange", fromAddress);

  return {
    get,
    set,
    /** To the range before; nothing where this page has made none. */
    back: () => depth > 0 && history.back(),
    /** Follows now again, with the span that is shown. */
    live: () => set({ span_s: get().span_s }, { push: true }),
    pause: () => {
      const { from_s, to_s } = get();
      set({ from_s, to_s }, { push: true });
    },
    /** factor 2: twice as long. Around the middle; around now while it is followed. */
    zoom(factor) {
      const { live, span_s, from_s, to_s } = get();
      const middle = (from_s + to_s) / 2;
      const half = (span_s * factor) / 2;
      set(live ? { span_s: span_s * factor } : { from_s: middle - half, to_s: middle + half }, { push: true });
    },
    /** windows −0.5: half a window into the past. What would lie beyond now follows now. */
    shift(windows) {
      const { span_s, from_s, to_s } = get();
      const by = windows * span_s;
      if (to_s + by >= now()) set({ span_s }, { push: true });
      else set({ from_s: from_s + by, to_s: to_s + by }, { push: true });
    },
    on(fn) {
      listeners.add(fn);
      return () => listeners.delete(fn);
    },
  };
}
