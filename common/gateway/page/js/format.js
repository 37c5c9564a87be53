/** How every number on the page is written: one unit and fixed decimals a quantity. Null is "–", never 0. */

export const NONE = "–";
const NBSP = "\u00a0";
const MINUS = "\u2212";
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** 1284.3 → "1,284". sign: also a plus. A zero has no minus. */
export function number(value, decimals = 0, { sign = false } = {}) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const [whole, rest] = Math.abs(value).toFixed(decimals).split(".");
  const text = whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest ? `.${rest}` : "");
  if (!/[1-9]/.test(text)) return text;
  return (value < 0 ? MINUS : sign ? "+" : "") + text;
}

const fixed = (unit, decimals, options) => (value) => ({ text: number(value, decimals, options), unit });

/** Each gives {text, unit}; `say` joins them. */
export const quantity = {
  power: fixed("W", 0),
  energy: fixed("kWh", 2),
  temperature: fixed("°C", 3),
  current: fixed("A", 3, { sign: true }),
  voltage: fixed("V", 3),
  rms: fixed("g", 3),
  peak: fixed("g", 2),
  frequency: fixed("Hz", 1),
  volume: fixed("mL", 1),
  angle: fixed("°", 1),
  angleError: fixed("", 1, { sign: true }),
  bytes: (value) => ({ text: number(value === null || value === undefined ? null : value / 1e9, 1), unit: "GB" }),
};

/** {text, unit} → "9.42 kWh"; a degree sign stands close, an unknown value has no unit. */
export function say({ text, unit }) {
  if (text === NONE || !unit) return text;
  return unit === "°" ? text + unit : text + NBSP + unit;
}

/** Power comes from the last two edges: once more time has passed than between them it is only an upper bound.

edge_s: when the last edge came, gap_s: time between the last two, now_s: the rig's now. → {text, unit, bound} */
export function power({ watts, edge_s, gap_s, now_s }) {
  if (watts === null || watts === undefined) return { text: NONE, unit: "W", bound: false };
  const since = now_s - edge_s;
  const bound = gap_s > 0 && since > gap_s;
  const value = bound ? (watts * gap_s) / since : watts;
  return { text: (bound ? "≤" + NBSP : "") + number(value), unit: "W", bound };
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

/** A lag or an age, two units at most: "0.8 s", "12 s", "4 min 12 s", "2 d 4 h". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  if (seconds < 9.95) return number(Math.max(0, seconds), 1) + NBSP + "s";
  let whole = Math.round(seconds);
  const largest = () => UNITS.findIndex(([, size]) => whole >= size);
  let at = largest();
  if (at < 2) whole = Math.round(whole / UNITS[at + 1][1]) * UNITS[at + 1][1];
  at = largest();
  const parts = [UNITS[at], UNITS[at + 1]].filter(Boolean).map(([unit, size]) => {
    const count = Math.floor(whole / size);
    whole -= count * size;
    return count + NBSP + unit;
  });
  return parts.join(NBSP);
}

/** One unit, whole: for words that are read from afar ("14 s", "4 min"). */
export function roughly(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [unit, size] = UNITS.find(([, each]) => whole >= each) ?? UNITS[3];
  return Math.floor(whole / size) + NBSP + unit;
}

/** How long something lasted; fine where it was short: "15 ms", "0.21 s", "4.0 s". */
export function lasted(seconds) {
  if (seconds === null || seconds === undefined || !(seconds >= 0)) return NONE;
  if (seconds < 0.0995) return number(seconds * 1000) + NBSP + "ms";
  return seconds < 0.995 ? number(seconds, 2) + NBSP + "s" : duration(seconds);
}

/** A span of the ruler, one or two units: "10 minutes", "1 year". For people who listen. */
export function spoken(seconds) {
  const units = [["year", 31557600], ["month", 2629800], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, size] = units.find(([, each]) => seconds >= each * 0.999) ?? units[6];
  const count = Number((seconds / size).toPrecision(2));
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

/** "water" → "Water". */
export const title = (name) => name.charAt(0).toUpperCase() + name.slice(1);

const two = (value) => String(value).padStart(2, "0");

/** The rig's local time of day of epoch seconds: "14:32:07". offset_s: the rig's, east of UTC. */
export function clock(epoch_s, offset_s, { seconds = true } = {}) {
  if (epoch_s === null || epoch_s === undefined) return NONE;
  const at = new Date((epoch_s + offset_s) * 1000);
  return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}` + (seconds ? `:${two(at.getUTCSeconds())}` : "");
}

/** A moment: time of day, over a day old with its date: "19 Nov 23:50", in another year "19 Nov 2025 23:50". */
export function moment(epoch_s, now_s, offset_s) {
  if (epoch_s === null || epoch_s === undefined) return NONE;
  if (Math.abs(now_s - epoch_s) < 86400) return clock(epoch_s, offset_s);
  const at = new Date((epoch_s + offset_s) * 1000);
  const year = at.getUTCFullYear();
  const same = year === new Date((now_s + offset_s) * 1000).getUTCFullYear();
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${same ? "" : `${year} `}${clock(epoch_s, offset_s, { seconds: false })}`;
}

/** The date of a moment that is not of today: "19 Nov", in another year "19 Nov 2025"; "" for today. */
export function dateUnlessToday(epoch_s, now_s, offset_s) {
  const [at, now] = [epoch_s, now_s].map((t_s) => new Date((t_s + offset_s) * 1000));
  const [day, today] = [at, now].map((date) => date.toISOString().slice(0, 10));
  if (day === today) return "";
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}` + (day.slice(0, 4) === today.slice(0, 4) ? "" : ` ${day.slice(0, 4)}`);
}

/** "1 edge", "12 samples", "unknown polls". */
export function counted(count, unit) {
  const many = unit.endsWith("s") ? unit : `${unit}s`;
  if (count === null || count === undefined) return `unknown${NBSP}${many}`;
  return number(count) + NBSP + (count === 1 ? unit.replace(/s$/, "") : many);
}
