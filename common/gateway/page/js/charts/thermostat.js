/** The thermostat panel: a number and a lane a channel with its target, a lane of all currents (A), or of what stands for them (V). */

import { h } from "../dom.js";
import { duration, number, quantity, say } from "../format.js";
import { drive } from "../drive.js";
import { icon } from "../icons.js";
import { figure, Remark } from "./figures.js";
import { sumWords } from "./losses.js";
import { YScale, decimals } from "./scale.js";
import { TimeChart } from "./timechart.js";

const TOKENS = ["s1", "s2", "s3", "ink"];

/** Changes where the page must be built anew: other devices or channels. */
export const thermostatKey = (section) =>
  (section?.devices ?? []).map((d) => `${d.name}:${d.channels.map((c) => `${c.channel} ${drive(c)?.field}`)}`).join();

export class Thermostat {
  constructor(page, body, silent) {
    Object.assign(this, { page, remark: new Remark("thermostat", page.state, icon), channels: new Map() });
    const { devices } = page.state.get("thermostat");
    const row = h("div", { class: "figures" });
    const [lanes, series] = [[], []];
    const all = devices.flatMap((device) => device.channels.map((channel) => [device, channel.channel, drive(channel)]));
    // Below the temperatures a lane a unit: A and V are never on one scale.
    const units = ["A", "V"].filter((unit) => all.some(([, , driven]) => driven?.unit === unit));
    for (const [device, channel, driven] of all) {
      const key = `${device.name}/${channel}`;
      const label = devices.length > 1 ? `${device.name} ${channel}` : String(channel);
      const token = TOKENS[lanes.length % TOKENS.length];
      const named = devices.length > 1 ? label : `Channel ${channel}`;
      const shown = figure(`thermostat.${key}`, named, { token });
      row.append(shown.el);
      this.channels.set(key, { s: series.length, named, shown, driven });
      const common = { token, stream: `thermostat/${device.name}/`, period_s: device.period_s };
      const span = (lo, hi, decimals, unit, sign) => {
        const [a, b] = [number(lo, decimals, { sign }), number(hi, decimals, { sign })];
        return a === b ? `${a} ${unit}` : `${a} to ${b} ${unit}`;
      };
      series.push(
        { ...common, name: `thermostat/${key}/temperature`, label, lane: lanes.length, say: (lo, hi) => span(lo, hi, 3, "°C") },
      );
      if (driven) {
        const { field, word, unit, sign } = driven;
        series.push({ ...common, name: `thermostat/${key}/${field}`, label: `${label} ${word}`, lane: all.length + units.indexOf(unit),
          brief: true, say: (lo, hi) => span(lo, hi, 3, unit, sign) });
      }
      lanes.push({
        y: new YScale({ parts: 2, least: 0.01 }), label: `${label} °C`, text: (v, step) => number(v, decimals(step)),
        target: () => this.#channel(key)?.target,
      });
    }
    for (const unit of units) lanes.push({ y: new YScale({ zero: true, parts: 2, least: 0.1 }), label: unit, text: (v, step) => number(v, decimals(step)) });
    body.append(row);
    this.chart = new TimeChart(page, body, {
      key: "thermostat", name: "Thermostat", prefix: "thermostat/", src: "thermostat", per_s: 4, series, lanes, silent,
      hover: (at) => this.remark.hover(at && { ...at, values: at.values.filter((_, s) => !series[s].brief) }),
    });
  }

  topics = ["thermostat/"];

  close() {
    this.chart.close();
  }

  take(topic, frame) {
    for (const reading of frame.readings) {
      const { channel, temperature } = reading;
      const found = this.channels.get(`${frame.device}/${channel}`);
      if (!found) continue;
      // null: no sensor; that is no value
      if (typeof temperature === "number") this.chart.picture.add(found.s, frame.t / 1e9, temperature);
      const driven = reading[found.driven?.field];
      if (typeof driven === "number") this.chart.picture.add(found.s + 1, frame.t / 1e9, driven);
    }
    this.chart.item.dirty();
  }

  render() {
    const { devices } = this.page.state.get("thermostat");
    for (const [key, { named, shown }] of this.channels) {
      const channel = this.#channel(key) ?? {};
      shown.caption(channel.pid_engaged === undefined || channel.pid_engaged === null ? named : `${named} · ${channel.pid_engaged ? "PID" : "PID off"}`);
      const known = channel.target !== null && channel.target !== undefined;
      const below = [known ? `target ${number(channel.target, 3)}` : "", say(drive(channel)?.value ?? { text: "" })].filter((t) => t && t !== "–");
      const nothing = channel.t && (channel.temperature === null || channel.temperature === undefined);
      shown.set(nothing ? { text: "no sensor", unit: "" } : quantity.temperature(channel.temperature), below.join(" · "));
    }
    const periods = [...new Set(devices.map((d) => d.period_s))];
    this.remark.say(periods.length === 1 ? `report every ${duration(periods[0])}` : "", sumWords(this.chart.losses));
  }

  #channel(key) {
    const [name, channel] = key.split(/\/(?=[^/]*$)/);
    const device = this.page.state.get("thermostat")?.devices.find((d) => d.name === name);
    return device?.channels.find((c) => String(c.channel) === channel);
  }
}
