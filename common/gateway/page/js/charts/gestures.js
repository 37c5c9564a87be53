/** Mouse, pen, fingers and keys on a time chart: drag selects, pinch and Ctrl+wheel zoom, double click goes back. */

const LEAST_PX = 8;

/** el: the plot's area; focus: what takes the keys; view(): {from_s, to_s}; select(left_px, right_px): null, null ends it. */
export function gestures(el, focus, { view, range, cursor, now, select }) {
  const fingers = new Map(); // pointer id → x, px
  let start = null; // x of a drag, px
  let pinch = null; // times under two fingers
  let zoomed_ms = -Infinity;

  const box = () => el.getBoundingClientRect();
  const x = (e) => e.clientX - box().left;
  const time = (px) => {
    const { from_s, to_s } = view();
    return from_s + ((to_s - from_s) * px) / box().width;
  };
  const show = (from_s, to_s) => {
    const push = performance.now() - zoomed_ms > 800; // one step of Back for one gesture
    zoomed_ms = performance.now();
    range.set(to_s > now() ? { span_s: to_s - from_s } : { from_s, to_s }, { push });
  };
  const end = () => {
    start = pinch = null;
    select(null, null);
  };

  el.addEventListener("pointerdown", (e) => {
    if (e.button) return;
    fingers.set(e.pointerId, x(e));
    el.setPointerCapture(e.pointerId);
    if (fingers.size === 2) {
      end();
      pinch = [...fingers].map(([id, px]) => [id, time(px)]);
    } else if (fingers.size === 1) start = x(e);
  });
  el.addEventListener("pointermove", (e) => {
    if (fingers.has(e.pointerId)) fingers.set(e.pointerId, x(e));
    if (pinch) {
      const [[a, ta], [b, tb]] = pinch;
      const apart = fingers.get(b) - fingers.get(a);
      if (Math.abs(apart) < 10) return;
      const per_px = (tb - ta) / apart;
      const from_s = ta - fingers.get(a) * per_px;
      if (per_px > 0) show(from_s, from_s + per_px * box().width);
      return;
    }
    const px = Math.min(Math.max(x(e), 0), box().width);
    cursor.set(time(px), el);
    if (start !== null && Math.abs(px - start) > LEAST_PX) select(Math.min(px, start), Math.max(px, start));
  });
  el.addEventListener("pointerup", (e) => {
    const px = Math.min(Math.max(x(e), 0), box().width);
    if (start !== null && fingers.size === 1) {
      if (Math.abs(px - start) > LEAST_PX) {
        const [from_s, to_s] = [time(Math.min(px, start)), time(Math.max(px, start))];
        range.set({ from_s, to_s }, { push: true });
      } else cursor.set(time(px), el);
    }
    fingers.delete(e.pointerId);
    end();
  });
  el.addEventListener("pointercancel", (e) => {
    fingers.delete(e.pointerId);
    end();
  });
  el.addEventListener("pointerleave", (e) => e.pointerType === "mouse" && !fingers.size && cursor.set(null, el));
  el.addEventListener("dblclick", () => range.back());
  el.addEventListener("wheel", (e) => {
    if (!e.ctrlKey && !e.metaKey) return; // a plain wheel scrolls the page
    e.preventDefault();
    const { from_s, to_s, live } = view();
    const factor = Math.exp(Math.max(-100, Math.min(100, e.deltaY)) * 0.004);
    const at_s = live && x(e) > 0.9 * box().width ? to_s : time(x(e));
    const right_s = at_s + (to_s - at_s) * factor;
    show(at_s - (at_s - from_s) * factor, live && at_s === to_s ? now() + 1 : right_s);
  }, { passive: false });

  focus.addEventListener("keydown", (e) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (!by || e.shiftKey || e.ctrlKey || e.altKey || e.metaKey) return;
    e.preventDefault();
    e.stopPropagation();
    const { from_s, to_s } = view();
    cursor.set(Math.min(to_s, Math.max(from_s, (cursor.get() ?? to_s) + (by * (to_s - from_s)) / box().width)), el);
  });
  focus.addEventListener("blur", () => cursor.set(null, el));
}
