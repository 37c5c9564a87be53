"""Most samples a second that one producer gets into the store, none lost: rigbus and the bare prototype in turn."""

import json
import tempfile
import time
from pathlib import Path

from tests.bench.figure import Figure, missing
from tests.bench.options import Options, Progress
from tests.bench.rig import DISK, MEMORY, BenchError, Process, Rig

TARGETS = {64: 1.5e6, 800: 3e6}


def run(options: Options, progress: Progress, n: int) -> list[Figure]:
    name = f"throughput{n}"
    seconds, rounds = (3.0, 1) if options.quick else (10.0, options.rounds)
    ours, bare, cpu, bare_cpu = list[float](), list[float](), list[dict[str, float]](), list[float]()
    for i in range(rounds):
        progress(f"{name}: rigbus, round {i + 1} of {rounds}", seconds + 6)
        try:
            rate, used = rigbus(n, seconds)
        except BenchError as e:
            return [missing(f"{name} samples/s", "1/s", str(e))]
        ours.append(rate)
        cpu.append(used)
        progress(f"{name}: bare prototype, round {i + 1} of {rounds}", seconds + 4)
        rate, used_bare = prototype(n, seconds)
        bare.append(rate)
        bare_cpu.append(used_bare)
    figures = [
        Figure(f"{name} samples/s", "1/s", ours, bare, "bare PUB → SUB → SQLite", TARGETS[n], better="more"),
        Figure(f"{name} CPU", "s/M", [sum(c.values()) for c in cpu], bare_cpu, "the same, bare"),
    ]
    figures += [Figure(f"{name} CPU {who}", "s/M", [c[who] for c in cpu]) for who in cpu[0]]
    return figures


def rigbus(n: int, seconds: float, **spec: int) -> tuple[float, dict[str, float]]:
    """(samples a second from the first publish until all is committed, CPU seconds of each process a million)."""
    with Rig() as rig:
        rig.base()
        producer = rig.producer(mode="flood", seconds=seconds, samples=n, **spec)
        before = {name: rig.processes[name].cpu_s() for name in ("bus", "sink")}
        rig.go()
        rig.until("the producer to finish", (rig.folders.run / "result.json").exists, seconds * 3 + 20, 0.01)
        result = rig.result()
        rig.until("all to be stored", lambda: rig.stored_to() >= result["frames"], 60, 0.01)
        end = time.monotonic()
        cpu = {name: rig.processes[name].cpu_s() - before[name] for name in ("bus", "sink")}
        producer.wait(20)
        cpu["producer"] = producer.cpu_s() - result["cpu_before_s"]
        rig.settle()
        samples = result["frames"] * n
        return samples / (end - result["begin"]), {who: s / samples * 1e6 for who, s in sorted(cpu.items())}


def prototype(n: int, seconds: float) -> tuple[float, float]:
    """As `rigbus`, without an account; CPU of both processes together."""
    with tempfile.TemporaryDirectory(dir=DISK) as disk, tempfile.TemporaryDirectory(dir=MEMORY) as memory:
        args = [f"ipc://{memory}/bare", f"{disk}/bare.db", str(seconds), str(n)]
        both = [Process(r, ["-m", "tests.bench.bare", r, *args], {}, Path(disk)) for r in ("store", "publish")]
        for process in both:
            process.wait(seconds * 3 + 30)
        stored, published = (json.loads(process.log()) for process in both)
        if stored["frames"] != published["frames"]:
            raise BenchError(f"the prototype stored {stored['frames']} of {published['frames']}")
        samples = stored["frames"] * n
        return samples / (stored["end"] - published["begin"]), (stored["cpu_s"] + published["cpu_s"]) / samples * 1e6
