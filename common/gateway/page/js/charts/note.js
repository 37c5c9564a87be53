/** One line over a chart that has nothing to show, or could not be loaded, with a button that helps. */

import { h, setHidden, setText } from "../dom.js";
import { moment } from "../format.js";

export class Note {
  constructor(parent, picture, page) {
    Object.assign(this, { parent, picture, page });
    this.words = h("span");
    this.button = h("button", { type: "button", onclick: () => this.#act() });
    this.el = h("p", { class: "chart-note", hidden: true }, this.words, this.button);
    parent.append(this.el);
  }

  show(series) {
    const { picture, page: { state } } = this;
    const { columns, error, dim, first_s } = picture;
    const filled = (s) => columns.filled(s, columns.last) >= 0;
    const empty = columns && !dim && !Array.from({ length: series }, (_, s) => s).some(filled);
    const first = first_s === null ? "" : moment(first_s, state.now(), state.zone_s());
    setHidden(this.el, !error && !empty);
    setText(this.words, error ? `Not loaded: ${error}.` : first ? `Nothing stored here. First data ${first}.` : "Nothing stored yet.");
    setText(this.button, error ? "Retry" : "Show it");
    setHidden(this.button, !error && !first);
  }

  #act() {
    const { picture, page: { range } } = this;
    if (picture.error) {
      picture.look(true);
      return;
    }
    const { span_s } = range.get();
    range.set({ from_s: picture.first_s - 0.05 * span_s, to_s: picture.first_s + 0.95 * span_s }, { push: true });
  }
}
