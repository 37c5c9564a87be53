"""A store, the CSV output on it, and a consumer that is driven by hand: pages, commits and kills when the test says."""

import io
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common import frames
from common.config.schema import Config
from common.log import Log
from common.sinks.consumer import Consumer
from common.sinks.csv.output import CsvOutput
from common.sinks.gate import Gate
from common.sinks.output import Place
from common.store.items import StreamKey, Taken
from common.store.writer import Store

T = 1_772_366_400_000_000_000  # 2026-03-01T12:00:00Z, a Sunday
STEP = 1_250_000
RUN = "0" * 16


class Rig:
    """A store in `folder`/d and CSV files in `folder`/d/csv. extra: keys of [sink.csv]."""

    def __init__(self, folder: Path, **extra: Any) -> None:
        self.data = folder / "d"
        self.data.mkdir(parents=True, exist_ok=True)
        self.db, self.root = self.data / "rigbus.db", self.data / "csv"
        self.out = io.StringIO()
        self.configure(**extra)
        self.store = Store.open(self.db)
        self.seqs: dict[str, int] = {}
        self.consumer: Consumer | None = None

    def configure(self, **extra: Any) -> None:
        section = {"sink": {"csv": {"enabled": True, **extra}}, "highspeed": {}}
        self.config = msgspec.convert(section, Config)

    # ---- rows

    def put(self, src: str, frame_type: type[frames.Frame], **fields: Any) -> None:
        """A frame of its own commit."""
        self.put_all((src, frame_type, fields))

    def put_all(self, *made: tuple[str, type[frames.Frame], dict[str, Any]]) -> None:
        items = []
        for src, frame_type, fields in made:
            seq = self.seqs[src] = self.seqs.get(src, 0) + 1
            at = {"t": T, "mono": T // 1000, "seq": seq, **fields}
            frame: Any = frame_type(node="rig1", src=src, run=RUN, **at)
            items.append(Taken(StreamKey("rig1", src, RUN), "x", frame))
        self.store.commit(items)

    def samples(self, t: int = T, n: int = 80, **fields: Any) -> None:
        """A chunk of samples 1.25 ms apart: x rises with the number of the frame, so that every row is another."""
        number = self.seqs.get("highspeed", 0)
        values = b"".join(((number * 7 + i) % 9000).to_bytes(2, "little") for i in range(n))
        base = {"t": t, "mono": t // 1000, "sensor": "vibration", "rate_hz": 800.0, "nominal_hz": 800.0, "n": n}
        base |= {"axes": ["x"], "unit": "g", "scale": 0.0001, "dtype": "<i2", "values": values, "dt_ns": STEP}
        self.put("highspeed", frames.Samples, **{**base, **fields})

    def pulses(self, t: int = T, n: int = 10) -> None:
        total = self.seqs["pulses"] = self.seqs.get("pulses", 0) + n
        edges = [i * 1_000_000 for i in range(n)]
        self.put("pulse", frames.Pulse, channel="import", edges=edges, total=total, t=t)

    # ---- the output

    def start(self) -> Consumer:
        """A new process: what the last one did not commit is void."""
        self.kill()
        log = Log("sink", self.out)
        names = dict.fromkeys(Place._fields)
        names |= {"name": "csv", "config": self.config, "data": self.data, "log": log, "options": {}}
        self.output = CsvOutput(Place(**names))  # type: ignore[arg-type]
        self.consumer = Consumer("csv", self.output, str(self.db), Gate(), log)
        return self.consumer

    def kill(self) -> None:
        if self.consumer is not None:
            self.consumer._disconnect()
            self.output.close()
            self.consumer = None

    def write(self) -> None:
        """All there is, into the files; nothing of it is committed."""
        assert self.consumer is not None
        self.consumer._idle_at = 0.0
        while self.consumer._pass():
            pass

    def commit(self) -> None:
        assert self.consumer is not None
        move = self.consumer.mailbox.take()
        self.store.commit([], moves=[move] if move else [])
        self.consumer.mailbox.confirm()

    def run(self, times: int = 1) -> None:
        """Write and commit, and what follows from the commit."""
        if self.consumer is None:
            self.start()
        for _ in range(times):
            self.write()
            self.commit()
        self.write()
        self.commit()

    # ---- looking

    def rows(self, sql: str, *values: Any) -> list[Any]:
        conn = sqlite3.connect(self.db)
        try:
            return conn.execute(sql, values).fetchall()
        finally:
            conn.close()

    def set(self, sql: str, *values: Any) -> None:
        self.store.work(lambda conn: conn.execute(sql, values).rowcount)

    def names(self, top: str = "") -> list[str]:
        """Every file below a folder, sorted."""
        return sorted(str(p.relative_to(self.root)) for p in (self.root / top).rglob("*") if p.is_file())

    def text(self, path: str) -> str:
        return (self.root / path).read_bytes().decode()

    @property
    def said(self) -> str:
        return self.out.getvalue()

    def close(self) -> None:
        self.kill()
        self.store.close()


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """make_rig(**keys of [sink.csv])"""
    rigs: list[Rig] = []

    def make(folder: Path | None = None, **extra: Any) -> Rig:
        rigs.append(Rig(folder or tmp_path / str(len(rigs)), **extra))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig()
