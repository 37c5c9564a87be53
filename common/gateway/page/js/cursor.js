/** The time under the pointer, shared by all charts. */
const listeners = new Set();
let at_s = null;

export const cursor = {
  get: () => at_s,
  /** t_s: wall time in s, or null; source: whoever sets it, handed on to the listeners. */
  set(t_s, source = null) {
    if (t_s === at_s) return;
    at_s = t_s;
    for (const fn of listeners) fn(t_s, source);
  },
  /** fn(t_s, source); returns what ends it. */
  on(fn) {
    listeners.add(fn);
    return () => listeners.delete(fn);
  },
};
