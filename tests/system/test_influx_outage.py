"""InfluxDB is down from the start, comes, goes, hangs, says 503, resets after it has committed, then stays."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from numbers_check import connect
from rig import ROOT, MakeRig, Rig

from common.sinks.influx import kinds
from common.store.reader import open_reader

sys.path.append(str(ROOT / "tests" / "influx"))
from faults import Faults, Hang, Pass, ResetAfter, Say
from servers import Influxd

BUCKETS = ("PowerLogger_raw", "PowerLogger_1m", "PowerLogger_5m", "PowerLogger_1h")
GROWTH = 24 << 20  # bytes that a sink may take beyond what it has at first: a page, its lines, caches of SQLite
CONFIG = """
[sink.influx]
enabled = true
url = "{url}"
org = "rig"
downsampling = "sink"
samples = "raw"
timeout_s = 5.0
"""
Point = tuple[str, tuple[tuple[str, str], ...], int]


@pytest.fixture
def influxd(folder: Path) -> Iterator[Influxd]:
    with Influxd(folder / "influxd") as server:
        server.create(*BUCKETS)
        yield server


class Outage:
    """A rig whose sink writes through `faults`, watched: its state, its memory."""

    def __init__(self, rig: Rig, faults: Faults, influxd: Influxd) -> None:
        self.rig, self.faults, self.influxd = rig, faults, influxd
        self.rss: list[int] = []

    def look(self) -> dict[str, Any]:
        self.rss.append(psutil.Process(self.rig.processes["sink"].pid).memory_info().rss)
        found: dict[str, Any] = self.rig.status("sink")["outputs"]["influx"]
        return found

    def last(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.1)

    def waiting(self, words: str) -> None:
        self.rig.until(lambda: words in self.look()["reason"], f"the output waits: {words}", 200.0)

    def drained(self) -> None:
        def is_empty() -> bool:
            found = self.look()
            return found["state"] == "writing" and found["behind"] == 0

        self.rig.until(is_empty, "nothing is behind", 200.0)


def play(outage: Outage, seconds: float) -> None:
    rig, faults, influxd = outage.rig, outage.faults, outage.influxd
    faults.down()
    rig.start("bus", "sink", "pulse", "highspeed")
    rig.ready("sink", "pulse", "highspeed")
    outage.waiting("no connection")
    rig.until(lambda: rig.rows("SELECT count(*) FROM pulses")[0][0] > 30, "pulses are stored")
    outage.last(seconds)

    faults.up()
    outage.drained()
    outage.last(5.0)

    faults.down()
    influxd.kill()
    outage.waiting("no connection")
    outage.last(seconds)
    influxd.start()

    faults.otherwise = Hang()
    faults.up()
    outage.waiting("no answer")
    outage.last(seconds)

    faults.otherwise = Say(503, {"Retry-After": "1"}, b'{"message":"not ready"}')
    outage.waiting("not ready")
    n = faults.count
    rig.until(lambda: outage.look() and faults.count >= n + 3, "it was tried three times more")
    outage.last(seconds)

    faults.script = [ResetAfter() for _ in range(2)]
    faults.otherwise = Pass()
    rig.until(lambda: outage.look() and not faults.script, "two commits were not heard of", 200.0)
    outage.drained()
    rig.stop("pulse", "highspeed")
    outage.drained()
    time.sleep(1.0)
    outage.drained()
    rig.end()


def rows_of(rig: Rig) -> set[Point]:
    """What InfluxDB must have, by what is in the store."""
    found: set[Point] = set()
    with closing(connect(rig.db)) as conn:
        for channel, t_ns in conn.execute("SELECT channel, t_ns FROM pulses"):
            found.add(("PowerPulse", (("PulseType", channel.capitalize()),), t_ns))
        for table, kind in kinds.KINDS.items():
            body, _ = kinds.encode(kind, conn.execute(f"SELECT id, {kind.columns} FROM {table}").fetchall())
            for line in body.decode().splitlines():
                name, *tags = line.split(" ", 1)[0].split(",")
                found.add((name, tuple(sorted(tuple(tag.split("=")) for tag in tags)), int(line.rsplit(" ", 1)[1])))
    with open_reader(rig.db) as reader:
        for sensor in reader.sensors():
            times = reader.samples(sensor).t_ns.tolist()
            found |= {("samples", (("sensor", sensor),), t_ns) for t_ns in times}
    return found


def check(outage: Outage, *, queue_lines: bool) -> None:
    rig, influxd = outage.rig, outage.influxd
    expected, found = rows_of(rig), influxd.points("PowerLogger_raw")
    assert not expected - found, f"{len(expected - found)} of {len(expected)} are not there\n{rig.tail()}"
    assert not found - expected, f"{len(found - expected)} should not be there: {sorted(found - expected)[:5]}"
    assert {name for name, _, _ in found} >= {"PowerPulse", "samples", "health"}
    for table, measurement in (("pulses", "PowerPulse"), ("health", "health"), ("ledger", "loss")):
        assert [(sum(name == measurement for name, _, _ in found),)] == rig.rows(f"SELECT count(*) FROM {table}")
    assert rig.rows("SELECT * FROM quarantine") == []
    for table in ("pulses", "sample_chunks"):
        last = rig.rows(f"SELECT max(id) FROM {table}")
        assert rig.rows("SELECT last_id FROM output_cursors WHERE output = 'influx' AND table_name = ?", table) == last
    first = max(outage.rss[:5])
    assert max(outage.rss) - first < GROWTH, [rss >> 20 for rss in outage.rss]
    lines = [line for line in rig.log("sink").read_text().splitlines() if "influx: " in line]
    queue = [line for line in lines if "queue rows=" in line or "nothing is behind" in line]
    changes = [line for line in lines if line not in queue]
    # twice no connection (the second perhaps as a cut first), no answer, not ready, cuts, and each end of these
    assert 5 <= len(changes) <= 16, changes
    assert queue or not queue_lines
    assert sum("no answer in 5 s" in line for line in changes) <= 2, changes
    assert sum("not ready" in line for line in changes) == 1, changes


def test_influxdb_comes_and_goes(make_rig: MakeRig, influxd: Influxd) -> None:
    with Faults(influxd.url) as faults:
        outage = Outage(make_rig(CONFIG.format(url=faults.url)), faults, influxd)
        play(outage, 0.5)
        check(outage, queue_lines=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_influxdb_comes_and_goes_for_minutes(make_rig: MakeRig, influxd: Influxd) -> None:
    with Faults(influxd.url) as faults:
        faults.keep = False
        outage = Outage(make_rig(CONFIG.format(url=faults.url) + "[highspeed]\nrate_hz = 800.0\n"), faults, influxd)
        play(outage, 30.0)
        check(outage, queue_lines=True)
