"""Outputs by themselves: what a row costs as a line or in a file, and how fast points get into a real influxd."""

import gzip
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
from influxdb_client import Point, WritePrecision

from common import clock, sinks
from common.config.schema import Config, CsvConfig, InfluxConfig, SinkConfig
from common.frames import Pulse
from common.log import Log
from common.secrets import Secrets
from common.sinks.consumer import Consumer
from common.sinks.gate import Gate
from common.sinks.influx import kinds
from common.sinks.output import Output
from common.store.items import StreamKey, Taken
from common.store.readonly import connect
from common.store.writer import Store
from tests.bench import material
from tests.bench.figure import Figure, missing
from tests.bench.micro import pair
from tests.bench.options import Options, Progress
from tests.bench.rig import DISK
from tests.influx.faults import Faults
from tests.influx.servers import Influxd

KEY = StreamKey("bench", "bench", "0" * 16)
BUCKETS = ("PowerLogger_raw", "PowerLogger_1m", "PowerLogger_5m", "PowerLogger_1h")
LINES = 5000


def run(options: Options, progress: Progress) -> list[Figure]:
    rounds = 3 if options.quick else 11
    progress("outputs: lines and files", rounds * 1.0)
    figures = [*_lines(rounds), *_files(rounds)]
    try:
        figures += _into_influxd(options, progress)
    except BaseException as e:
        if not isinstance(e, Exception) and type(e).__name__ not in ("Skipped", "Failed"):
            raise
        figures.append(missing("outputs into influxd", "points/s", str(e)))
    return figures


def _lines(rounds: int) -> list[Figure]:
    """Pulses as the seed's lines; plain: the client's own Point."""
    t_ns = clock.wall_ns()
    rows = [(i, t_ns + i * 1_000_003, ("import", "export", "generate")[i % 3]) for i in range(LINES)]
    pulses = kinds.Pulses("PowerPulse")

    def points() -> bytes:
        found = []
        for _, t, channel in rows:
            point = Point("PowerPulse").tag("PulseType", channel.capitalize()).field("Pulse", 1)
            found.append(point.time(t, WritePrecision.NS).to_line_protocol())
        return "\n".join(found).encode()

    assert pulses.body(rows).strip() == points()
    ours, plain = pair(rounds, LINES, lambda: pulses.body(rows), points)
    rates = [[1e6 / us for us in values] for values in (ours, plain)]
    return [Figure("lines of pulses", "points/s", rates[0], rates[1], "influxdb_client's Point", 1e6, better="more")]


