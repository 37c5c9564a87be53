"""The wall clock, watched for the sink: outputs wait until it is set, earlier rows are then moved, steps are noted.

Linux slews all clocks alike: wall − CLOCK_BOOTTIME changes where the wall clock is set, and only there.
"""

from collections.abc import Sequence

from common import clock
from common.clock import Clock
from common.log import Log
from common.log_events import LogEvent
from common.sinks.consumer import Consumer
from common.sinks.gate import Gate
from common.store import retime
from common.store.boots import MIN_SHIFT_NS, Boot, Boots
from common.store.retime import Part, Seen
from common.store.writer import Store

REASON = "the clock is not set"
STEP_NS = 20_000_000  # less is the time between reading two clocks
_LOOK_NS = 1_000_000_000
_READ_NS = 1_000_000


class ClockKeeper:
    """One thread: `look` before each commit, and between commits, for the rows to be moved.

    hold_s: so long after the boot outputs wait. settled: no row waits to be moved. Where one does, rows must not be
    deleted by their age.
    """

    def __init__(
        self, store: Store, gate: Gate, consumers: Sequence[Consumer], hold_s: float, log: Log, clocks: Clock = clock
    ) -> None:
        self._store, self._gate, self._consumers, self._log, self._clocks = store, gate, consumers, log, clocks
        self.hold_s = hold_s
        self._generation = -1
        self._offset_ns = self._next_look_ns = 0
        self._known: Boots | None = None  # what _parts, the gate and the log follow from
        self._waiting = False  # it is in the log
        self._moving: Boot | None = None
        self._parts: list[Part] = []
        self._at = self._next_id = 0  # of _parts
        self._pace = retime.Pace()
        gate.hold(dict.fromkeys(retime.HELD, 0), "starting")

    @property
    def settled(self) -> bool:
        boot = self._store.boots.this
        if self._known is None or self._moving is not None or boot is None:
            return False
        stepped = boot.is_unset and abs(boot.offset_ns - (boot.unset_offset_ns or 0)) >= MIN_SHIFT_NS
        return not stepped  # by hand, say: what is stored may still be moved

    def look(self) -> None:
        """Raises StoreError: what it found is found again at the next look."""
        here = self._clocks.boot_id()
        if self._store.generation != self._generation or here not in self._store.boots.rows:
            self._begin()
        if self._known is not self._store.boots:
            self._go_on()
        boot = self._store.boots.rows[here]
        # the word that it is set comes first: the clock that is read then is the one that was set
        sane = boot.is_unset and self._is_due() and self._clocks.is_sane()
        seen = self._read()
        if abs(seen.offset_ns - self._offset_ns) > STEP_NS:
            self._step(seen, "")
        self._offset_ns = seen.offset_ns
        if sane:
            self._store.boots = self._store.work(lambda conn: retime.became_sane(conn, seen))
            self._go_on()
        elif boot.is_unset and not boot.released and seen.mono_ns >= self.hold_s * 1e9:
            self._store.boots = self._store.work(lambda conn: retime.release(conn, here))
            self._go_on()
        elif self._moving is not None:
            self._move(self._moving, seen)

    def _begin(self) -> None:
        """The sink has started, or the store is another one."""
        sane, seen = self._clocks.is_sane(), self._read()
        late = seen.mono_ns >= self.hold_s * 1e9
        self._store.boots = self._store.work(lambda conn: retime.begin(conn, seen, sane=sane, released=late))
        self._generation = self._store.generation
        before = self._store.boots.rows[seen.boot_id].offset_ns
        if abs(seen.offset_ns - before) > STEP_NS:
            self._offset_ns = before
            self._step(seen, "while the sink was not running")
        self._offset_ns = seen.offset_ns
        self._next_look_ns = 0

    def _step(self, seen: Seen, detail: str) -> None:
        step_ns = seen.offset_ns - self._offset_ns
        self._store.boots = self._store.work(lambda conn: retime.stepped(conn, seen, step_ns, detail))
        self._log.warning("the wall clock was set", event=LogEvent.CLOCK_STEP, step_s=f"{step_ns / 1e9:+.3f}")

    def _is_due(self) -> bool:
        """A look each second at whether it is set; else whatever is looked at often."""
        now_ns = self._clocks.boot_ns()
        if now_ns < self._next_look_ns:
            return False
        self._next_look_ns = now_ns + _LOOK_NS
        return True

    def _read(self) -> Seen:
        for _ in range(8):
            before, wall, after = self._clocks.boot_ns(), self._clocks.wall_ns(), self._clocks.boot_ns()
            if after - before < _READ_NS:
                break  # else it was kept from running between the two
        return Seen(self._clocks.boot_id(), after, wall - after)

    # ---- outputs wait

    def _go_on(self) -> None:
        """After any change: what is to be moved next, and what outputs may have meanwhile."""
        boots = self._store.boots
        open_ones = [boot for boot in boots.rows.values() if not boot.retimed]
        moving = next((boot for boot in open_ones if boot.sane_mono_ns is not None), None)
        if moving is not None:
            self._parts = self._store.work(lambda conn: retime.parts_of(conn, moving))
        holding = [boot for boot in open_ones if boot.sane_mono_ns is not None or not boot.released]
        if holding:
            # once outputs have had rows with the old time, none at all until it is known which
            held = [{} if boot.released else boot.held for boot in holding]
            self._gate.hold({table: min(ids.get(table, 0) for ids in held) for table in retime.HELD}, REASON)
        else:
            self._gate.open()
        self._say(waits=any(not boot.released for boot in holding), in_vain=any(boot.is_unset for boot in open_ones))
        self._moving, self._at, self._next_id, self._known = moving, 0, 0, boots

    def _say(self, *, waits: bool, in_vain: bool) -> None:
        """A line where outputs begin to wait, and one where they no longer do. in_vain: the clock is still not set."""
        if waits and not self._waiting:
            self._log.info(f"outputs wait: {REASON}", event=LogEvent.CLOCK_UNSET, at_most_s=float(self.hold_s))
        elif self._waiting and not waits and in_vain:
            self._log.warning(f"outputs go on, with the time that rows have: {REASON}", event=LogEvent.CLOCK_UNSET)
        elif self._waiting and not waits:
            self._log.info("outputs go on: the clock is set", event=LogEvent.CLOCK_SET)
        self._waiting = waits

    # ---- rows are moved

    def _move(self, boot: Boot, seen: Seen) -> None:
        """One step."""
        if self._at < len(self._parts):
            part = self._parts[self._at]
            first = max(self._next_id, part.from_id)
            rows = self._pace.rows
            with self._pace:
                self._store.work(lambda conn: retime.move(conn, part, boot, first, rows))
            self._next_id = first + rows
            if self._next_id > part.to_id:
                self._at, self._next_id = self._at + 1, 0
            return
        parts, t_ns = self._parts, seen.mono_ns + seen.offset_ns
        reach = {consumer.name: dict(consumer.reach) for consumer in self._consumers}
        told = self._store.work(lambda conn: retime.went_out(conn, parts, reach) if boot.released else "")
        detail = f"rows were moved: {_summary(parts)}" if parts else ""
        if told:
            detail += f"; went out with the old time: {told}"
        self._store.boots = self._store.work(lambda conn: retime.finish(conn, boot, t_ns, detail if parts else ""))
        if parts:
            self._log.info(
                "rows of before the clock was set have their time", event=LogEvent.RETIMED, rows=_summary(parts)
            )
        self._go_on()


def _summary(parts: Sequence[Part]) -> str:
    """By how much which rows: "+86400.000 s pulses 1..17, ledger 3..4"."""
    spans: dict[tuple[str, str], tuple[int, int]] = {}
    for part in parts:
        key = (f"{part.shift_ns / 1e9:+.3f} s", part.table)
        first, last = spans.get(key, (part.from_id, part.to_id))
        spans[key] = min(first, part.from_id), max(last, part.to_id)
    by_shift: dict[str, list[str]] = {}
    for (shift, table), (first, last) in spans.items():
        by_shift.setdefault(shift, []).append(f"{table} {first}..{last}")
    return "; ".join(f"{shift} {', '.join(tables)}" for shift, tables in by_shift.items())
