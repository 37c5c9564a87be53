"""Rollups follow the store: what a window holds, late rows, the gate, the pace, damage, and kills."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import common
from common import frames
from common.log import Log
from common.store import chunks
from common.store import rollups as module
from common.store.reader import open_reader
from common.store.results import Range
from common.store.rollups import Rollups
from common.store.writer import Store

MINUTE = 60 * 10**9
T = 1_760_000_040_000_000_000 // MINUTE * MINUTE
Rows = Callable[..., list[Any]]
STEPS = np.array([900_000, -500_000])
COLUMNS = "series, n, sum, min, max, last, last_t_ns - t_ns"


def of(rows: Rows, window_s: int, like: str = "%") -> list[Any]:
    sql = f"SELECT {COLUMNS} FROM rollups WHERE window_s = ? AND series LIKE ? ORDER BY series, t_ns"
    return rows(sql, window_s, like)


def test_pulses_count_and_make_energy(store: Store, maker: Any, rows: Rows, path: Path) -> None:
    store.commit([maker.pulse(t=T + i * 10**9, total=1000 + i) for i in range(6)])
    store.commit([maker.pulse(t=T, channel="unknown", total=7)])
    assert Rollups({"import": 800.0}).finish(store)
    assert of(rows, 60) == [
        ("energy/import", 6, pytest.approx(6 / 800), 1.25, 1005 / 800, 1005 / 800, 5 * 10**9),
        ("pulse/import", 6, 6.0, 1000.0, 1005.0, 1005.0, 5 * 10**9),
        ("pulse/unknown", 1, 1.0, 7.0, 7.0, 7.0, 0),
    ]
    with open_reader(path) as reader:
        (energy,) = reader.rollups(60, "energy/import")
        assert energy.watts is None, "that minute may go on"
        assert (energy.t_ns, energy.window_s, energy.n) == (T, 60, 6)
        assert [row.watts for row in reader.rollups(300, "pulse/import")] == [None]
        assert len(reader.rollups(3600)) == 3
        assert reader.rollups(60, range=Range(from_ns=T + 1)) == []
        assert reader.rollups(61) == []
    store.commit([maker.pulse(t=T + MINUTE, channel="unknown", total=8)])
    assert Rollups({"import": 800.0}).finish(store)
    with open_reader(path) as reader:
        (energy,) = reader.rollups(60, "energy/import")
        assert energy.watts == pytest.approx(6 / 800 * 3.6e6 / 60)


def test_a_chunk_over_the_border_of_a_minute_is_divided(store: Store, maker: Any, rows: Rows) -> None:
    values = b"".join(v.to_bytes(2, "little", signed=True) for v in (3, 4, -6, -8, 0, 1))
    at = {"t": T + MINUTE - 150_000_000, "dt_ns": 100_000_000, "rate_hz": 10.0, "nominal_hz": 10.0}
    store.commit([maker.samples(n=3, axes=["x", "y"], scale=0.5, values=values, **at)])
    assert Rollups({}).finish(store)
    assert of(rows, 60, "samples/v/%") == [
        ("samples/v/magnitude", 2, 7.5, 2.5, 5.0, 5.0, MINUTE - 50_000_000),
        ("samples/v/magnitude", 1, 0.5, 0.5, 0.5, 0.5, 50_000_000),
        ("samples/v/x", 2, -1.5, -3.0, 1.5, -3.0, MINUTE - 50_000_000),
        ("samples/v/x", 1, 0.0, 0.0, 0.0, 0.0, 50_000_000),
        ("samples/v/y", 2, -2.0, -4.0, 2.0, -4.0, MINUTE - 50_000_000),
        ("samples/v/y", 1, 0.5, 0.5, 0.5, 0.5, 50_000_000),
    ]


def test_the_last_sample_is_the_latest_also_where_the_clock_went_back(store: Store, maker: Any, rows: Rows) -> None:
    """Within a chunk frames may overlap by less than a millisecond."""
    values = b"".join(v.to_bytes(2, "little") for v in (1, 2, 3))
    store.commit([maker.samples(n=3, axes=["x"], scale=1.0, values=values, t=T)])
    store.work(lambda conn: conn.execute("UPDATE sample_chunks SET dt_ns = ?", (chunks.pack_steps(STEPS),)))
    assert Rollups({}).finish(store)
    assert of(rows, 60) == [("samples/v/x", 3, 6.0, 1.0, 3.0, 2.0, 900_000)]


def test_one_axis_has_no_magnitude(store: Store, maker: Any, rows: Rows) -> None:
    store.commit([maker.samples(n=2, axes=["x"], values=bytes(4))])
    assert Rollups({}).finish(store)
    assert [row[0] for row in of(rows, 60)] == ["samples/v/x"]


def test_a_late_row_corrects_its_window_under_a_new_id(store: Store, maker: Any, rows: Rows) -> None:
    rollups = Rollups({})
    store.commit([maker.pulse(t=T + 30 * 10**9, total=11), maker.pulse(t=T + 2 * MINUTE, total=12)])
    rollups.finish(store)
    ids = dict(rows("SELECT t_ns, id FROM rollups WHERE window_s = 60"))
    store.commit([maker.pulse(t=T + 10 * 10**9, total=10)])
    rollups.finish(store)
    assert of(rows, 60) == [
        ("pulse/import", 2, 2.0, 10.0, 11.0, 11.0, 30 * 10**9),
        ("pulse/import", 1, 1.0, 12.0, 12.0, 12.0, 0),
    ]
    now = dict(rows("SELECT t_ns, id FROM rollups WHERE window_s = 60"))
    assert now[T] > max(ids.values())
    assert now[T + 2 * MINUTE] == ids[T + 2 * MINUTE]


def test_the_gate_is_kept_and_nothing_counts_twice(store: Store, maker: Any, rows: Rows) -> None:
    rollups = Rollups({})
    store.commit([maker.pulse(t=T, total=i) for i in range(1, 11)])
    for limit, expected in ((0, []), (4, [4.0]), (4, [4.0]), (7, [7.0]), (None, [10.0])):
        assert rollups.finish(store, {} if limit is None else {"pulses": limit})
        assert [row[2] for row in of(rows, 60)] == expected
    assert rows("SELECT last_id FROM output_cursors WHERE output = 'rollups' AND table_name = 'pulses'") == [(10,)]


def test_a_step_comes_each_few_seconds_but_a_backlog_at_once(
    store: Store, maker: Any, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    rollups = Rollups({})
    store.commit([maker.pulse(t=T + i * MINUTE, total=i) for i in range(1500)])
    counts = [0]
    while rollups.step(store):
        counts.append(len(of(rows, 60)))
    assert len(counts) > 2
    assert len(of(rows, 60)) == 1500
    store.commit([maker.pulse(t=T, total=9)])
    assert not rollups.step(store)
    assert of(rows, 60)[0][1] == 1
    now[0] += module.INTERVAL_S
    assert not rollups.step(store)
    assert of(rows, 60)[0][1] == 2


def test_a_damaged_chunk_stops_nothing_and_is_told_once(store: Store, maker: Any, rows: Rows) -> None:
    lines: list[str] = []

    class Stream:
        write = staticmethod(lines.append)
        flush = staticmethod(lambda: None)

    store.commit([maker.samples(t=T + i * 10**10, mono=10**12 + i * 10**10) for i in range(4)])
    store.work(lambda conn: conn.execute("UPDATE sample_chunks SET data = x'00' WHERE id IN (2, 3)"))
    rollups = Rollups({}, Log("sink", Stream()))  # type: ignore[arg-type]
    assert rollups.finish(store)
    assert [row[1] for row in of(rows, 60, "samples/v/x")] == [16]
    assert len(lines) == 1
    assert "sample_chunks 2" in lines[0]


def test_what_is_no_number_is_left_out(store: Store, maker: Any, rows: Rows) -> None:
    nan = float("nan")
    readings = [{"channel": 0, "temperature": None, "i_tec": 0.5}, {"channel": None, "temperature": nan, "adc": 2}]
    new = frames.Thermostat, frames.ArmFeedback, frames.Camera
    thermostat, arm, camera = (maker.take(kind, **fields) for kind, fields in zip(new, (
        {"device": "box", "readings": readings, "dialect": "new", "t": T},
        {"funcode": 1, "data": None, "angles": [1.0, None, nan], "t": T},
        {"camera_id": "top", "actual_fps": None, "t": T},
    ), strict=True))  # fmt: skip
    store.commit([thermostat, arm, camera, maker.take(frames.WebRequest, endpoint="/x", response_ms=2**60, t=-(2**63))])
    assert Rollups({}).finish(store)
    assert [row[0] for row in of(rows, 60)] == [
        "arm/joint0", "thermostat/box//adc", "thermostat/box/0/i_tec", "web//x/response_ms",
    ]  # fmt: skip


STEPPER = """
import sys
from common.store.rollups import Rollups
from common.store.writer import Store

