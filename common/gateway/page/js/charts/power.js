/** The power panel: a number and a stepped line a meter; what was fed in is drawn below zero. */

import { h } from "../dom.js";
import { clock, NONE, number, power, quantity, say } from "../format.js";
import { icon } from "../icons.js";
import { figure, Remark } from "./figures.js";
import { sumWords } from "./losses.js";
import { YScale, decimals } from "./scale.js";
import { TimeChart } from "./timechart.js";

const KNOWN = { import: ["Import", "s1"], generate: ["Generate", "s3"], export: ["Export", "s2"] };
const ORDER = Object.keys(KNOWN);
const WAY_S = 0.5; // from the edge to the page: frames go out each 0.1 s, messages each 0.05 s
const J_PER_KWH = 3.6e6;

const rank = ({ name }) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);

export class Power {
  constructor(page, body, silent) {
    Object.assign(this, { page, silent, remark: new Remark("power", page.state, icon) });
    this.channels = [...page.state.get("pulse").channels].sort((a, b) => rank(a) - rank(b));
    this.meters = new Map(); // name → {edge_s, gap_s, watts, total} of the newest edges
    const row = h("div", { class: "figures" });
    const lane = { y: new YScale({ zero: true, parts: 5, least: 100 }), text: (v) => this.#level(v) };
    this.lane = lane;
    const series = this.channels.map(({ name }, at) => {
      const [label, token] = KNOWN[name] ?? [name, ["s1", "s3", "s2"][at % 3]];
      const scale = name === "export" ? -1 : 1;
      this.meters.set(name, { s: at, scale, figure: figure(`power.${name}`, label, { token }), total: null });
      row.append(this.meters.get(name).figure.el);
      const bound = () => {
        const now = this.#now(name);
        return now.bound ? scale * now.watts : undefined;
      };
      return { name: `energy/${name}`, stream: `pulse/${name}/`, label, token, scale, lane: 0, hold: true, fill: at === 0, bound, say: (lo, hi) => watts(lo, hi) };
    });
    body.append(row);
    this.chart = new TimeChart(page, body, {
      key: "power", name: "Power", prefix: "pulse/", src: "pulse", per_s: 4, series, lanes: [lane], silent,
      hover: (at) => this.remark.hover(at),
    });
  }

  topics = ["pulse/"];

  close() {
    this.chart.close();
  }

  take(topic, frame) {
    const meter = this.meters.get(frame.channel);
    const channel = this.channels.find(({ name }) => name === frame.channel);
    if (!meter || !frame.edges.length) return;
    const t_s = frame.t / 1e9;
    // After edges that this view did not get, the time since the last known one says nothing.
    // Nor do edges of another run of the daemon, or that the kernel dropped: nobody counted what came between.
    const follows = meter.total === frame.total - frame.edges.length && (meter.run ?? frame.run) === frame.run && !frame.missed;
    let before_s = follows ? meter.edge_s : null;
    for (const offset_ns of frame.edges) {
      const edge_s = t_s + offset_ns / 1e9;
      if (before_s !== null && edge_s > before_s) {
        meter.gap_s = edge_s - before_s;
        meter.watts = J_PER_KWH / channel.imp_per_kwh / meter.gap_s;
        this.chart.picture.add(meter.s, before_s, meter.scale * meter.watts);
      }
      before_s = edge_s;
    }
    if (!follows && frame.edges.length === 1) Object.assign(meter, { gap_s: null, watts: null });
    Object.assign(meter, { edge_s: before_s, total: frame.total, run: frame.run });
    this.chart.item.dirty();
  }

  /** Newest numbers; called 4 times a second. */
  render() {
    const channels = this.page.state.get("pulse").channels;
    for (const { name, watts: told, edge_t, gap_s, total, kwh_today } of channels) {
      const meter = this.meters.get(name);
      if (!meter) continue;
      if (edge_t !== null && (meter.total === null || total > meter.total || (total === meter.total && !(meter.watts > 0)))) {
        Object.assign(meter, { edge_s: edge_t / 1e9, gap_s, watts: told, total });
      }
      const today = kwh_today === null || kwh_today === undefined ? "" : `${say(quantity.energy(kwh_today))} today`;
      // What nobody hears of has no number: neither the last one, nor a bound that falls by itself.
      if (this.silent()) meter.figure.set({ text: NONE, unit: "W" }, this.#last(meter));
      else meter.figure.set(this.#power(meter), today);
    }
    const rates = [...new Set(this.channels.map((c) => c.imp_per_kwh))];
    this.remark.say(rates.length === 1 ? `${number(rates[0])} imp/kWh` : "", sumWords(this.chart.losses));
  }

  #power({ watts: told, edge_s, gap_s }) {
    return power({ watts: told, edge_s, gap_s, now_s: this.#heard() });
  }

  /** "was 3,600 W, 14:31:07". */
  #last({ watts: told, edge_s }) {
    const { state } = this.page;
    return edge_s && Number.isFinite(told) ? `was ${say(quantity.power(told))}, ${clock(edge_s, state.zone_s())}` : "";
  }

  /** Until when it is known that no edge came: the daemon was heard by then, and tells of one within WAY_S. */
  #heard() {
    const { state } = this.page;
    const daemon_t = state.get("daemons")?.pulse?.heard_t;
    return Math.min(state.now() - WAY_S, daemon_t ? daemon_t / 1e9 : Infinity, this.silent()?.since_s ?? Infinity);
  }

  #now(name) {
    const meter = this.meters.get(name);
    const since_s = this.#heard() - meter.edge_s;
    const bound = meter.gap_s > 0 && since_s > meter.gap_s;
    return { bound, watts: bound ? (meter.watts * meter.gap_s) / since_s : meter.watts };
  }

  #level(v) {
    const { lo, hi, step } = this.lane.y;
    const kilo = Math.max(-lo, hi) >= 10_000;
    return kilo ? `${number(v / 1000, decimals(step / 1000))} kW` : number(v);
  }
}

/** Export is drawn below zero, and written without a sign. */
function watts(lo, hi) {
  const [a, b] = [Math.abs(lo), Math.abs(hi)].sort((p, q) => p - q).map((v) => number(v));
  return a === b ? `${a} W` : `${a} to ${b} W`;
}
