"""The sink is away for a minute at 1,000 frames/s: how long until the stream is live again, and is all of it there."""

import json
import statistics
import tempfile
import time
from pathlib import Path

from tests.bench.figure import Figure, missing
from tests.bench.options import Options, Progress
from tests.bench.rig import DISK, MEMORY, BenchError, Process, Rig

TARGET_S = 5.0
RATE_HZ, SIZE = 1000, 600
CONFIG = "[journal]\nmax_bytes = 96_000_000\n"


def run(options: Options, progress: Progress) -> list[Figure]:
    away = 10.0 if options.quick else 60.0
    name = f"outage {away:g} s"
    with Rig(CONFIG) as rig:
        try:
            progress("outage: sink running, then away", away + 12)
            rig.base()
            rig.producer(mode="paced", rate_hz=float(RATE_HZ), size=SIZE)
            rig.go()
            time.sleep(3)
            usual = max(_lags(rig, 5.0))
            rig.stop("sink")
            time.sleep(away)
            behind = rig.offered() - rig.stored_to()
            progress("outage: sink back", 10)
            begin = time.monotonic()
            rig.start("sink")
            if not _live(rig, begin + 60, usual):
                raise BenchError("not live after 60 s")
            took = time.monotonic() - begin
            rig.settle()
        except BenchError as e:
            return [missing(name, "s", str(e))]
    progress("outage: as many frames through the bare prototype", 6)
    floor = bare_s(behind)
    note = f"{behind:,} frames behind; live: a commit leaves at most {usual:,} out, as before the outage"
    against = "bare prototype, the same bytes"
    return [Figure(name, "s", [took], [floor], against, TARGET_S, note=note)]


def _lags(rig: Rig, seconds: float) -> list[int]:
    """How far the store was behind, right after each commit."""
    end, before, lags = time.monotonic() + seconds, rig.stored_to(), []
    while time.monotonic() < end:
        if (stored := rig.stored_to()) > before:
            lags.append(rig.offered() - stored)
            before = stored
        time.sleep(0.01)
    if not lags:
        raise BenchError("nothing is stored")
    return lags


def _live(rig: Rig, until: float, usual: int) -> bool:
    before = rig.stored_to()
    while time.monotonic() < until:
        if (stored := rig.stored_to()) > before:
            if rig.offered() - stored <= usual:
                return True
            before = stored
        time.sleep(0.01)
    return False


def bare_s(frames: int) -> float:
    """Seconds that the bare prototype, already running, takes for as many frames of as many bytes."""
    seconds, n = 1.5, 64  # 64 samples: about 600 bytes
    rates: list[float] = []
    for _ in range(2):
        with tempfile.TemporaryDirectory(dir=DISK) as disk, tempfile.TemporaryDirectory(dir=MEMORY) as memory:
            args = [f"ipc://{memory}/bare", f"{disk}/bare.db", str(seconds), str(n)]
            both = [Process(r, ["-m", "tests.bench.bare", r, *args], {}, Path(disk)) for r in ("store", "publish")]
            for process in both:
                process.wait(30)
            stored, published = (json.loads(process.log()) for process in both)
            rates.append(stored["frames"] / (stored["end"] - published["begin"]))
    return frames / statistics.median(rates)
