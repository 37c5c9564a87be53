import assert from "node:assert/strict";
import { test } from "node:test";

import { union, waitBefore } from "../../common/gateway/page/js/link.js";
import { decode } from "../../common/gateway/page/js/msgpack.js";
import { parse, toHash } from "../../common/gateway/page/js/range.js";
import { ageAt, LABELS, place } from "../../common/gateway/page/js/ruler.js";
import { createOffset } from "../../common/gateway/page/js/state.js";

const bytes = (hex) => new Uint8Array(hex.match(/../g).map((pair) => parseInt(pair, 16)));

test("MessagePack as Python's msgpack writes it", () => {
  // msgpack.packb({"t": 1_800_000_000_123_456_789, "a": [1, -1, -300, 70000, 1.5, None, True], "b": b"\x01\x02", "s": "x" * 40})
  const message = "84a174cf18fae2769b0fcd15a1619701ffd1fed4ce00011170cb3ff8000000000000c0c3a162c4020102a173d928" + "78".repeat(40);
  const found = decode(bytes(message));
  assert.equal(Math.round(found.t / 1e6), 1_800_000_000_123);
  assert.deepEqual(found.a, [1, -1, -300, 70000, 1.5, null, true]);
  assert.deepEqual([...found.b], [1, 2]);
  assert.equal(found.s, "x".repeat(40));
});

test("a message that is cut short is an error", () => {
  assert.throws(() => decode(bytes("c40501")), RangeError);
  assert.throws(() => decode(bytes("cb3ff8")), RangeError);
});

test("reconnecting: at once, then 0.5, 1, 2, 4, 8 s, ± 20 %", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 9].map((tries) => waitBefore(tries, 0.5)), [0, 0.5, 1, 2, 4, 8, 8]);
  assert.deepEqual([waitBefore(5, 0), waitBefore(5, 1)].map((s) => Number(s.toFixed(6))), [6.4, 9.6]);
});

test("a hidden tab wants no samples; otherwise everybody gets what they want", () => {
  const wanted = new Map([["a", { topics: ["samples/", "loss/"], samples_hz: 0 }], ["b", { topics: ["loss/", "pulse/"], samples_hz: 200 }]]);
  assert.deepEqual(union(wanted, false), { topics: ["samples/", "loss/", "pulse/"], samples_hz: 200 });
  assert.deepEqual(union(wanted, true).topics, ["loss/", "pulse/"]);
});

test("the rig's clock is that of the least delayed message", () => {
  const offset = createOffset(3);
  assert.equal(offset.get(), null);
  for (const [remote, local] of [[100, 95], [101, 97], [102, 97.5]]) offset.add(remote, local);
  assert.equal(offset.get(), 5);
  for (const local of [197, 198, 199]) offset.add(100, local);
  assert.equal(offset.get(), -97);
});

test("the address holds the range, within its bounds", () => {
  for (const hash of ["#span=600", "#from=100.000&to=700.000"]) assert.equal(toHash(parse(hash)), hash);
  assert.deepEqual([parse("#span=1"), parse("#span=1e12")], [{ span_s: 10 }, { span_s: 315_576_000 }]);
  assert.deepEqual(parse("#from=100&to=101"), { from_s: 95.5, to_s: 105.5 });
  for (const nonsense of ["", "#", "#span=x", "#from=5&to=1", "#span=-3"]) assert.equal(parse(nonsense), null);
});

test("the ruler runs from 10 years at the left to now at the right, and back again", () => {
  assert.equal(place(315_576_000), 0);
  assert.equal(place(0), 1);
  const places = LABELS.map(([, span]) => place(span));
  assert.deepEqual(places, [...places].sort((a, b) => a - b));
  for (const [, span] of LABELS) assert.equal(ageAt(place(span)), span);
  assert.deepEqual([ageAt(-1), ageAt(2)], [315_576_000, 10]);
  assert.ok(Math.abs(ageAt(place(7200)) - 7200) < 200);
});
