/** A canvas of its own size: sharp on every screen, drawn in CSS pixels, with a frame for the picture and room for words. */

import { h } from "../dom.js";

export class Plot {
  /** parent gives the size; about: id of the sentence that says what is seen; resized(): the size or the font has changed. */
  constructor(parent, name, about, resized) {
    this.canvas = h("canvas", { role: "img", "aria-label": name, "aria-describedby": about });
    this.ctx = this.canvas.getContext("2d");
    this.box = { left: 0, top: 0, width: 0, height: 0 };
    this.width = this.height = 0;
    parent.append(this.canvas);
    this.sized = new ResizeObserver(() => {
      const { clientWidth, clientHeight } = parent;
      this.ratio = devicePixelRatio || 1;
      [this.width, this.height] = [clientWidth, clientHeight];
      this.canvas.width = Math.round(clientWidth * this.ratio);
      this.canvas.height = Math.round(clientHeight * this.ratio);
      this.rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
      this.weight = null;
      this.size = Math.max(11.5, 0.77 * this.rem);
      this.flag_px = Math.max(19, Math.ceil(this.size + 8)); // above each picture a lane for flags
      resized();
    });
    this.sized.observe(parent);
  }

  get ready() {
    return this.width > 40 && this.height > 30;
  }

  close() {
    this.sized.disconnect();
    this.canvas.remove();
  }

  /** Clears; what is drawn then lies within the frame's margins. */
  begin(left, right, top, bottom) {
    const { ctx, ratio } = this;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, this.width, this.height);
    this.box = { left, top, width: this.width - left - right, height: this.height - top - bottom };
    return ctx;
  }

  font(weight = 400) {
    // Setting it costs more than a line of text, and all drawing is done with one of two.
    if (this.weight !== weight) this.ctx.font = `${weight} ${this.size}px Inter, system-ui, sans-serif`;
    this.weight = weight;
  }

  measure(text) {
    return this.ctx.measureText(text).width;
  }

  text(words, x, y, colour, align = "left", base = "middle") {
    Object.assign(this.ctx, { fillStyle: colour, textAlign: align, textBaseline: base });
    this.ctx.fillText(words, x, y);
  }

  /** A thin line, level or upright, on whole pixels. */
  rule(x1, y1, x2, y2, colour, dash = []) {
    const { ctx, ratio } = this;
    const whole = (v) => (Math.round(v * ratio - 0.5) + 0.5) / ratio;
    ctx.beginPath();
    ctx.setLineDash(dash);
    Object.assign(ctx, { strokeStyle: colour, lineWidth: Math.max(1, Math.round(ratio)) / ratio });
    ctx.moveTo(x1 === x2 ? whole(x1) : x1, y1 === y2 ? whole(y1) : y1);
    ctx.lineTo(x1 === x2 ? whole(x2) : x2, y1 === y2 ? whole(y2) : y2);
    ctx.stroke();
    ctx.setLineDash([]);
  }

  /** Runs `draw` with everything outside the frame cut off. */
  inside(draw) {
    const { left, top, width, height } = this.box;
    this.ctx.save();
    this.ctx.beginPath();
    this.ctx.rect(left, top, width, height);
    this.ctx.clip();
    draw(this.ctx);
    this.ctx.restore();
  }
}
