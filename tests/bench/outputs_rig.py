"""All outputs of a rig at once: under load, behind by a day, and while InfluxDB is away for an hour."""

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import clock, frames
from common.ctl import request
from common.errors import RigbusError
from common.store.items import StreamKey, Taken
from common.store.writer import Store
from tests.bench import material, proc
from tests.bench.figure import Figure, missing
from tests.bench.options import Options, Progress
from tests.bench.outputs import influxd
from tests.bench.rig import DISK, ROOT, BenchError, Rig

TARGET_RATE, TARGET_RATIO, BACKLOG_S, GROWTH_MB = 300_000.0, 1 / 30, 300.0, 24.0
CONFIG = """
[sink.csv]
enabled = true
[sink.influx]
enabled = true
url = "{url}"
org = "rig"
downsampling = "sink"
"""
ARM_HZ, THERMOSTAT_HZ, PULSE_HZ = 28, 1, 4  # of the shipped configuration on simulated devices


def load(options: Options, progress: Progress) -> list[Figure]:
    """As many samples a second as go through store, CSV and InfluxDB, and what one costs; beside the old design."""
    seconds, rounds = (4.0, 1) if options.quick else (15.0, options.rounds)
    rates, costs, old = list[float](), list[float](), list[float]()
    for i in range(rounds):
        with _server() as url:
            progress(f"outputs under load, round {i + 1} of {rounds}", seconds * 2 + 10)
            try:
                rate, cost = _flooded(url, seconds)
            except BenchError as e:
                return [missing("outputs under load", "samples/s", str(e))]
        rates.append(rate)
        costs.append(cost)
        progress(f"the old design, round {i + 1} of {rounds}", 4)
        old.append(_old(50_000 if options.quick else 200_000))
    against = "queue, rows by 50, csv.writer, Point"
    return [
        Figure("outputs under load", "samples/s", rates, target=TARGET_RATE, better="more"),
        Figure("outputs under load, CPU", "µs/sample", costs, old, against, TARGET_RATIO, True),
    ]


def _flooded(url: str, seconds: float) -> tuple[float, float]:
    """(samples a second until every output has the last, µs of CPU of all processes a sample)."""
    with Rig(CONFIG.format(url=url)) as rig:
        rig.base()
        producer = rig.producer(mode="flood", seconds=seconds, samples=800)
        before = {name: rig.processes[name].cpu_s() for name in ("bus", "sink")}
        rig.go()
        rig.until("the producer to finish", (rig.folders.run / "result.json").exists, seconds * 3 + 20, 0.01)
        result = rig.result()
        rig.until("all to be stored", lambda: rig.stored_to() >= result["frames"], 120, 0.02)
        rig.until("the outputs to have all", lambda: _behind(rig) == 0, 300, 0.05)
        end = time.monotonic()
        used = sum(rig.processes[name].cpu_s() - before[name] for name in ("bus", "sink"))
        producer.wait(20)
        used += producer.cpu_s() - result["cpu_before_s"]
        rig.settle()
        samples = result["frames"] * 800
        return samples / (end - result["begin"]), used / samples * 1e6


