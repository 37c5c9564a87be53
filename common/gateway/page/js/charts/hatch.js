/** Hatches for what is not there, and the flags above them. */

/** Diagonal stripes over a rectangle. */
export function drawHatch(ctx, left, top, width, height, colour) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.beginPath();
  const apart = width > 24 ? 9 : 6;
  // The stripes stand on the picture, not on the rectangle: neighbours join.
  for (let at = Math.floor((left - height) / apart) * apart; at < left + width; at += apart) {
    ctx.moveTo(at, top + height);
    ctx.lineTo(at + height, top);
  }
  ctx.strokeStyle = colour;
  ctx.lineWidth = width > 24 ? 1.1 : 1.6;
  ctx.stroke();
  ctx.restore();
}

/** list: of `flags` in losses.js. A stem and a small square lead from the text to the hatch. */
export function drawFlags(plot, list, colour) {
  const { ctx, box } = plot;
  plot.font(600);
  for (const { left, stems, text } of list) {
    const right = left + plot.measure(text);
    plot.text(text, box.left + left, box.top - 6, colour, "left", "alphabetic");
    for (const x of stems) {
      const at = Math.round(box.left + x);
      if (x < left || x > right) ctx.fillRect(at - 0.5, box.top - plot.flag_px + 2, 1, plot.flag_px - 2);
      ctx.fillRect(at - 2.5, box.top - 5, 5, 5);
    }
  }
}
