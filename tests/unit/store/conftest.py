"""Frames of one stream, numbered as a publisher would, and a store in a folder of its own."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from retention_rig import NOW, Full, Keeper
from retime_rig import Clocks, Output, Sink

from common import clock, frames, topics
from common.store import space
from common.store.items import StreamKey, Taken
from common.store.writer import Store

T, MONO = 1_760_000_000_000_000_000, 10**12


class Maker:
    """Makes the next items of one stream."""

    def __init__(self, src: str = "pulse", run: str = "0" * 16) -> None:
        self.key = StreamKey("rig1", src, run)
        self.seq = 0

    def take(self, frame_type: type[frames.Frame], **fields: Any) -> Taken:
        self.seq += 1
        at = {"t": T + self.seq * 10**6, "mono": MONO + self.seq * 10**6, "seq": self.seq}
        frame: Any = frame_type(node="rig1", src=self.key.src, run=self.key.run, **{**at, **fields})
        return Taken(self.key, topics.topic_of(frame), frame)

    def pulse(self, **fields: Any) -> Taken:
        return self.take(frames.Pulse, **{"channel": "import", "edges": [0], "total": self.seq + 1, **fields})

    def samples(self, n: int = 8, **fields: Any) -> Taken:
        step = 1_250_000
        at = self.seq * n * step
        base = {"t": T + at, "mono": MONO + at, "sensor": "v", "rate_hz": 800.0, "nominal_hz": 800.0, "n": n}
        base |= {"axes": ["x", "y", "z"], "unit": "g", "scale": 0.5, "dtype": "<i2"}
        base |= {"values": bytes(range(256))[: 6 * n], "dt_ns": step}
        return self.take(frames.Samples, **{**base, **fields})

    def health(self, **fields: Any) -> frames.Health:
        late = frames.Lateness(p50=1.0, p99=2.0, p999=3.0, max=4.0)
        base: dict[str, Any] = {"last_seq": 7, "closed": False, "boot_id": "b", "journal_id": "j", "ctl": "c", "pid": 9}
        base |= {"cpu_pct": 1.5, "rss_bytes": 1000, "rates": {"pulse/import/": 2.0}, "lateness_us": late}
        base |= {"missed_ticks": 0, "journal": frames.JournalHealth(frames=1, bytes=2, oldest=3), "t": T, "mono": MONO}
        return frames.Health(node="rig1", src=self.key.src, run=self.key.run, **{**base, **fields})


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def new_maker() -> type[Maker]:
    return Maker


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rigbus.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store.open(path, busy_ms=50)
    yield opened
    opened.close()


@pytest.fixture
def rows(path: Path) -> Callable[..., list[Any]]:
    """Runs one statement in a connection of its own."""

    def run(sql: str, *values: Any) -> list[Any]:
        conn = sqlite3.connect(path)
        try:
            return conn.execute(sql, values).fetchall()
        finally:
            conn.close()

    return run


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are synced while the test runs, in order."""
    found: list[str] = []
    fsync = os.fsync

    def watched(fd: int) -> None:
        found.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    return found


@pytest.fixture
def make_sink(path: Path) -> Iterator[Callable[..., Sink]]:
    """make_sink(clocks, *outputs, hold_s=…) → the sink's side of a machine with these clocks."""
    made: list[Sink] = []

    def make(clocks: Clocks, *outputs: Output, **options: Any) -> Sink:
        made.append(Sink(path, clocks, *outputs, **options))
        return made[-1]

    yield make
    for sink in made:
        sink.close()


@pytest.fixture
def keeper(path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    # NOW is when this was imported, half an hour ago in a long run of tests
    began = time.monotonic_ns()
    monkeypatch.setattr(clock, "wall_ns", lambda: NOW + time.monotonic_ns() - began)
    return Keeper(path, store)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Full:
    """full(free, floor): a disk that says so, whatever the file has given back."""

    def set_to(free: int, floor: int) -> None:
        monkeypatch.setattr(space, "free_bytes", lambda _: free)
        monkeypatch.setattr(space, "floor_bytes", lambda *_: floor)
        monkeypatch.setattr(Store, "owed_bytes", lambda _: 0)

    return set_to