store, rollups = Store.open(sys.argv[1]), Rollups({"import": 1000.0})
while rollups.step(store, budget_s=0.0, now=True):
    print("on", flush=True)
"""


def test_kill_9_between_and_within_steps(store: Store, maker: Any, rows: Rows, path: Path) -> None:
    rng = random.Random(3)
    at = 0
    for _ in range(40):
        edges = [maker.pulse(t=T + rng.randrange(200 * MINUTE), total=(at := at + 1)) for _ in range(100)]
        chunks = [maker.samples(n=80, values=rng.randbytes(480), t=T + at * 10**9 + i) for i in (0, 10**12, 10**13)]
        store.commit([*edges, *chunks])
    store.close()
    root = str(Path(common.__file__).parent.parent)
    kills = 0
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", STEPPER, str(path)], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": root},
        )  # fmt: skip
        assert process.stdout is not None
        kills += process.stdout.readline() == "on\n"  # else it has done all
        time.sleep(rng.random() * 0.003)
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        process.wait()
    assert kills
    again = Store.open(path)
    assert Rollups({"import": 1000.0}).finish(again, timeout_s=60)
    found = of(rows, 60) + of(rows, 300) + of(rows, 3600)
    again.work(lambda conn: conn.execute("DELETE FROM rollups"))
    again.work(lambda conn: conn.execute("DELETE FROM output_cursors"))
    assert Rollups({"import": 1000.0}).finish(again, timeout_s=60)
    again.close()
    fresh = of(rows, 60) + of(rows, 300) + of(rows, 3600)
    assert len(found) == len(fresh) > 500
    for one, other in zip(found, fresh, strict=True):
        assert one[:1] + one[3:] == other[:1] + other[3:]
        assert one[1:3] == pytest.approx(other[1:3])
