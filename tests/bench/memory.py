"""Resident memory: daemons at work after 20 s, and producer and sink while the store is dead."""

import sqlite3
import subprocess
import sys
import time

from tests.bench import proc
from tests.bench.figure import Figure, missing
from tests.bench.options import Options, Progress
from tests.bench.rig import ROOT, BenchError, Rig

PRODUCER_MB, SINK_MB = 40.0, 80.0
DEAD_CONFIG = "[journal]\nmax_bytes = 96_000_000\n"
LIBRARIES = {"producer": "zmq, msgspec", "sink": "zmq, msgspec, sqlite3, numpy, zstandard"}


def run(options: Options, progress: Progress) -> list[Figure]:
    bare = {who: _bare_mb(libraries) for who, libraries in LIBRARIES.items()}
    figures: list[Figure] = []
    for part in (_at_work, _dead_store):
        try:
            figures += part(options, progress, bare)
        except BenchError as e:
            figures.append(missing(f"rss {part.__name__.strip('_').replace('_', ' ')}", "MB", str(e)))
    return figures


def _at_work(options: Options, progress: Progress, bare: dict[str, float]) -> list[Figure]:
    seconds = 5.0 if options.quick else 20.0
    progress("rss: all daemons at work", seconds + 3)
    config = '[pulse]\ndriver = "sim"\n[[pulse.channel]]\nname = "import"\nline = 20\n[highspeed]\ndriver = "sim"\n'
    with Rig(config) as rig:
        rig.base()
        for name in ("pulse", "highspeed"):
            rig.start(name)
        rig.until("the producers to start", rig.ready("pulse", "highspeed"), 20)
        time.sleep(seconds)
        found = {name: proc.rss_bytes(process.pid) / 1e6 for name, process in rig.processes.items()}
        rig.settle()
    out = []
    for name in ("pulse", "highspeed", "bus", "sink"):
        who, target = ("sink", SINK_MB) if name == "sink" else ("producer", PRODUCER_MB)
        against = f"python with {LIBRARIES[who]}"
        out.append(Figure(f"rss {name}", "MB", [found[name]], [bare[who]], against, target))
    return out


def _dead_store(options: Options, progress: Progress, bare: dict[str, float]) -> list[Figure]:
    seconds = 10.0 if options.quick else 60.0
    progress("rss: 1,000 frames/s while the store is locked", seconds + 8)
    with Rig(DEAD_CONFIG) as rig:
        rig.base()
        rig.producer(mode="paced", rate_hz=1000.0, size=600)
        rig.go()
        time.sleep(3)
        lock = sqlite3.connect(rig.folders.store, isolation_level=None, timeout=20)
        lock.execute("BEGIN EXCLUSIVE")
        before = rig.stored_to()
        peak = {"bench": 0.0, "sink": 0.0}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for name in peak:
                peak[name] = max(peak[name], proc.rss_bytes(rig.processes[name].pid) / 1e6)
            time.sleep(0.2)
        stalled = rig.stored_to() == before
        lock.execute("ROLLBACK")
        lock.close()
        goal = rig.offered()
        rig.until("the store to catch up", lambda: rig.stored_to() >= goal, 60)
        after = proc.peak_rss_bytes(rig.processes["sink"].pid) / 1e6
        rig.settle()
    note = f"{goal - before:,} frames waited" if stalled else "the store was not dead"
    against = f"python with {LIBRARIES['sink']}"
    name = f"rss dead {seconds:g} s"
    return [
        Figure(f"{name}, producer", "MB", [peak["bench"]], [bare["producer"]], f"python with {LIBRARIES['producer']}",
               PRODUCER_MB, note=note, failed=not stalled),
        Figure(f"{name}, sink", "MB", [peak["sink"]], [bare["sink"]], against, SINK_MB, failed=not stalled),
        Figure(f"{name}, sink, peak to the end", "MB", [after], [bare["sink"]], against, SINK_MB),
    ]  # fmt: skip


def _bare_mb(libraries: str) -> float:
    """Resident memory of a Python that has only imported them (and zmq's threads)."""
    code = f"import {libraries}; zmq.Context().socket(zmq.PUB); print(open('/proc/self/statm').read().split()[1])"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(out.stdout) * proc.PAGE / 1e6
