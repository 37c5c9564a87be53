"""The bare prototype: PUB → SUB, decode, chunks, one transaction a second. No journal, no forwarder, no account.

`python -m tests.bench.bare publish|store ENDPOINT FILE SECONDS SAMPLES`. It prints one JSON document.
What it cannot do: a stopped reader stops its writer, and whoever is killed loses what was under way.
"""

import itertools
import json
import sqlite3
import sys
import time
from typing import Any

import zmq

from common import frames
from common.frames import Samples
from common.store.assemble import COLUMNS, assemble
from common.topics import topic_of
from tests.bench import material

END = b"end"
COMMIT_S, COMMIT_BYTES = 1.0, 6 << 20


def publish(endpoint: str, seconds: float, n: int) -> dict[str, Any]:
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.PUB)
    socket.sndhwm = 1000
    socket.set(zmq.XPUB_NODROP, 1)  # its only protection: a full pipe holds the writer up
    socket.bind(endpoint)
    time.sleep(1.5)
    cpu, begin = time.process_time(), time.monotonic()
    count, send = 0, socket.send
    source = material.samples(n)
    while time.monotonic() < begin + seconds:
        for frame in itertools.islice(source, 100):
            count += 1
            frame.node, frame.src, frame.run, frame.seq, frame.tseq = "bench", "bench", "0" * 16, count, count
            send(topic_of(frame).encode(), zmq.SNDMORE)
            send(frames.encode(frame))
    used = time.process_time() - cpu
    send(END)
    socket.close(linger=-1)
    context.term()
    return {"frames": count, "begin": begin, "cpu_s": used}


def store(endpoint: str, path: str) -> dict[str, Any]:
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(
        "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
        "PRAGMA wal_autocheckpoint = 4000; "
        f"CREATE TABLE sample_chunks (id INTEGER PRIMARY KEY, {COLUMNS})"
    )
    insert = f"INSERT INTO sample_chunks ({COLUMNS}) VALUES ({', '.join('?' * len(COLUMNS.split(',')))})"
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.rcvhwm = 10_000
    socket.subscribe(b"")
    socket.connect(endpoint)
    held: list[Samples] = []
    size, count, last = 0, 0, time.monotonic()
    cpu = time.process_time()
    open_ = True
    while open_:
        parts = socket.recv_multipart()
        if parts[0] == END:
            open_ = False
        else:
            frame = frames.decode(parts[1])
            assert isinstance(frame, Samples)
            held.append(frame)
            size += len(parts[1])
        if not open_ or size > COMMIT_BYTES or time.monotonic() - last > COMMIT_S:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(insert, assemble(held))
            db.execute("COMMIT")
            count += len(held)
            held, size, last = [], 0, time.monotonic()
    used = time.process_time() - cpu
    end = time.monotonic()
    db.close()
    return {"frames": count, "end": end, "cpu_s": used}


if __name__ == "__main__":
    role, endpoint, file, seconds, n = sys.argv[1:]
    print(json.dumps(publish(endpoint, float(seconds), int(n)) if role == "publish" else store(endpoint, file)))
