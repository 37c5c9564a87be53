"""A machine whose clocks the test sets, publishers that stamp by them, and the sink's side: store, keeper, gate."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import frames, topics
from common.intake.clock_keeper import ClockKeeper
from common.log import Log
from common.sinks.gate import Gate
from common.sinks.output import Feed
from common.store.items import Item, StreamKey, Taken
from common.store.schema import RETIMED
from common.store.writer import Store
from common.telemetry.schema import NAMES as IN_SECONDS

S = 10**9
DAY = 86_400 * S
NOW = 1_795_000_000 * S  # what the clock shows once it is set
LAST = NOW - 3 * DAY  # what it shows before: the time of the last shutdown


class Clocks:
    """One boot. boot: CLOCK_BOOTTIME; offset: wall − boot, ns."""

    def __init__(self, offset: int = LAST, boot: int = 10 * S, name: str = "a" * 32) -> None:
        self.offset, self.boot, self.name, self.sane, self.asked = offset, boot, name, False, 0

    def wall_ns(self) -> int:
        return self.boot + self.offset

    def boot_ns(self) -> int:
        return self.boot

    def boot_id(self) -> str:
        return self.name

    def is_sane(self) -> bool:
        self.asked += 1
        return self.sane

    def pass_s(self, seconds: float) -> None:
        self.boot += round(seconds * S)

    def set(self, offset: int, *, sane: bool = True) -> None:
        self.offset, self.sane = offset, sane


class Publisher:
    """One run of one source in one boot: frames stamped now."""

    def __init__(self, clocks: Clocks, src: str = "pulse", run: int = 1) -> None:
        self.clocks, self.key, self.seq = clocks, StreamKey("rig1", src, f"{run:016x}"), 0

    def take(self, kind: type[frames.Frame], **fields: Any) -> Taken:
        self.seq += 1
        at = {"t": self.clocks.wall_ns(), "mono": self.clocks.boot_ns(), "seq": self.seq}
        frame: Any = kind(node=self.key.node, src=self.key.src, run=self.key.run, **{**at, **fields})
        return Taken(self.key, topics.topic_of(frame), frame)

    def pulse(self, edges: Sequence[int] = (0,), **fields: Any) -> Taken:
        return self.take(frames.Pulse, **{"channel": "import", "edges": list(edges), "total": self.seq + 100, **fields})

    def samples(self, n: int = 8, **fields: Any) -> Taken:
        base = {"sensor": "v", "rate_hz": 800.0, "nominal_hz": 800.0, "n": n, "axes": ["x"], "unit": "g"}
        base |= {"scale": 0.5, "dtype": "<i2", "values": bytes(2 * n), "dt_ns": 1_250_000}
        return self.take(frames.Samples, **{**base, **fields})

    def event(self, **fields: Any) -> Taken:
        return self.take(frames.Event, **{"event_type": "e", "source": self.key.src, "detail": str(self.seq), **fields})

    def loss(self, from_t: int, to_t: int, unit: Any = "edge") -> Taken:
        base = {"stream": "pulse/import/", "count": 1, "cause": "late", "unit": unit}
        return self.take(frames.Loss, **base, from_t=from_t, to_t=to_t)

    def every_kind(self) -> list[Taken]:
        arm: dict[str, Any] = {"funcode": 1, "data": None}
        return [
            self.pulse([0, 5, 9]),
            self.samples(),
            self.take(frames.Thermostat, device="t", readings=[{"channel": 0, "temperature": 1.0}], dialect="new"),
            self.take(frames.Pump, pump="p", event="done", action="prime", direction="forward", command_id="c"),
            self.loss(self.clocks.wall_ns() - 2 * S, self.clocks.wall_ns()),
            self.take(frames.ArmCommand, **arm),
            self.take(frames.ArmFeedback, **arm),
            self.take(frames.Smoother, joint_id=1, target=1.0, current=1.0, sent=1.0),
            self.take(frames.WebRequest, endpoint="/"),
            self.take(frames.Camera, camera_id="c"),
            self.event(),
        ]

    def health(self) -> frames.Health:
        late = frames.Lateness(p50=1.0, p99=1.0, p999=1.0, max=1.0)
        journal = frames.JournalHealth(frames=1, bytes=1, oldest=self.clocks.wall_ns() - S)
        base: dict[str, Any] = {"last_seq": self.seq, "closed": False, "journal_id": "j", "ctl": "c", "pid": 1}
        base |= {"cpu_pct": 1.0, "rss_bytes": 1, "rates": {}, "lateness_us": late, "missed_ticks": 0}
        base |= {"journal": journal, "boot_id": self.clocks.name, "t": self.clocks.wall_ns()}
        base |= {"mono": self.clocks.boot_ns(), "node": self.key.node, "src": self.key.src, "run": self.key.run}
        return frames.Health(**base)


class Output:
    """What the keeper asks of a consumer."""

    def __init__(self, name: str = "csv", **reach: int) -> None:
        self.name, self.reach, self.feeds = name, reach, [Feed(table, "*") for table in reach]


class Sink:
    """Store, gate and keeper as daemons/sink.py has them. `restart` is also what a kill looks like."""

    def __init__(self, path: Path, clocks: Clocks, *outputs: Output, hold_s: float = 120.0) -> None:
        self.path, self.clocks, self.outputs, self.hold_s = path, clocks, outputs, hold_s
        self.lines: list[str] = []
        self._open()

    def _open(self) -> None:
        self.store, self.gate = Store.open(self.path, busy_ms=50), Gate()
        log = Log("sink", self)  # type: ignore[arg-type]
        self.keeper = ClockKeeper(self.store, self.gate, self.outputs, self.hold_s, log, self.clocks)

    def write(self, text: str) -> None:
        self.lines.append(text)

    def flush(self) -> None:
        pass

    def commit(self, *items: Item | list[Taken], boot: str = "") -> None:
        """boot: in which the items' streams run, if not in this one."""
        flat = [one for item in items for one in (item if isinstance(item, list) else [item])]
        self.keeper.look()
        published = {item.key: (0, boot or self.clocks.name) for item in flat if hasattr(item, "key")}
        self.store.commit(flat, published)

    def settle(self) -> None:
        """A second later the clock is looked at, and what follows from it is done."""
        self.clocks.pass_s(1)
        for _ in range(1000):
            self.keeper.look()
            if self.keeper.settled:
                return
        raise AssertionError("it never ends")

    def restart(self, clocks: Clocks | None = None) -> None:
        self.store.close()
        self.clocks = clocks or self.clocks
        self._open()

    def rows(self, sql: str, *values: Any) -> list[Any]:
        conn = sqlite3.connect(self.path)
        try:
            return conn.execute(sql, values).fetchall()
        finally:
            conn.close()

    def times(self, table: str) -> list[tuple[int, int | None]]:
        """(t, t_orig) of every row, ns; of tables in seconds to the µs."""
        t = "CAST(round(ts * 1e6) AS INTEGER) * 1000" if table in IN_SECONDS else "t_ns"
        return self.rows(f"SELECT {t}, t_orig_ns FROM {table} ORDER BY id")

    def all_times(self) -> dict[str, list[tuple[int, int | None]]]:
        return {table: found for table in RETIMED if (found := self.times(table))}

    @property
    def is_holding(self) -> bool:
        return bool(self.gate.limits)

    def close(self) -> None:
        self.store.close()