def _files(rounds: int) -> list[Figure]:
    """A chunk of a second after the other into the readings tree, with and without the aggregate."""
    figures = []
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        store = Store.open(Path(folder) / "rigbus.db")
        _fill_samples(store, 120)
        store.close()
        conn, _ = connect(f"{folder}/rigbus.db")
        for aggregate in (False, True):
            config = Config(node="bench", sink=SinkConfig(csv=CsvConfig(enabled=True, aggregate=aggregate)))
            output = sinks.open_output(
                "csv", config, Path(folder) / str(aggregate), Log("bench"), Secrets(Path(folder))
            )
            output.restore({}, [])
            feed = next(feed for feed in output.feeds() if feed.table == "sample_chunks")
            rows = conn.execute(f"SELECT id, {feed.columns} FROM sample_chunks ORDER BY id").fetchall()
            pages = [rows[i : i + feed.limit] for i in range(0, len(rows), feed.limit)]
            samples = sum(row[3] for row in rows)
            shift = iter(range(1, 1000))

            def write(output: Output = output, pages: list[Any] = pages, shift: Iterator[int] = shift) -> None:
                at = next(shift) * 200 * 10**9  # later each time: files of their own
                for page in pages:
                    output.write("sample_chunks", [(row[0], row[1] + at, *row[2:]) for row in page])

            values = [float(v) for v in range(800)]

            def plain(values: list[float] = values, samples: int = samples) -> None:
                parts: list[float] = [x for v in values for x in (v, v)]
                for _ in range(samples // len(values)):
                    ("%.3f,%.4f\n" * len(values) % tuple(parts)).encode()

            ours, base = pair(rounds, samples, write, plain)
            output.close()
            name = "CSV a row" + (" and in the aggregate" if aggregate else "")
            figures.append(Figure(name, "µs CPU", ours, base, "one % format, not written", 1.0))
        conn.close()
    return figures


def _into_influxd(options: Options, progress: Progress) -> list[Figure]:
    count = 100_000 if options.quick else 500_000
    rounds = 1 if options.quick else options.rounds
    ours, bare, cpu = list[float](), list[float](), list[float]()
    with influxd() as url, tempfile.TemporaryDirectory(dir=DISK) as folder:
        path = Path(folder) / "rigbus.db"
        store = Store.open(path)
        _fill_pulses(store, count)  # and it stays open, as a sink's does
        for i in range(rounds):
            progress(f"outputs: {count:,} pulses into influxd, round {i + 1} of {rounds}", count / 60_000)
            rate, used = _consumed(path, url, count)
            ours.append(rate)
            cpu.append(used / count * 1e6)
            bare.append(_posted(path, url, count))
        store.close()
    against = "POST of ready-made lines"
    return [
        Figure("outputs into influxd", "points/s", ours, bare, against, 1e5, better="more"),
        Figure("outputs into influxd, CPU", "µs/point", cpu),
    ]


@contextmanager
def influxd() -> Iterator[str]:
    """URL of a proxy before a real influxd 1.x; it turns the request of version 2 into that of version 1."""
    with tempfile.TemporaryDirectory(dir=DISK) as folder, Influxd(Path(folder) / "influxd") as server:
        server.create(*BUCKETS)
        with Faults(server.url) as faults:
            faults.keep = False
            yield faults.url


def _consumed(path: Path, url: str, count: int) -> tuple[float, float]:
    """Points a second from the first page to the last, and CPU seconds."""
    influx = InfluxConfig(enabled=True, url=url, org="rig", downsampling="tasks")
    config = Config(node="bench", sink=SinkConfig(influx=influx))
    output = sinks.open_output("influx", config, path.parent, Log("bench"), Secrets(path.parent / ".env"))
    consumer = Consumer("influx", output, str(path), Gate(), Log("bench"))
    begin, before = time.monotonic(), time.process_time()
    consumer.start()
    while consumer.reach.get("pulses", 0) < count or consumer.delivered < count:
        time.sleep(0.01)
    took, used = time.monotonic() - begin, time.process_time() - before
    consumer.stop(5.0)
    consumer.join(10.0)
    return count / took, used


def _posted(path: Path, url: str, count: int) -> float:
    conn, _ = connect(str(path))
    rows = conn.execute("SELECT id, t_ns, channel FROM pulses ORDER BY id").fetchall()
    conn.close()
    pulses = kinds.Pulses("PowerPulse")
    bodies = [gzip.compress(pulses.body(rows[i : i + LINES]), 1) for i in range(0, len(rows), LINES)]
    pool = urllib3.PoolManager(1, maxsize=1)
    begin = time.monotonic()
    for body in bodies:
        answer = pool.request(
            "POST", f"{url}/api/v2/write?org=rig&bucket={BUCKETS[0]}&precision=ns", body=body,
            headers={"Content-Encoding": "gzip"},
        )  # fmt: skip
        assert answer.status == 204, answer.data
    return count / (time.monotonic() - begin)


def _fill_samples(store: Store, seconds: int) -> None:
    source, seq = material.samples(80), 0
    for _ in range(seconds):
        items = []
        for _ in range(10):
            seq += 1
            frame: Any = next(source)
            frame.node, frame.src, frame.run, frame.seq = *KEY, seq
            items.append(Taken(KEY, "samples/bench/", frame))
        store.commit(items)


def _fill_pulses(store: Store, count: int) -> None:
    t, total, seq = clock.wall_ns() - 3600 * 10**9, 0, 0
    while total < count:
        items = []
        for channel in ("import", "export"):
            seq += 1
            total += 500
            edges = list(range(0, 500 * 1_000_000, 1_000_000))
            frame = Pulse(
                node=KEY.node,
                src=KEY.src,
                run=KEY.run,
                seq=seq,
                t=t,
                mono=seq,
                channel=channel,
                edges=edges,
                total=total,
            )
            items.append(Taken(KEY, f"pulse/{channel}/", frame))
        t += 500 * 1_000_000
        store.commit(items)
