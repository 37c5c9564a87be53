"""Bytes of a stored 3-axis int16 sample (6 as the sensor gives it): in the database, written for it, all copies.

The store alone is driven in simulated time (an hour of 800 Hz in frames of 80, a commit every 10 s), in a process
of its own whose /proc/self/io is then that of the database and its log: `wchar` are the bytes that SQLite wrote,
`dirty` those of the 4 kB pages that the kernel sends to the disk for them. All copies: a rig in real time with its
journal on the disk, both kinds of bytes over all its processes (with libzmq's eventfd writes, 8 bytes each).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common.config.schema import HighspeedConfig
from common.frames import Samples
from common.store.items import StreamKey, Taken
from common.store.writer import Store
from tests.bench import material, proc
from tests.bench.figure import Figure, missing
from tests.bench.options import Options, Progress
from tests.bench.rig import DISK, ROOT, BenchError, Rig

ON_DISK, STORE_WRITES, ALL_COPIES = 6.5, 15.0, 25.0
RAW = 6.0
CONFIG = '[journal]\nplace = "disk"\n[sink]\ncommit_s = 10\n'
N, COMMIT_FRAMES = 80, 100


def run(options: Options, progress: Progress) -> list[Figure]:
    commits = 60 if options.quick else 360
    progress(f"bytes: the store alone, {commits} commits of 10 s", commits / 60)
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        command = [sys.executable, "-m", "tests.bench.storage", folder, str(commits)]
        out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    got = json.loads(out.stdout)
    samples = got["samples"]
    figures = [
        Figure("bytes on disk", "B/sample", [got["size"] / samples], [RAW], "as the sensor gives it", ON_DISK),
        Figure("bytes written, store", "B/sample", [got["wchar"] / samples], [RAW], "the same", STORE_WRITES),
        Figure("bytes written, store, 4 kB pages", "B/sample", [got["dirty"] / samples], [RAW], "the same"),
    ]
    try:
        return figures + _all_copies(25.0 if options.quick else 100.0, progress)
    except BenchError as e:
        return [*figures, missing("bytes written, all copies", "B/sample", str(e))]


def _all_copies(seconds: float, progress: Progress) -> list[Figure]:
    """Of a rig at work, over a whole number of commits; what the start wrote (schema, spares) is not in it."""
    progress("bytes: a rig with its journal on the disk", seconds + 14)
    seed_folder = tempfile.TemporaryDirectory(dir=DISK)
    with Rig(CONFIG) as rig, seed_folder as folder:
        rig.base()
        rig.producer(mode="paced", samples=N, rate_hz=10.0)
        rig.go()
        rig.until("the first commit", lambda: rig.stored_to() > 0, 20)
        seed = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.seed", folder], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        first = rig.stored_to()
        before = {name: proc.written(p.pid) for name, p in rig.processes.items()}
        time.sleep(seconds - 5)
        now = rig.stored_to()
        rig.until("a commit", lambda: rig.stored_to() > now, 20)
        samples = (rig.stored_to() - first) * N
        after = {name: proc.written(p.pid) for name, p in rig.processes.items()}
        seed.terminate()
        old = json.loads(seed.communicate(timeout=20)[0])
        rig.settle()
    wchar, dirty = (sum(after[n][i] - before[n][i] for n in after) / samples for i in (0, 1))
    against = "row and CSV line a sample, batches of 50"
    return [
        Figure("bytes written, all copies", "B/sample", [wchar], [old["wchar"] / old["samples"]], against, ALL_COPIES),
        Figure("bytes written, all copies, 4 kB pages", "B/sample", [dirty], [old["dirty"] / old["samples"]], against),
    ]


def fill(folder: Path, commits: int) -> dict[str, float]:
    """The store's own writes, from the first commit to the closed file."""
    store = Store.open(folder / "rigbus.db")
    key = StreamKey("bench", "bench", "0" * 16)
    source, seq = material.samples(N), 0
    before = proc.written("self")
    for _ in range(commits):
        items = []
        for _ in range(COMMIT_FRAMES):
            seq += 1
            frame: Samples = next(source)
            frame.node, frame.src, frame.run, frame.seq = *key, seq
            items.append(Taken(key, "samples/bench/", frame))
        store.commit(items)
    store.close()
    wchar, dirty = (b - a for a, b in zip(before, proc.written("self"), strict=True))
    samples = seq * N
    assert samples / HighspeedConfig().rate_hz == commits * 10
    return {"samples": samples, "size": os.path.getsize(folder / "rigbus.db"), "wchar": wchar, "dirty": dirty}


if __name__ == "__main__":
    print(json.dumps(fill(Path(sys.argv[1]), int(sys.argv[2]))))
