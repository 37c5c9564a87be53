/** The big numbers of a panel: caption, value with its unit, a line below. */

import { h, setText } from "../dom.js";

/** key: for data-value; token: colour of the swatch, or null; inline: caption beside the number. */
export function figure(key, caption, { token = null, title = null } = {}) {
  const name = h("span", { class: "caption", title }, token && h("i", { class: "swatch", data: { token } }), h("span", {}, caption));
  const value = h("b", {}, "–");
  const unit = h("small");
  const below = h("span", { class: "below" });
  const el = h("div", { class: "figure" }, name, h("span", { class: "big", data: { value: key } }, value, unit), below);
  return {
    el,
    caption: (text) => setText(name.lastChild, text),
    /** {text, unit} of format.js; under: the line below. */
    set({ text, unit: of }, under = "") {
      setText(value, text);
      setText(unit, text === "–" ? "" : of);
      setText(below, under);
    },
  };
}

/** The header's remark: what is lost in this range and `usual`; while a cursor is there, time and values in their place. */
export class Remark {
  constructor(panel, state, icon) {
    this.at = null;
    this.lost = h("span", { class: "lost", hidden: true }, icon("loss"), " ", h("span"));
    this.words = h("span");
    state.remark(panel, h("span", {}, this.lost, this.words));
  }

  /** at: {time, values} of TimeChart, or null. */
  hover(at) {
    this.at = at;
    this.lost.hidden = Boolean(at) || !this.lost.lastChild.textContent;
    if (!at) setText(this.words, this.said ?? "");
    else this.words.replaceChildren(h("b", {}, at.time), ...at.values.flatMap(([label, text]) => [` · ${label} `, h("b", {}, text)]));
  }

  say(usual, lost = "") {
    this.said = (lost && usual ? " · " : "") + usual;
    setText(this.lost.lastChild, lost ? `${lost} lost in this range` : "");
    if (!this.at) this.hover(null);
  }
}
