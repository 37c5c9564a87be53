"""A writer killed at any moment leaves rows, counts and cursor in step."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import common
from common.store.writer import Store

WRITER = """
import sys
from common.frames import Pulse, Samples
from common.store.items import StreamKey, Taken
from common.store.writer import Store

store, key = Store.open(sys.argv[1]), StreamKey("r", "s", "0" * 16)
seq = store.cursors()[key].stored_to if store.cursors() else 0
who = {"node": key.node, "src": key.src, "run": key.run}
v = {"sensor": "v", "rate_hz": 1e3, "nominal_hz": 1e3, "n": 50, "axes": ["x"], "unit": "g", "scale": 1.0}
v |= {"dtype": "<i2", "values": bytes(100), "dt_ns": 10**6}
while True:
    items = []
    for i in range(20):
        seq += 1
        frame = Pulse(**who, seq=seq, channel="c", edges=[0], total=seq)
        if i % 2:
            frame = Samples(**who, seq=seq, t=seq * 25_000_000, mono=seq * 25_000_000, **v)
        items.append(Taken(key, "t/", frame))
    store.commit(items)
    print(seq, flush=True)
"""


def test_kill_9(path: Path, rows: Any) -> None:
    rng = random.Random(5)
    told = 0
    for _ in range(6):
        root = str(Path(common.__file__).parent.parent)
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        told = max([told, *map(int, process.stdout.read().split())])
        process.stdout.close()
        process.wait()
        ((stored_to, stored, edges, distinct, frames),) = rows(
            "SELECT stored_to, stored, (SELECT count(*) FROM pulses), (SELECT count(DISTINCT frame_seq) FROM pulses), "
            "(SELECT sum(frames) FROM sample_chunks) FROM streams"
        )
        assert stored_to >= told
        assert (stored, edges, distinct, frames) == (stored_to, stored_to // 2, stored_to // 2, stored_to // 2)
    Store.open(path).close()
    assert list(path.parent.glob("*corrupt*")) == []
    assert told > 100
