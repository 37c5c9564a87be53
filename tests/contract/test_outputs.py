"""One suite over every output: each row once, whatever fails in between; a page of memory; an end when asked for.

An output of your own goes into OUTPUTS: how to make it, how to break and mend what it writes to, what has arrived.
"""

import contextlib
import csv
import json
import re
import shutil
import socket
import sqlite3
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common import frames, sinks
from common.config.schema import Config
from common.log import Log
from common.secrets import Secrets
from common.sinks.consumer import Consumer
from common.sinks.gate import Gate
from common.sinks.output import Output, Place
from common.store.items import StreamKey, Taken
from common.store.writer import Store

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "influx"))
from faults import Faults, Pass, Say  # noqa: E402

T = 1_760_000_000_000_000_000
KEY = StreamKey("rig1", "pulse", "0" * 16)


class Files:
    """CSV: the folder is there, or a file stands in its place."""

    exactly_once = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "csv"
        self.settings = {"csv": {"enabled": True, "dir": str(self._folder)}}

    def open(self, place: Callable[[str], Place]) -> Output:
        return sinks.open_output("csv", place("csv").config, place("csv").data, place("csv").log, place("csv").secrets)

    def fail(self) -> None:
        if self._folder.is_dir():
            self._folder.rename(self._folder.with_suffix(".away"))
        self._folder.write_text("in the way")

    def mend(self) -> None:
        self._folder.unlink()
        if self._folder.with_suffix(".away").exists():
            self._folder.with_suffix(".away").rename(self._folder)

    def got(self) -> list[int]:
        found = []
        for path in sorted(self._folder.glob("pulses/*.csv"), key=lambda path: (len(path.name), path.name)):
            whole, _, _ = path.read_text().rpartition("\n")  # the last row may be under way
            found += [int(row["total"]) for row in csv.DictReader(whole.splitlines())]
        return found

    def close(self) -> None:
        pass


