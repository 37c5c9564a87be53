"""Lateness of the 800 Hz loop: common.realtime.Pace, bare and in daemons.highspeed, against the same loop in C.

In turn, a few seconds each, so that all of them meet the same neighbours. SCHED_FIFO where it is allowed.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from tests.bench.figure import Figure, missing
from tests.bench.options import Options, Progress
from tests.bench.rig import ROOT, BenchError, Rig

RATE_HZ, PRIORITY, TARGET = 800.0, 50, 3.0
# polled: a wake-up for each sample, as the loops that it is compared with
CONFIG = f'[highspeed]\ndriver = "sim"\nmode = "polled"\nrate_hz = {RATE_HZ:g}\npriority = {PRIORITY}\n'


class Loop(Struct):
    """What was seen of one loop. late: ns, of every tick of every round; rounds: the p99.9 of each, µs."""

    late: list[int] = []
    missed: int = 0
    drift_ns: int = 0
    rounds: list[list[int]] = []

    def add(self, text: str) -> None:
        missed, drift, *late = map(int, text.split())
        self.missed += missed
        self.drift_ns = max(self.drift_ns, drift, key=abs)
        self.late += late
        self.rounds.append(late)

    def quantile_us(self, q: float) -> float:
        return _quantile(self.late, q) / 1e3


def _quantile(values: list[int], q: float) -> int:
    return sorted(values)[round((len(values) - 1) * q)] if values else 0


def run(options: Options, progress: Progress) -> list[Figure]:
    seconds, rounds = (4.0, 1) if options.quick else (10.0, max(3, options.rounds))
    priority = PRIORITY if _allowed() else 0
    note = "" if priority else "no SCHED_FIFO here: as an ordinary process"
    with tempfile.TemporaryDirectory() as folder:
        binary = _compile(Path(folder))
        loops = {"C": Loop(), "Pace": Loop(), "highspeed": Loop()}
        for i in range(rounds):
            progress(f"jitter: C, Pace, highspeed in turn, round {i + 1} of {rounds}", 3 * seconds + 6)
            arguments = [str(RATE_HZ), str(seconds), str(priority)]
            if binary:
                loops["C"].add(_output([binary, *arguments]))
            loops["Pace"].add(_output([sys.executable, "-m", "tests.bench.loops", *arguments]))
            try:
                loops["highspeed"].add(_daemon(seconds))
            except BenchError as e:
                return [missing("jitter", "µs", str(e))]
    figures = []
    base = loops["C"] if binary else Loop()
    for name in ("Pace", "highspeed"):
        loop = loops[name]
        for label, q in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)):
            judged = q == 0.999
            ours = [_quantile(late, q) / 1e3 for late in loop.rounds]
            theirs = [_quantile(late, q) / 1e3 for late in base.rounds]
            figures.append(
                Figure(
                    f"jitter {name} {label}", "µs", ours, theirs, "the loop in C" if binary else "no C compiler here",
                    TARGET if judged else None, of_ratio=judged, note=note,
                )
            )  # fmt: skip
        figures.append(_missed(f"jitter {name} missed", loop, base if binary else None))
    if options.rt_seconds:
        figures += _drift(options.rt_seconds, priority, progress)
    return figures


def _missed(name: str, loop: Loop, base: Loop | None) -> Figure:
    note = f"of {len(loop.late) + loop.missed:,}"
    return Figure(name, "ticks", [float(loop.missed)], [float(base.missed)] if base else [], "the loop in C", note=note)


def _drift(seconds: float, priority: int, progress: Progress) -> list[Figure]:
    progress("jitter: drift of highspeed", seconds)
    loop = Loop()
    try:
        loop.add(_daemon(seconds))
    except BenchError as e:
        return [missing("jitter drift", "µs", str(e))]
    note = f"after {seconds:g} s; {loop.missed:,} ticks missed; p99.9 late {loop.quantile_us(0.999):.0f} µs"
    return [Figure("jitter drift", "µs", [abs(loop.drift_ns) / 1e3], target=1.0, note=note)]


def _allowed() -> bool:
    probe = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    return subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False).returncode == 0


def _compile(folder: Path) -> str | None:
    cc = shutil.which(os.environ.get("CC", "cc"))
    if cc is None:
        return None
    binary = folder / "loop"
    source = Path(__file__).with_name("loop.c")
    subprocess.run([cc, "-O2", "-o", str(binary), str(source)], check=True)
    return str(binary)


def _output(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def _daemon(seconds: float) -> str:
    """daemons.highspeed on the simulated sensor, in a rig that stores what it takes."""
    with Rig(CONFIG) as rig:
        rig.base()
        path = rig.folders.run / "lateness"
        process = rig.start("highspeed", "tests.bench.loops", {"lateness": str(path)})
        rig.until("highspeed to start", rig.ready("highspeed"), 20)
        time.sleep(seconds)
        process.signal(signal.SIGTERM)
        process.wait(20)
        rig.settle()
        return path.read_text()
