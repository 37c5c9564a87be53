"""Looking at a store that has a day of raw data and a year of sums: what a chart and the CSV of a day take.

Each round opens the file anew, as a gateway's thread does once; the kernel has the pages by then. The baselines do the
same work the plain way, in turn.
"""

import csv
import io
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.store.query import TelemetryQuery
from common.store.reader import Reader
from common.store.results import Range
from common.store.rows import THERMOSTAT_FIELDS
from common.store.series_names import SeriesNames
from common.store.series_view import SeriesView
from common.store.wide_csv import wide_rows
from tests.bench import looking_data as data
from tests.bench.figure import Figure
from tests.bench.options import Options, Progress
from tests.bench.rig import DISK

OVERVIEW_MS, RAW_MS, YEAR_MS, CSV_MB_S = 100.0, 50.0, 100.0, 50.0
COLUMNS = 600
POWER = [f"energy/{meter}" for meter in data.METERS]


def run(options: Options, progress: Progress) -> list[Figure]:
    hours, rounds = (2, 3) if options.quick else (24, 7)
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        path = Path(folder) / "rigbus.db"
        progress(f"looking: making {hours} h of raw data and a year of sums", 8 + hours * 0.6)
        data.make(path, hours)
        progress("looking: charts and the CSV of it", rounds * 4)
        return [*_charts(path, hours, rounds), *_csv(path, rounds)]


def _charts(path: Path, hours: int, rounds: int) -> list[Figure]:
    names = SeriesNames()
    rng = random.Random(1)
    end = data.END_NS

    def view(query: TelemetryQuery, series: list[str], from_ns: int, to_ns: int) -> None:
        answer = SeriesView(query.file, data.METERS, names).get(series, from_ns, to_ns, COLUMNS)
        assert all(len(drawn.columns.n) > COLUMNS // 2 for drawn in answer.series.values())

    def overview(query: TelemetryQuery) -> None:
        view(query, data.AXES, end - data.DAY, end)

    def overview_plain(query: TelemetryQuery) -> None:
        _plain(query, 60, data.AXES, end - data.DAY)

    def window(query: TelemetryQuery) -> None:
        start = end - rng.randrange(10 * data.S, hours * data.HOUR)
        view(query, data.AXES, start, start + 10 * data.S)

    def window_plain(query: TelemetryQuery) -> None:
        start = end - rng.randrange(10 * data.S, hours * data.HOUR)
        Reader(query.file).samples(data.SENSOR, Range(start, start + 10 * data.S))

    def year(query: TelemetryQuery) -> None:
        view(query, POWER, end - 365 * data.DAY, end)

    def year_plain(query: TelemetryQuery) -> None:
        _plain(query, 3600, POWER, end - 365 * data.DAY)

    sql, samples = "SELECT … series IN (…)", "the samples alone, not reduced"
    return [
        Figure("looking at 24 h of 3 axes", "ms", *_ms(path, rounds, overview, overview_plain), sql, OVERVIEW_MS),
        Figure("looking at 10 s of 800 Hz, raw", "ms", *_ms(path, rounds * 3, window, window_plain), samples, RAW_MS),
        Figure("looking at a year of power", "ms", *_ms(path, rounds, year, year_plain), sql, YEAR_MS),
    ]


def _plain(query: TelemetryQuery, window_s: int, series: list[str], from_ns: int) -> None:
    places = ", ".join("?" * len(series))
    columns = "t_ns, series, n, sum, min, max, last_t_ns"
    sql = f"SELECT {columns} FROM rollups WHERE window_s = ? AND t_ns >= ? AND series IN ({places})"
    query.file.all(sql, [window_s, from_ns, *series])


def _ms(
    path: Path, rounds: int, ours: Callable[[TelemetryQuery], None], plain: Callable[[TelemetryQuery], None]
) -> tuple[list[float], list[float]]:
    """Both in turn, each with a file of its own; the first round only warms up."""
    out: tuple[list[float], list[float]] = ([], [])
    for i in range(rounds + 1):
        for work, into in zip((ours, plain), out, strict=True):
            with TelemetryQuery(path) as query:
                begin = time.perf_counter()
                work(query)
                took = time.perf_counter() - begin
            if i:
                into.append(took * 1e3)
    return out


def _csv(path: Path, rounds: int) -> list[Figure]:
    ours, plain = list[float](), list[float]()
    with TelemetryQuery(path) as query:
        for _ in range(rounds):
            ours.append(_rate(lambda: sum(map(len, wide_rows(query, data.DEVICE)))))
            plain.append(_rate(lambda: _plain_csv(query)))
    against = "csv.writer, a row a channel"
    return [Figure("looking at a day, /data.csv", "MB/s", ours, plain, against, CSV_MB_S, better="more")]


def _rate(work: Callable[[], int]) -> float:
    begin = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - begin) / 1e6


def _plain_csv(query: TelemetryQuery) -> int:
    out: Any = io.StringIO()
    sql = (
        f"SELECT t_ns, channel, {', '.join(THERMOSTAT_FIELDS)} FROM thermostat_readings WHERE device = ? ORDER BY t_ns"
    )
    csv.writer(out).writerows(query.file.all(sql, [data.DEVICE]))
    return int(out.tell())