class Influx:
    """A server that takes lines, or says 503."""

    exactly_once = False  # a repeat overwrites

    def __init__(self, folder: Path) -> None:
        self._faults = Faults()
        self._faults.__enter__()
        self.settings = {"influx": {"enabled": True, "url": self._faults.url, "org": "rig", "downsampling": "tasks"}}

    def open(self, place: Callable[[str], Place]) -> Output:
        made = place("influx")
        return sinks.open_output("influx", made.config, made.data, made.log, made.secrets)

    def fail(self) -> None:
        self._faults.otherwise = Say(503)

    def mend(self) -> None:
        self._faults.otherwise = Pass()

    def got(self) -> list[int]:
        times = [int(line.split()[-1]) for _, line in self._faults.taken if line.startswith(b"PowerPulse")]
        return [(t - T) // 10_000_000 for t in times]

    def close(self) -> None:
        self._faults.__exit__(None, None, None)


class Example:
    """The output of docs/extend.md, and a collector that answers or hangs up."""

    exactly_once = False

    def __init__(self, folder: Path) -> None:
        self.settings: dict[str, Any] = {}
        self._server = socket.create_server(("127.0.0.1", 0))
        self._lines: list[dict[str, Any]] = []
        self._deaf = False
        threading.Thread(target=self._run, daemon=True).start()
        blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/extend.md").read_text(), re.DOTALL)
        self._source = next(block for block in blocks if "class Collector" in block)

    def _run(self) -> None:
        while True:
            try:
                conn, _ = self._server.accept()
            except OSError:
                return
            with conn, contextlib.suppress(ConnectionError):
                data = b""
                while more := conn.recv(1 << 20):
                    data += more
                    if not data.endswith(b"\n"):
                        continue
                    if self._deaf:
                        break
                    self._lines += [json.loads(line) for line in data.splitlines()]
                    data = b""
                    conn.sendall(b"ok\n")

    def open(self, place: Callable[[str], Place]) -> Output:
        module: dict[str, Any] = {}
        exec(compile(self._source, "rigbus_collector", "exec"), module)
        port = self._server.getsockname()[1]
        made: Output = module["Collector"](place("lines")._replace(options={"host": "127.0.0.1", "port": port}))
        return made

    def fail(self) -> None:
        self._deaf = True

    def mend(self) -> None:
        self._deaf = False

    def got(self) -> list[int]:
        return [line["total"] for line in self._lines]

    def close(self) -> None:
        self._server.close()


OUTPUTS = {"csv": Files, "influx": Influx, "example": Example}


class Rig:
    """A store, an output of one kind, its consumer, and the sink's part between them."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.db = folder, folder / "rigbus.db"
        self.other: Any = OUTPUTS[kind](folder)
        self.config = msgspec.convert({"sink": self.other.settings}, Config)
        self.store = Store.open(self.db)
        self.gate, self.lines = Gate(), list[str]()
        self.seq = self.total = 0
        self.consumer: Consumer | None = None

    def write(self, text: str) -> None:
        self.lines.append(text)

    def flush(self) -> None:
        pass

    def place(self, name: str) -> Place:
        log = Log("sink", self)  # type: ignore[arg-type]
        return Place(name, self.config, self.folder, log, Secrets(self.folder / ".env", {}), {})

    def pulses(self, n: int) -> None:
        """n rows, numbered on, 10 ms apart."""
        items = []
        for start in range(self.total, self.total + n, 1000):
            count = min(1000, self.total + n - start)
            self.seq += 1
            frame = frames.Pulse(
                node=KEY.node, src=KEY.src, run=KEY.run, seq=self.seq, t=T + (start + 1) * 10_000_000, mono=self.seq,
                channel="import", edges=[i * 10_000_000 for i in range(count)], total=start + count,
            )  # fmt: skip
            items.append(Taken(KEY, "pulse/import/", frame))
        self.total += n
        self.commit(items)

    def commit(self, items: Any = ()) -> None:
        move = self.consumer.mailbox.take() if self.consumer else None
        self.store.commit(items, moves=[move] if move else [])
        if self.consumer:
            self.consumer.mailbox.confirm()
            self.consumer.wake()

    def start(self) -> Consumer:
        log = Log("sink", self)  # type: ignore[arg-type]
        self.consumer = Consumer("out", self.other.open(self.place), str(self.db), self.gate, log)
        self.consumer.start()
        return self.consumer

    def stop(self) -> None:
        if self.consumer:
            self.consumer.stop(10.0)
            assert self.consumer.join(20.0)

    def until(self, condition: Callable[[], Any], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.lines
            time.sleep(0.01)

    def arrived(self, n: int) -> None:
        """Until rows 1 to n are there; then none is there that should not be."""
        self.until(lambda: len(set(self.other.got())) >= n)
        self.check(n)

    def check(self, n: int) -> None:
        got = self.other.got()
        assert (got if self.other.exactly_once else sorted(set(got))) == list(range(1, n + 1))

    def cursor(self) -> int:
        conn = sqlite3.connect(self.db)
        try:
            found = conn.execute("SELECT last_id FROM output_cursors WHERE table_name = 'pulses'").fetchone()
        finally:
            conn.close()
        return found[0] if found else 0


@pytest.fixture(params=OUTPUTS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, request.param)
    yield made
    made.stop()
    made.store.close()
    made.other.close()


def test_every_row_arrives_once(rig: Rig) -> None:
    rig.pulses(12_345)
    rig.start()
    rig.arrived(12_345)
    for _ in range(20):
        rig.pulses(3)
    rig.arrived(12_405)
    rig.until(lambda: rig.commit() or rig.cursor() == 12_405)


def test_it_waits_for_what_it_writes_to_and_says_so_once(rig: Rig) -> None:
    rig.other.fail()
    rig.pulses(5000)
    consumer = rig.start()
    rig.until(lambda: consumer.state == "waiting")
    for _ in range(3):
        rig.pulses(100)
        consumer.retry()
        time.sleep(0.1)
    if not rig.other.exactly_once:  # a folder that is away has no files to look at
        assert rig.other.got() == []
    reason = consumer.reason
    rig.other.mend()
    consumer.retry()
    rig.arrived(5300)
    assert reason
    assert len([line for line in rig.lines if reason in line]) == 1
    assert [line for line in rig.lines if "goes on" in line]


def test_what_fails_in_between_costs_and_doubles_nothing(rig: Rig) -> None:
    consumer = rig.start()
    for _ in range(4):
        rig.pulses(700)
        rig.arrived(rig.total)
        rig.commit()
        rig.other.fail()
        rig.pulses(700)
        rig.until(lambda: consumer.state == "waiting")
        rig.other.mend()
        consumer.retry()
        rig.arrived(rig.total)


def test_what_the_store_did_not_hear_of_is_written_again_and_stands_once(rig: Rig) -> None:
    rig.pulses(1000)
    rig.start()
    rig.arrived(1000)
    rig.commit()
    rig.pulses(500)
    rig.arrived(1500)
    rig.stop()  # and the moves of these 500 are never committed, as if it had been killed
    rig.consumer = None
    rig.start()
    rig.pulses(200)
    rig.arrived(1700)
    rig.until(lambda: rig.commit() or rig.cursor() == 1700)
    rig.check(1700)


def test_a_clean_restart_goes_on(rig: Rig) -> None:
    for n in (300, 300, 300):
        rig.start()
        rig.pulses(n)
        rig.arrived(rig.total)
        rig.stop()
        rig.commit()
        assert rig.cursor() == rig.total


def test_a_backlog_costs_no_more_memory_than_a_page(rig: Rig) -> None:
    rig.other.fail()
    rig.pulses(20_000)
    consumer = rig.start()
    rig.until(lambda: consumer.state == "waiting")
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(5):
            rig.pulses(40_000)
            consumer.retry()
            time.sleep(0.2)
        assert consumer.position("pulses") == 0
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 8 << 20  # the rows themselves would be 40 MB
    rig.other.mend()


def test_it_ends_when_it_is_told_to_though_it_waits(rig: Rig) -> None:
    rig.other.fail()
    rig.pulses(100)
    consumer = rig.start()
    rig.until(lambda: consumer.state == "waiting")
    consumer.stop(2.0)
    assert consumer.join(20.0)
    rig.other.mend()
    rig.consumer = None
    rig.start()
    rig.arrived(100)


def test_nothing_goes_out_beyond_the_gate(rig: Rig) -> None:
    rig.gate.hold({"pulses": 40}, "the clock is not set")
    rig.pulses(100)
    consumer = rig.start()
    rig.arrived(40)
    rig.pulses(100)
    rig.until(lambda: consumer.reach.get("pulses") == 40)
    time.sleep(0.1)
    rig.check(40)
    rig.gate.open()
    rig.commit()
    rig.arrived(200)


def test_it_goes_on_with_a_store_that_took_the_place_of_the_first(rig: Rig) -> None:
    rig.pulses(50)
    consumer = rig.start()
    rig.arrived(50)
    rig.commit()
    rig.store.close()
    shutil.move(rig.db, rig.folder / "old.db")
    rig.store = Store.open(rig.db)
    rig.seq = 0
    consumer.restart()
    rig.pulses(50)  # numbers 51 to 100, of ids 1 to 50
    rig.arrived(100)