def _old(samples: int) -> float:
    """µs of CPU a sample of the design that rigbus replaces."""
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        command = [sys.executable, "-m", "tests.bench.seed_outputs", folder, str(samples)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
        found = json.loads(done.stdout)
        return float(found["cpu_s"] / found["samples"] * 1e6)


def backlog(options: Options, progress: Progress) -> list[Figure]:
    """Seconds from the sink's start until CSV and InfluxDB have a day of the shipped rig that only the store has."""
    hours = 1 if options.quick else 24
    with _server() as url, Rig(CONFIG.format(url=url)) as rig:
        try:
            progress(f"backlog: storing {hours} h of the shipped rig", hours * 4)
            _fill(rig.folders.store, hours)
            rows = sum(_count(rig.folders.store, table) for table in ("pulses", "thermostat_readings", "dds_feedback"))
            samples = hours * 3600 * 800
            progress("backlog: until all outputs have it", 100)
            rig.start("bus")
            begin = time.monotonic()
            sink = rig.start("sink")
            rig.until("the outputs to have all", lambda: _behind(rig) == 0, 1800, 0.2)
            took, cpu = time.monotonic() - begin, sink.cpu_s()
            peak = proc.peak_rss_bytes(sink.pid) / 1e6
            rig.stop()
        except BenchError as e:
            return [missing("outputs backlog", "s", str(e))]
    note = f"{samples / 1e6:,.0f} M samples and {rows / 1e6:,.1f} M other rows; {cpu:.0f} s CPU"
    return [
        Figure(f"outputs backlog of {hours} h", "s", [took], target=BACKLOG_S, note=note),
        Figure("outputs backlog, memory of the sink", "MB", [peak]),
    ]


def outage(options: Options, progress: Progress) -> list[Figure]:
    """Memory of the sink while InfluxDB is away for an hour, at 60 times the shipped rig's rates."""
    seconds = 15.0 if options.quick else 60.0
    with Rig(CONFIG.format(url="http://127.0.0.1:9")) as rig:  # port 9: nobody listens
        try:
            progress("outputs: an hour without InfluxDB in a minute", seconds + 15)
            rig.base()
            rig.producer(mode="paced", samples=4800, rate_hz=10.0)
            rig.start("events", "tests.bench.outputs_events")
            rig.go()
            time.sleep(8.0)
            pid = rig.processes["sink"].pid
            first = last = proc.rss_bytes(pid)
            parts = []
            for _ in range(6):
                time.sleep(seconds / 6)
                last = proc.rss_bytes(pid)
                parts.append(last / 1e6)
            reply = request(rig.folders, "sink", "status", timeout_s=5.0)
            behind = reply["outputs"]["influx"]["behind"]
            rig.stop("bench", "events")
            rig.settle()
        except (BenchError, RigbusError) as e:
            return [missing("outputs outage, memory of the sink", "MB", str(e))]
    note = f"{behind:,} rows behind at the end; at the begin {first / 1e6:.1f} MB"
    return [Figure("outputs outage, growth of the sink", "MB", [max(parts) - first / 1e6], target=GROWTH_MB, note=note)]


@contextmanager
def _server() -> Iterator[str]:
    """As outputs.influxd; a BenchError where it is not installed."""
    try:
        with influxd() as url:
            yield url
    except BaseException as e:
        if type(e).__name__ in ("Skipped", "Failed"):
            raise BenchError(str(e)) from None
        raise


def _behind(rig: Rig) -> int:
    """Rows that outputs have not got, by their cursors in the store and by their own word; -1: not known."""
    try:
        reply = request(rig.folders, "sink", "status", timeout_s=5.0)
        outputs: dict[str, Any] = reply["outputs"]
    except (RigbusError, KeyError):
        return -1
    if not outputs:
        return -1
    sql = (
        "SELECT coalesce(sum(m.seq - c.last_id), 0) FROM output_cursors c JOIN sqlite_sequence m "
        "ON m.name = c.table_name WHERE c.output IN ('csv', 'influx') AND c.table_name != 'rollups'"
    )
    db = sqlite3.connect(f"file:{rig.folders.store}?mode=ro", uri=True, timeout=5)
    try:
        by_cursor = int(db.execute(sql).fetchone()[0])
        known = db.execute("SELECT count(DISTINCT output) FROM output_cursors WHERE output IN ('csv', 'influx')")
        if known.fetchone()[0] < len(outputs):
            return -1
    finally:
        db.close()
    return max(by_cursor, sum(o["behind"] for o in outputs.values()))


def _count(path: Path, table: str) -> int:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        db.close()


def _fill(path: Path, hours: int) -> None:
    """What the shipped configuration stores in so many hours, a minute a commit."""
    store = Store.open(path)
    source = material.samples(800)
    keys = {name: StreamKey("bench", name, "0" * 16) for name in ("highspeed", "thermostat", "dds", "pulse")}
    seqs = dict.fromkeys(keys, 0)
    total = 0
    start = clock.wall_ns() - hours * 3600 * 10**9

    def take(name: str, topic: str, frame: Any) -> Taken:
        seqs[name] += 1
        frame.node, frame.src, frame.run, frame.seq = *keys[name], seqs[name]
        return Taken(keys[name], topic, frame)

    for minute in range(hours * 60):
        items = []
        for second in range(60):
            t = start + (minute * 60 + second) * 10**9
            samples: Any = next(source)
            samples.t, samples.mono = t, t
            items.append(take("highspeed", "samples/bench/", samples))
            readings = [{"channel": c, "temperature": 25.0 + c, "i_tec": 1.5, "adc": 0.6, "sens": 1e4} for c in (0, 1)]
            items.append(
                take(
                    "thermostat", "thermostat/bench/",
                    frames.Thermostat(device="bench", readings=readings, dialect="new", t=t, mono=t),
                )
            )  # fmt: skip
            for i in range(ARM_HZ):
                at = t + i * 10**9 // ARM_HZ
                angles = [0.1 * i] * 7
                items.append(
                    take(
                        "dds", "arm/feedback/",
                        frames.ArmFeedback(funcode=1, data=None, address=2, angles=angles, t=at, mono=at),
                    )
                )  # fmt: skip
            total += PULSE_HZ
            edges = [i * 10**9 // PULSE_HZ for i in range(PULSE_HZ)]
            pulse = frames.Pulse(channel="import", edges=edges, total=total, t=t, mono=t)
            items.append(take("pulse", "pulse/import/", pulse))
        store.commit(items)
    store.close()
