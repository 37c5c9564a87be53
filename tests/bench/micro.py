"""The parts of the way, µs a frame: each beside the plainest thing that does the same work, in turn."""

import os
import sqlite3
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgpack
import zmq

from common import frames
from common.config.schema import Config
from common.intake.intake import Intake
from common.journal.entries import Entry, Limits
from common.journal.journal import Journal
from common.journal.recover import open_journal
from common.journal.replay import Hints, replay
from common.log import Log
from common.paths import Folders, endpoint
from common.store import chunks
from common.store.items import StreamKey, Taken
from common.store.writer import Store
from tests.bench import material
from tests.bench.figure import Figure
from tests.bench.options import Options, Progress
from tests.bench.rig import DISK, MEMORY

KEY = StreamKey("bench", "bench", "0" * 16)
TOPIC = b"samples/bench/"


def run(options: Options, progress: Progress) -> list[Figure]:
    rounds = 5 if options.quick else 15
    progress("micro: the parts of the way", rounds * 1.5)
    with tempfile.TemporaryDirectory(dir=MEMORY) as memory, tempfile.TemporaryDirectory(dir=DISK) as disk:
        return [
            *_codec(rounds),
            *_journal(rounds, Path(memory)),
            *_chunks(rounds),
            *_commit(rounds, Path(disk)),
            *_intake(rounds, Path(memory)),
        ]


def pair(rounds: int, count: int, ours: Callable[[], Any], plain: Callable[[], Any]) -> tuple[list[float], list[float]]:
    """µs an item of both, in turn; the first round only warms up. Each call does `count` items."""
    out: tuple[list[float], list[float]] = ([], [])
    for i in range(rounds + 1):
        for work, into in zip((ours, plain), out, strict=True):
            begin = time.thread_time_ns()
            work()
            used = time.thread_time_ns() - begin
            if i:
                into.append(used / count / 1e3)
    return out


def taken(n: int, count: int, first: int = 1) -> list[frames.Samples]:
    """Frames as they come off the wire."""
    out = list(islice(material.samples(n), count))
    for seq, frame in enumerate(out, first):
        frame.node, frame.src, frame.run, frame.seq, frame.tseq = *KEY, seq, seq
    return out


def _codec(rounds: int) -> list[Figure]:
    made = taken(80, 2000)
    payloads = [frames.encode(f) for f in made]
    maps = [msgpack.unpackb(p) for p in payloads]
    pack, unpack = msgpack.packb, msgpack.unpackb
    work: dict[str, tuple[Callable[[], Any], Callable[[], Any], str]] = {
        "encode": (lambda: [frames.encode(f) for f in made], lambda: [pack(m) for m in maps], "msgpack.packb"),
        "decode": (lambda: [frames.decode(p) for p in payloads], lambda: [unpack(p) for p in payloads], "unpackb"),
    }
    out = []
    for name, (ours, plain, against) in work.items():
        out.append(Figure(f"micro {name}, 80 samples", "µs/frame", *pair(rounds, 2000, ours, plain), against))
    return out


@contextmanager
def journal(folder: Path) -> Iterator[Journal]:
    limits = Limits(32 << 20, 0.0, 1.0, False, ("sink",))
    opened = open_journal(folder, limits, KEY.run, [])
    try:
        yield opened
    finally:
        opened.release()


