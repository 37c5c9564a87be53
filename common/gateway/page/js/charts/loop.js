/** One animation loop draws all charts that have changed and can be seen, and slows down where that takes too long. */

const LEAST_PER_S = 5;
const TICK_MS = 50;
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Loop {
  /** tick(): called 20 times a second while the tab is seen, before anything is drawn. */
  constructor(tick) {
    this.items = [];
    this.slow = 1; // rates are divided by this
    this.times_ms = new Float32Array(60); // of the last frames in which something was drawn
    this.frames = 0;
    this.asked = false;
    this.seen = new IntersectionObserver((entries) => {
      for (const e of entries) for (const item of this.items) if (item.el === e.target) item.visible = e.isIntersecting;
    }, { rootMargin: "50px" });
    setInterval(() => {
      if (document.hidden) return;
      tick();
      this.#plan();
    }, TICK_MS);
  }

  /** draw(now_ms) is called at most `per_s` times a second, after `dirty()` of the answer, while `el` is in view; `dirty(true)`: next. */
  add(el, per_s, draw) {
    const item = { el, per_s, draw, visible: false, waiting: true, drawn_ms: -Infinity };
    item.dirty = (at_once) => {
      item.waiting = true;
      if (at_once === true) item.drawn_ms = -Infinity;
      this.#plan();
    };
    this.items.push(item);
    this.seen.observe(el);
    return item;
  }

  remove(item) {
    this.seen.unobserve(item.el);
    this.items = this.items.filter((other) => other !== item);
  }

  /** Whether it draws less often than it should. */
  get reduced() {
    return this.slow > 1;
  }

  #due(item, now_ms) {
    const rate = still.matches ? 1 : Math.max(Math.min(item.per_s, LEAST_PER_S), item.per_s / this.slow);
    // Frames come every 16.7 ms: without the slack 20 a second would be 15.
    return item.waiting && item.visible && now_ms - item.drawn_ms >= 1000 / rate - 9;
  }

  /** Asks for a frame if there is something to draw: a frame without costs as much as a small one with. */
  #plan() {
    if (this.asked || document.hidden || !this.items.some((item) => this.#due(item, performance.now()))) return;
    this.asked = true;
    requestAnimationFrame((now_ms) => {
      this.asked = false;
      const began = performance.now();
      for (const item of this.items) {
        if (!this.#due(item, now_ms)) continue;
        item.waiting = false;
        item.drawn_ms = now_ms;
        item.draw(now_ms);
      }
      this.#pace(performance.now() - began);
    });
  }

  #pace(took_ms) {
    this.times_ms[this.frames++ % 60] = took_ms;
    if (this.frames % 60) return;
    const sorted = this.times_ms.slice().sort();
    if (sorted[30] > 10 || sorted[56] > 33) this.slow = Math.min(4, this.slow * 2);
    else if (sorted[30] < 4 && sorted[56] < 14) this.slow = Math.max(1, this.slow / 2);
  }
}
