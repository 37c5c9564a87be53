/** Icons as inline SVG (the font has no such characters). State = shape: each state has an outline of its own. */

const STROKE = 'fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"';
const OCTAGON = "M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3z";
const SHAPES = {
  normal: `<circle cx="8" cy="8" r="5" ${STROKE}/>`,
  stale: `<circle cx="8" cy="8" r="6" ${STROKE} stroke-dasharray="2.6 2.1"/><path d="M8 4.8V8l2.2 1.6" ${STROKE}/>`,
  warning: '<path d="M8 1.2 15.4 14.4H.6z" fill="currentColor"/><path d="M8 5.6v4.2M8 12v.4" stroke="var(--mark)" stroke-width="1.7" stroke-linecap="round"/>',
  fault: `<path d="${OCTAGON}" fill="currentColor"/><path d="m5.6 5.6 4.8 4.8m0-4.8-4.8 4.8" stroke="var(--mark)" stroke-width="1.7" stroke-linecap="round"/>`,
  latched: `<rect x="2.5" y="7" width="11" height="7.6" rx="1.2" fill="currentColor"/><path d="M5 7V4.8a3 3 0 0 1 6 0V7" ${STROKE}/>`,
  check: `<path d="m2.8 8.6 3.4 3.4 7-8" ${STROKE}/>`,
  stop: `<path d="${OCTAGON}" ${STROKE}/><rect x="5.2" y="5.2" width="5.6" height="5.6" rx=".6" fill="currentColor"/>`,
  play: '<path d="M4 2.2 13.4 8 4 13.8z" fill="currentColor"/>',
  back: '<path d="M12 2.2 2.6 8l9.4 5.8z" fill="currentColor"/>',
  pause: '<path d="M3.6 2.5h3v11h-3zm5.8 0h3v11h-3z" fill="currentColor"/>',
  theme: `<circle cx="8" cy="8" r="6" ${STROKE}/><path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor"/>`,
  help: `<path d="M5.2 5.6a2.8 2.8 0 1 1 4.3 2.4C8.5 8.7 8 9.1 8 10.3M8 13v.2" ${STROKE}/>`,
  loss: '<rect x="2" y="2" width="12" height="12" rx="1.5" fill="none" stroke="currentColor" stroke-width="1.5"/><path d="m2.5 6 7.5 7.5M2.5 2.5l11 11M6 2.5l7.5 7.5" stroke="currentColor" stroke-width="1.6"/>',
};

/** An `<svg>` of 1em; decoration only: the word beside it says the same. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  setIcon(svg, name);
  return svg;
}

export function setIcon(svg, name) {
  if (svg.dataset.icon === name) return;
  svg.dataset.icon = name;
  svg.innerHTML = SHAPES[name];
}