def _journal(rounds: int, folder: Path) -> list[Figure]:
    payloads = [frames.encode(f) for f in taken(80, 2000)]
    out, at = [], [0]
    fd = os.open(folder / "plain", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(fd, 0, 4 << 20)
    with journal(folder / "journal") as j:
        for batch in (1, 10, 100):

            def append(batch: int = batch) -> None:
                for i in range(0, 2000, batch):
                    entries = [Entry(at[0] + k + 1, TOPIC, payloads[i + k], False) for k in range(batch)]
                    at[0] += batch
                    j.append(entries)

            def write(batch: int = batch) -> None:
                for i in range(0, 2000, batch):
                    os.pwrite(fd, b"".join(payloads[i : i + batch]), (i * 700) % (3 << 20))

            figures = pair(rounds, 2000, append, write)
            out.append(Figure(f"micro journal append, {batch} a batch", "µs/frame", *figures, "pwrite alone"))
        hints: Hints = {}

        def read() -> None:
            upto, snap = at[0] - 2000, j.snapshot()
            while upto < at[0]:
                chunk = replay(snap, KEY.run, upto + 1, 1000, hints)
                assert chunk is not None
                upto = chunk.upto

        def pread() -> None:
            for i in range(2000):
                os.pread(fd, 760, i * 760)

        out.append(Figure("micro replay read", "µs/frame", *pair(rounds, 2000, read, pread), "pread alone"))
    os.close(fd)
    return out


def _chunks(rounds: int) -> list[Figure]:
    out = []
    for n in (64, 80, 800):
        values = material.blocks(n)[:10]

        def ours(values: list[bytes] = values, n: int = n) -> None:
            for _ in range(20):
                for v in values:
                    chunks.encode(v, n, 3, "<i2")

        def plain(values: list[bytes] = values) -> None:
            for _ in range(20):
                for v in values:
                    zlib.compress(v, 1)

        figures = pair(rounds, 20 * len(values), ours, plain)
        out.append(Figure(f"micro chunk encode, {n} samples", "µs/chunk", *figures, "zlib level 1"))
    return out


def _commit(rounds: int, folder: Path) -> list[Figure]:
    store = Store.open(folder / "rigbus.db")
    db = sqlite3.connect(folder / "plain.db", isolation_level=None)
    db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE frames (topic, payload)")
    out, seq = [], 0
    for n, count in ((80, 10), (80, 1000), (64, 1000), (800, 1000)):
        batches = [taken(n, count, seq + 1 + i * count) for i in range(rounds + 1)]
        seq += (rounds + 1) * count
        left, rows = iter(batches), [(TOPIC, frames.encode(f)) for f in batches[0]]

        def ours(left: Iterator[list[frames.Samples]] = left) -> None:
            store.commit([Taken(KEY, TOPIC.decode(), f) for f in next(left)])

        def plain(rows: list[tuple[bytes, bytes]] = rows) -> None:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO frames VALUES (?, ?)", rows)
            db.execute("COMMIT")

        figures = pair(rounds, count, ours, plain)
        name = f"micro store.commit, {count} frames of {n}"
        out.append(Figure(name, "µs/frame", *figures, "a row of bytes a frame"))
    store.close()
    db.close()
    return out


def _intake(rounds: int, folder: Path) -> list[Figure]:
    """Live frames, LIVE stream: from a PUB of this process to `items`; the baseline takes the same from another SUB."""
    context: zmq.Context[Any] = zmq.Context()
    folders = Folders(folder / "data", folder / "run")
    folders.make()
    folders.counters("bench").mkdir(parents=True)
    pub, sub = context.socket(zmq.PUB), context.socket(zmq.SUB)
    pub.sndhwm = sub.rcvhwm = 0
    pub.linger = sub.linger = 0
    pub.bind(endpoint(folders.bus_out))
    sub.subscribe(b"")
    sub.connect(endpoint(folders.bus_out))
    intake = Intake(context, Config(node="bench"), folders, {}, Log("bench"))
    time.sleep(0.3)
    seq = [0]

    def send(count: int) -> None:
        for frame in taken(80, count, seq[0] + 1):
            pub.send(TOPIC, zmq.SNDMORE)
            pub.send(frames.encode(frame))
        seq[0] += count
        time.sleep(0.1)

    def ours() -> None:
        while len(intake.items) < 2000:
            intake._receive()

    def plain() -> None:
        for _ in range(2000):
            msgpack.unpackb(sub.recv_multipart()[1])

    # one frame makes the stream known; a test of this part alone has no publisher to catch up from
    send(1)
    intake._receive()
    stream = next(iter(intake._sources.values())).streams[KEY.run]
    stream.cursor, stream.state = 1, type(stream.state).LIVE
    sub.recv_multipart()
    results: tuple[list[float], list[float]] = ([], [])
    for i in range(rounds + 1):
        send(2000)
        begin = time.thread_time_ns()
        ours()
        middle = time.thread_time_ns()
        plain()
        end = time.thread_time_ns()
        intake.items.clear()
        if i:
            results[0].append((middle - begin) / 2e6)
            results[1].append((end - middle) / 2e6)
    intake.close()
    context.destroy(linger=0)
    return [Figure("micro intake, live", "µs/frame", *results, "recv_multipart and unpackb")]
