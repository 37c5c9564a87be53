"""CPU a sample of 800 Hz vibration in frames of 80, and of the design that rigbus replaces, at the same time."""

import json
import signal
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from tests.bench.figure import Figure, missing
from tests.bench.options import Options, Progress
from tests.bench.rig import DISK, BenchError, Process, Rig

TARGET_US, TARGET_RATIO = 15.0, 1 / 30


def run(options: Options, progress: Progress) -> list[Figure]:
    seconds = 10.0 if options.quick else 30.0
    progress("cpu800: rigbus and the seeds' design, side by side", seconds + 8)
    with Rig() as rig, tempfile.TemporaryDirectory(dir=DISK) as folder:
        kinds = {"batches of 50": [], "a transaction each": ["drain"]}
        try:
            rig.base()
            rig.producer(mode="paced", samples=80, rate_hz=10.0)
            rig.go()
            seeds = {kind: _seed(Path(folder), kind, args) for kind, args in kinds.items()}
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
            old = {kind: _end(seed) for kind, seed in seeds.items()}
            rig.settle()
        except BenchError as e:
            return [missing("cpu800", "µs", str(e))]
    samples = frames * 80 / len(parts)
    sums = [sum(p.values()) / samples * 1e6 for p in parts]
    note = "" if abs(frames * 80 / took / 800 - 1) < 0.02 else f"only {frames * 80 / took:.0f} samples/s"
    figures = [Figure("cpu800 all", "µs/sample", sums, target=TARGET_US, note=note)]
    for kind, used_by in old.items():
        us, loop_us = (used_by[key] / used_by["samples"] * 1e6 for key in ("cpu_s", "cpu_sampling_s"))
        note = f"its sampling loop, {loop_us:.0f} µs more, is not counted"
        against = f"queue, row and CSV line a sample, {kind}"
        base = [us] * len(sums)
        figures.append(Figure(f"cpu800, {kind}", "µs/sample", sums, base, against, TARGET_RATIO, True, note=note))
    for who in parts[0]:
        each = [p[who] / samples * 1e6 for p in parts]
        figures.append(Figure(f"cpu800 {who}", "µs/sample", each))
    return [*figures, *_sampled(seconds, old)]


def _sampled(seconds: float, old: dict[str, dict[str, float]]) -> list[Figure]:
    """Sampling included: the daemon reads a simulated MPU6050 by its FIFO (the chip's own cost is in it)."""
    with Rig('[highspeed]\ndriver = "sim"\n') as rig:
        try:
            rig.base()
            rig.start("highspeed")
            rig.until("the sensor to start", rig.ready("highspeed"), 20)
            time.sleep(3.0)
            used = [_used(rig)]
            for _ in range(3):
                time.sleep(seconds / 3)
                used.append(_used(rig))
            rig.settle()
        except BenchError as e:
            return [missing("cpu800 sampled", "µs", str(e))]
    samples = 800 * seconds / 3
    parts = [{who: (b[who] - a[who]) / samples * 1e6 for who in b} for a, b in pairwise(used)]
    sums = [sum(part.values()) for part in parts]
    figures = [Figure("cpu800 sampled", "µs/sample", sums)]
    figures += [Figure(f"cpu800 sampled, {who}", "µs/sample", [part[who] for part in parts]) for who in parts[0]]
    for kind, used_by in old.items():
        us = (used_by["cpu_s"] + used_by["cpu_sampling_s"]) / used_by["samples"] * 1e6
        against = f"sampling loop, queue, row and CSV line a sample, {kind}"
        figures.append(Figure(f"cpu800 sampled, {kind}", "µs/sample", sums, [us] * 3, against, TARGET_RATIO, True))
    return figures


def _seed(folder: Path, kind: str, args: list[str]) -> Process:
    here = folder / kind.replace(" ", "-")
    here.mkdir()
    return Process("seed", ["-m", "tests.bench.seed", str(here), *args], {}, here)


def _end(seed: Process) -> dict[str, float]:
    seed.signal(signal.SIGTERM)
    seed.wait(10)
    found: dict[str, float] = json.loads(seed.log())
    return found


def _used(rig: Rig) -> dict[str, float]:
    return {"producer" if name == "bench" else name: process.cpu_s() for name, process in rig.processes.items()}
