/** What drives a thermostat's channel. Pure. */

import { quantity } from "./format.js";

/** A channel of the status → {field, word, unit, sign, value}; null: it reports neither.

`tec_i` is the current, in A. `i_tec` is the driver's monitor of it, a voltage: only shown where there is no `tec_i`. */
export function drive(channel) {
  if ("tec_i" in channel) return { field: "tec_i", word: "current", unit: "A", sign: true, value: quantity.current(channel.tec_i) };
  if (typeof channel.i_tec !== "number") return null;
  return { field: "i_tec", word: "i_tec", unit: "V", sign: false, value: quantity.voltage(channel.i_tec) };
}
