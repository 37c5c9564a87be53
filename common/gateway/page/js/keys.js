/** The keyboard. Single letters act outside of fields only, and can be switched off in help (WCAG 2.1.4). */

import { recall, remember } from "./remember.js";

export const HELP = [
  ["Ctrl + .", "Emergency stop, from anywhere"],
  ["L", "Live, or pause"],
  ["← →", "On the ruler: longer, shorter range. On a chart: move the cursor"],
  ["Shift + ← →", "Half a window back, forward"],
  ["+ −", "Zoom in, out"],
  ["Backspace", "Back to the range before"],
  ["1 … 9", "Ranges of the ruler: 10 years … 10 seconds"],
  ["J K", "Next, previous loss"],
  ["Enter", "On a loss: show its time"],
  ["T", "Light or dark"],
  ["?", "This list"],
  ["Esc", "Close"],
];

const inField = (target) => target.closest?.("input, textarea, select, [contenteditable]");

export function createKeys({ range, theme, ruler, account, help }) {
  let letters = recall("letters") !== "off";
  const step = (windows) => range.shift(windows);
  const single = {
    l: () => (range.get().live ? range.pause() : range.live()),
    j: () => account.walk(1),
    k: () => account.walk(-1),
    t: theme.toggle,
    "?": help,
    "+": () => range.zoom(0.5),
    "=": () => range.zoom(0.5),
    "-": () => range.zoom(2),
  };

  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (inField(event.target) || document.querySelector("dialog[open]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    let act = null;
    if (event.shiftKey && key === "ArrowLeft") act = () => step(-0.5);
    else if (event.shiftKey && key === "ArrowRight") act = () => step(0.5);
    else if (key === "Backspace") act = range.back;
    else if (letters && /^[1-9]$/.test(key)) act = () => ruler.choose(Number(key) - 1);
    else if (letters) act = single[key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  return {
    get letters() {
      return letters;
    },
    setLetters(on) {
      letters = on;
      remember("letters", on ? "on" : "off");
    },
  };
}
