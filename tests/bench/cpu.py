"""CPU a sample of 800 Hz vibration in frames of 80, and of the design that rigbus replaces, at the same time."""

import json
import signal
import tempfile
import time
from pathlib import Path

from tests.bench.figure import Figure, missing
from tests.bench.options import Options, Progress
from tests.bench.rig import DISK, BenchError, Process, Rig

TARGET_US, TARGET_RATIO = 15.0, 1 / 30


def run(options: Options, progress: Progress) -> list[Figure]:
    seconds = 10.0 if options.quick else 30.0
    progress("cpu800: rigbus and the seeds' design, side by side", seconds + 8)
    with Rig() as rig, tempfile.TemporaryDirectory(dir=DISK) as folder:
        try:
            rig.base()
            rig.producer(mode="paced", samples=80, rate_hz=10.0)
            rig.go()
            seed = Process("seed", ["-m", "tests.bench.seed", folder], {}, Path(folder))
            time.sleep(3.0)
            used = _used(rig)
            first = rig.offered()
            begin = time.monotonic()
            parts: list[dict[str, float]] = []
            for _ in range(3):
                time.sleep(seconds / 3)
                now = _used(rig)
                parts.append({who: now[who] - used[who] for who in now})
                used = now
            frames, took = rig.offered() - first, time.monotonic() - begin
            seed.signal(signal.SIGTERM)
            seed.wait(10)
            old = json.loads(seed.log())
            rig.settle()
        except BenchError as e:
            return [missing("cpu800", "µs", str(e))]
    samples = frames * 80 / len(parts)
    old_us = old["cpu_s"] / old["samples"] * 1e6
    sums = [sum(p.values()) / samples * 1e6 for p in parts]
    note = "" if abs(frames * 80 / took / 800 - 1) < 0.02 else f"only {frames * 80 / took:.0f} samples/s"
    against = "queue, row and CSV line a sample"
    figures = [
        Figure("cpu800 all", "µs/sample", sums, target=TARGET_US, note=note),
        Figure(
            "cpu800 ratio", "µs/sample", sums, [old_us] * len(sums), against, TARGET_RATIO, of_ratio=True,
            note="the old design's sampling loop is not counted",
        ),
    ]  # fmt: skip
    for who in parts[0]:
        figures.append(Figure(f"cpu800 {who}", "µs/sample", [p[who] / samples * 1e6 for p in parts]))
    return figures


def _used(rig: Rig) -> dict[str, float]:
    names = {"bus": "bus", "sink": "sink", "bench": "producer"}
    return {names[name]: process.cpu_s() for name, process in rig.processes.items()}
