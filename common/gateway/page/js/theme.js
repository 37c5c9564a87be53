/** Light and dark: the system's, until the button says otherwise; that is remembered. */

import { recall, remember } from "./remember.js";

export function createTheme() {
  const root = document.documentElement;
  const listeners = new Set();
  let styles = getComputedStyle(root);

  function set(name) {
    if (root.dataset.theme === name) return;
    root.dataset.theme = name;
    styles = getComputedStyle(root);
    listeners.forEach((fn) => fn(name));
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ({ matches }) => {
    if (!recall("theme")) set(matches ? "dark" : "light");
  });

  return {
    get: () => root.dataset.theme,
    toggle() {
      const next = root.dataset.theme === "dark" ? "light" : "dark";
      remember("theme", next);
      set(next);
    },
    /** The value of a colour token: token("s1"). */
    token: (name) => styles.getPropertyValue(`--${name}`).trim(),
    on(fn) {
      listeners.add(fn);
      return () => listeners.delete(fn);
    },
  };
}
