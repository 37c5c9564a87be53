"""The wide CSV of a thermostat: against rows that csv.DictReader reads again."""

import csv
import io
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common import frames
from common.store import wide_csv
from common.store.query import TelemetryQuery
from common.store.rows import THERMOSTAT_FIELDS
from common.store.wide_csv import wide_rows
from common.store.writer import Store

S = 10**9
T = 1_760_471_516_877_487_123  # 2025-10-14T19:51:56.877487123Z
Csv = Callable[..., list[dict[str, str]]]


@pytest.fixture
def query(store: Store, path: Path) -> Iterator[TelemetryQuery]:
    with TelemetryQuery(path) as opened:
        yield opened


@pytest.fixture
def read(query: TelemetryQuery) -> Csv:
    def rows(device: str = "bench", *args: Any, **options: Any) -> list[dict[str, str]]:
        text = b"".join(wide_rows(query, device, *args, **options)).decode()
        return list(csv.DictReader(io.StringIO(text), strict=True))

    return rows


def poll(maker: Any, at: int, *readings: dict[str, Any], device: str = "bench") -> Any:
    of = [{"channel": i, **reading} for i, reading in enumerate(readings)]
    return maker.take(frames.Thermostat, device=device, readings=of, dialect="new", t=T + at)


def test_a_row_a_poll_as_the_old_program_wrote_it(store: Store, maker: Any, query: TelemetryQuery) -> None:
    values = (25.5, 1.5, -0.1, 1.25, 10000.0, 0.0, 1.5, 1.5, 0.1, 0.2, True, False, 0.1)
    full = dict(zip(THERMOSTAT_FIELDS, values, strict=True))
    store.commit([poll(maker, 0, full, {"temperature": None, "i_tec": float("nan")})])
    first, second = list(wide_rows(query, "bench"))
    names = [f"{field}_ch{channel}" for field in THERMOSTAT_FIELDS for channel in (0, 1)]
    assert first.decode() == "time,ts," + ",".join(names) + "\n"
    assert first.startswith(b"time,ts,temperature_ch0,temperature_ch1,i_tec_ch0,i_tec_ch1,")
    assert second == (
        b"2025-10-14T19:51:56.877487+00:00,1760471516877,25.5,,1.5,,-0.1,,1.25,,10000.0,,0.0,,1.5,,1.5,,0.1,,0.2,,1,,0,,0.1,\n"
    )


def test_every_number_comes_back_as_it_was(store: Store, maker: Any, read: Csv) -> None:
    rng = random.Random(5)
    numbers = [1e-5, -3.25e-7, 1e16, 1.7976931348623157e308, 5e-324, 0.1 + 0.2, -0.0]
    numbers += [rng.uniform(-1, 1) * 10 ** rng.uniform(-12, 18) for _ in range(500)]
    store.commit([poll(maker, i * S, {"temperature": v}, {"temperature": -v}) for i, v in enumerate(numbers)])
    found = read()
    assert [float(row["temperature_ch0"]) for row in found] == numbers
    assert [float(row["temperature_ch1"]) for row in found] == [-v for v in numbers]


def test_times_of_all_kinds(store: Store, maker: Any, read: Csv) -> None:
    offsets = [0, 1, 122_513_000, S, 59 * S, 3600 * S, 10**8 * S, -(1_760_471_516 * S)]
    store.commit([poll(maker, at, {"temperature": 1.0}, {}) for at in offsets])
    for row, at in zip(read(), sorted(offsets), strict=True):
        whole = (T + at) // 1000 * 1000
        moment = datetime.fromisoformat(row["time"])
        assert moment.utcoffset() is not None
        assert len(row["time"]) == len("2025-10-14T19:51:56.877487+00:00")
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        assert (since.days * 86400 + since.seconds) * S + since.microseconds * 1000 == whole
        assert int(row["ts"]) == (T + at) // 1_000_000


