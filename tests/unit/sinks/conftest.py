"""A store with pulses in it, and an output that keeps what it gets in memory and fails when told to."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from common import frames
from common.log import Log
from common.sinks.consumer import Consumer
from common.sinks.gate import Gate
from common.sinks.output import Feed, Row, Written
from common.store.items import StreamKey, Taken
from common.store.moves import FileState, Refused
from common.store.writer import Store

T = 1_760_000_000_000_000_000
KEY = StreamKey("rig1", "pulse", "0" * 16)


class Filler:
    """Stores pulses, numbered from 1, as a sink would."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store.open(path)
        self.seq = self.total = 0

    def pulses(self, n: int, moves: Sequence[Any] = ()) -> None:
        """One frame of n edges, 10 ms apart."""
        self.seq += 1
        self.total += n
        edges = [i * 10_000_000 for i in range(n)]
        at = {"t": T + self.total * 10_000_000, "mono": self.total * 10_000_000, "seq": self.seq}
        frame = frames.Pulse(
            node="rig1", src="pulse", run=KEY.run, channel="import", edges=edges, total=self.total, **at
        )
        self.store.commit([Taken(KEY, "pulse/import/", frame)], moves=moves)

    def rows(self, sql: str, *values: Any) -> list[Any]:
        conn = sqlite3.connect(self.path)
        try:
            return conn.execute(sql, values).fetchall()
        finally:
            conn.close()


class Memory:
    """An output in memory. fails: raised by each write while it is set. refuses: ids that it never takes."""

    def __init__(self, limit: int = 100) -> None:
        self.limit = limit
        self.got: list[int] = []
        self.pages: list[int] = []
        self.fails: Exception | None = None
        self.refuses: set[int] = set()
        self.commits = 0
        self.restored: list[Mapping[str, int]] = []

    def feeds(self) -> Sequence[Feed]:
        return [Feed("pulses", "t_ns, channel, total", self.limit)]

    def restore(self, cursors: Mapping[str, int], files: Sequence[FileState]) -> Mapping[str, int]:
        self.restored.append(dict(cursors))
        return {}

    def write(self, table: str, rows: Sequence[Row]) -> Written:
        if self.fails is not None:
            raise self.fails
        self.pages.append(len(rows))
        self.got += [row[0] for row in rows if row[0] not in self.refuses]
        return Written([Refused(table, row[0], "no", b"line") for row in rows if row[0] in self.refuses])

    def idle(self) -> Written:
        return Written()

    def committed(self) -> None:
        self.commits += 1

    def close(self) -> None:
        pass


@pytest.fixture
def filler(tmp_path: Path) -> Iterator[Filler]:
    made = Filler(tmp_path / "rigbus.db")
    yield made
    made.store.close()


class Rig:
    """A consumer of Memory, and what the sink's main thread does for it."""

    def __init__(self, filler: Filler) -> None:
        self.filler, self.output, self.gate = filler, Memory(), Gate()
        self.lines: list[str] = []
        self.log = Log("sink", self)  # type: ignore[arg-type]
        self.consumers: list[Consumer] = []

    def write(self, text: str) -> None:
        self.lines.append(text)

    def flush(self) -> None:
        pass

    def consume(self) -> Consumer:
        made = Consumer("memory", self.output, str(self.filler.path), self.gate, self.log)
        self.consumers.append(made)
        made.start()
        return made

    def commit(self, n: int = 0) -> None:
        """One commit with the moves, and n new pulses."""
        moves = [move for c in self.consumers if (move := c.mailbox.take()) is not None]
        if n:
            self.filler.pulses(n, moves)
        else:
            self.filler.store.commit([], moves=moves)
        for consumer in self.consumers:
            consumer.mailbox.confirm()
            consumer.wake()

    def until(self, condition: Callable[[], Any], timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "in vain"
            time.sleep(0.005)

    def close(self) -> None:
        for consumer in self.consumers:
            consumer.stop(5.0)
            assert consumer.join(10.0)


@pytest.fixture
def rig(filler: Filler) -> Iterator[Rig]:
    made = Rig(filler)
    yield made
    made.close()