@pytest.mark.parametrize("page", [5, 7, 500])
def test_polls_of_other_channels_duplicates_and_page_borders(
    store: Store, maker: Any, read: Csv, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Channels alone, swapped, four of them, two polls at one time, another device between."""
    monkeypatch.setattr(wide_csv, "_PAGE", page)
    c = [{"temperature": float(i)} for i in range(4)]
    store.commit(
        [
            poll(maker, 0, c[0], c[1]),
            poll(maker, 0, c[2], c[3]),
            poll(maker, S, c[0], device="other"),
            poll(maker, S, c[1]),
            maker.take(frames.Thermostat, device="bench", dialect="new", t=T + 2 * S,
                       readings=[{"channel": 1, **c[1]}, {"channel": 0, **c[0]}]),
            poll(maker, 3 * S, *c),
            poll(maker, 4 * S, c[0], c[1]),
            maker.take(frames.Thermostat, device="bench", dialect="new", t=T + 5 * S, readings=[{"temperature": 9.0}]),
            poll(maker, -S, c[3], c[2]),
        ]
    )  # fmt: skip
    found = [tuple(row[f"temperature_ch{i}"] for i in range(4)) for row in read()]
    assert found == [
        ("3.0", "2.0", "", ""),
        ("0.0", "1.0", "", ""),
        ("2.0", "3.0", "", ""),
        ("1.0", "", "", ""),
        ("0.0", "1.0", "", ""),
        ("0.0", "1.0", "2.0", "3.0"),
        ("0.0", "1.0", "", ""),
        ("", "", "", ""),  # a reading that names no channel
    ]
    assert [row["temperature_ch0"] for row in read("other")] == ["0.0"]


def test_ranges_and_an_empty_one(store: Store, maker: Any, read: Csv, query: TelemetryQuery) -> None:
    assert list(wide_rows(query, "bench")) == [next(wide_rows(query, "bench"))]
    store.commit([poll(maker, i * S, {"temperature": float(i)}, {}) for i in range(5)])
    assert [row["temperature_ch0"] for row in read("bench", T + S, T + 3 * S)] == ["1.0", "2.0"]
    assert [row["temperature_ch0"] for row in read("bench", None, T + S)] == ["0.0"]
    assert read("nobody") == []
    assert read("bench", T + 9 * S) == []


def test_means_of_steps(store: Store, maker: Any, read: Csv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide_csv, "_PAGE", 7)
    start = -T % (60 * S)  # the first whole minute
    values = [float(i) if i % 5 else None for i in range(150)]
    readings = [{"temperature": v, "pid_engaged": i % 2 == 0} for i, v in enumerate(values)]
    store.commit([poll(maker, start + i * S, reading, {"i_tec": 1.0}) for i, reading in enumerate(readings)])
    found = read(every_s=60.0)
    assert [int(row["ts"]) for row in found] == [(T + start + i * 60 * S) // 10**6 for i in range(3)]
    for i, row in enumerate(found):
        known = [v for v in values[i * 60 : i * 60 + 60] if v is not None]
        assert float(row["temperature_ch0"]) == pytest.approx(sum(known) / len(known))
        assert (row["pid_engaged_ch0"], row["i_tec_ch1"], row["temperature_ch1"]) == ("0.5", "1.0", "")
    # only what lies in the range is in its first and last step
    (row,) = read("bench", T + start + 10 * S, T + start + 13 * S, 60.0)
    assert float(row["temperature_ch0"]) == pytest.approx((11 + 12) / 2)
    assert len(read(every_s=0.5)) == 150


def test_no_statement_is_held_open_between_two_pieces(
    store: Store, maker: Any, query: TelemetryQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes meanwhile is stored, and the log can be copied into the file."""
    monkeypatch.setattr(wide_csv, "_PAGE", 4)
    store.commit([poll(maker, i * S, {"temperature": float(i)}, {}) for i in range(6)])
    pieces = wide_rows(query, "bench")
    next(pieces)
    next(pieces)
    store.commit([poll(maker, 6 * S, {"temperature": 6.0}, {})])
    with closing(sqlite3.connect(query.path)) as conn:
        assert conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0  # not busy
    rest = b"".join(pieces).decode().splitlines()
    assert [line.split(",")[2] for line in rest][-1] == "6.0"
