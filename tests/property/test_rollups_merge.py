"""However rows come, split and late, the rollups are those of one pass over all of them."""

import random
import sqlite3
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import frames
from common.store import chunks, series
from common.store.items import StreamKey, Taken
from common.store.rollups import WINDOWS_S, Rollups
from common.store.writer import Store

T = 1_760_000_000_000_000_000  # 20 s into a minute
RUN = "0" * 16
Points = list[tuple[str, int, float]]

times = st.one_of(st.integers(0, 400 * 10**9), st.integers(-4000 * 10**9, 4000 * 10**9), st.just(39_999_999_999))
numbers = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([float("nan"), float("inf"), -0.0]))


@st.composite
def offered(draw: st.DrawFn) -> tuple[str, dict[str, Any], int, Points]:
    """(src, fields of a frame, its time, what it holds as (series, t_ns, value))."""
    t = T + draw(times)
    kind = draw(st.sampled_from(["pulse", "samples", "thermostat", "arm", "smoother", "camera", "web"]))
    if kind == "pulse":
        total, edges = draw(st.integers(50, 10**6)), sorted(draw(st.lists(st.integers(0, 10**11), max_size=4)))
        before = total - len(edges)
        points = [("pulse/import", t + e, float(before + i)) for i, e in enumerate(edges, 1)]
        return kind, {"channel": "import", "edges": edges, "total": total}, t, points
    if kind == "samples":
        n, dtype = draw(st.integers(1, 6)), draw(st.sampled_from(["<i2", "<f4"]))
        axes = draw(st.sampled_from([["x"], ["x", "y"]]))
        item = st.integers(-32768, 32767) if dtype == "<i2" else st.floats(width=32)
        size = n * len(axes)
        values = np.array(draw(st.lists(item, min_size=size, max_size=size)), dtype).reshape(n, len(axes))
        steps = draw(st.lists(st.integers(1, 70 * 10**9), min_size=n - 1, max_size=n - 1))
        at = t + np.cumsum([0, *steps])
        with np.errstate(all="ignore"):
            scaled = values.astype(float) * 0.25
            columns = dict(zip(axes, scaled.T, strict=True))
            if len(axes) > 1:
                columns["magnitude"] = np.sqrt((scaled**2).sum(axis=1))
        points = [
            (f"samples/v/{name}", int(when), float(value))
            for name, column in columns.items()
            for when, value in zip(at, column, strict=True)
        ]
        fields = {"sensor": "v", "rate_hz": 1.0, "nominal_hz": 1.0, "n": n, "axes": axes, "unit": "g", "scale": 0.25}
        return kind, {**fields, "dtype": dtype, "values": values.tobytes(), "dt_ns": steps}, t, points
    value = draw(numbers)
    if kind == "thermostat":
        reading = {"channel": 1, "temperature": value, "i_tec": None, "pid_engaged": True}
        points = [("thermostat/box/1/temperature", t, value), ("thermostat/box/1/pid_engaged", t, 1.0)]
        return kind, {"device": "box", "readings": [reading], "dialect": "new"}, t, points
    # ts is a float: what it was rounded to is the row's time
    rounded = round(t / 1e9 * 1e9)
    if kind == "arm":
        funcode = draw(st.sampled_from([1, 3]))
        points = [("arm/joint2", rounded, value)] if funcode == 1 else []
        return kind, {"funcode": funcode, "data": None, "angles": [None, None, value]}, t, points
    if kind == "smoother":
        fields = {"joint_id": 3, "target": 0.0, "current": 1.5, "sent": 0.0}
        points = [("smoother/3/target", rounded, 0.0), ("smoother/3/current", rounded, 1.5)]
        return kind, fields, t, [*points, ("smoother/3/sent", rounded, 0.0)]
    if kind == "camera":
        return kind, {"camera_id": "top", "actual_fps": value}, t, [("camera/top/fps", rounded, value)]
    return kind, {"endpoint": "/api/x", "response_ms": value}, t, [("web//api/x/response_ms", rounded, value)]


TYPES: dict[str, type[frames.Frame]] = {
    "pulse": frames.Pulse, "samples": frames.Samples, "thermostat": frames.Thermostat, "arm": frames.ArmFeedback,
    "smoother": frames.Smoother, "camera": frames.Camera, "web": frames.WebRequest,
}  # fmt: skip


def expected(points: Points) -> dict[tuple[int, str, int], tuple[int, float, float, float, float, int]]:
    """By the definition, number by number."""
    cells: dict[tuple[int, str, int], list[tuple[int, float, float]]] = defaultdict(list)
    for name, t_ns, value in points:
        if not np.isfinite(value):
            continue
        for window_s in WINDOWS_S:
            start = t_ns // (window_s * 10**9) * window_s * 10**9
            cells[window_s, name, start].append((t_ns, value, 1.0 if name.startswith("pulse/") else value))
            if name.startswith("pulse/"):
                kwh = value / 800.0
                cells[window_s, "energy/import", start].append((t_ns, kwh, 1 / 800.0))
    found = {}
    for key, rows in cells.items():
        values = [value for _, value, _ in rows]
        last_t, last, _ = max(rows, key=lambda row: row[:2])
        found[key] = (len(rows), sum(part for _, _, part in rows), min(values), max(values), last, last_t)
    return found


def stored(path: Path) -> dict[tuple[int, str, int], tuple[int, float, float, float, float, int]]:
    conn = sqlite3.connect(path)
    rows = conn.execute("SELECT window_s, series, t_ns, n, sum, min, max, last, last_t_ns FROM rollups").fetchall()
    conn.close()
    return {row[:3]: row[3:] for row in rows}


@settings(deadline=None, max_examples=120)
@given(
    st.lists(offered(), min_size=1, max_size=25),
    st.lists(st.integers(1, 6), min_size=1, max_size=8),
    st.integers(0, 2**31),
)
def test_any_order_and_any_split_give_the_same(
    made: list[tuple[str, dict[str, Any], int, Points]], splits: list[int], seed: int
) -> None:
    rng = random.Random(seed)
    rng.shuffle(made)
    seqs: dict[str, int] = defaultdict(int)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rigbus.db"
        store = Store.open(path)
        rollups = Rollups({"import": 800.0})
        at = 0
        while at < len(made):
            size = splits[at % len(splits)]
            items = []
            for kind, fields, t, _ in made[at : at + size]:
                seqs[kind] += 1
                key = StreamKey("rig1", kind, RUN)
                # a mono of its own for each: chunks are not joined over what is no sequence
                who: dict[str, Any] = {"node": "rig1", "src": kind, "run": RUN, "seq": seqs[kind], "t": t}
                items.append(Taken(key, "t/", TYPES[kind](**who, mono=rng.randrange(10**15), **fields)))
            store.commit(items)
            at += size
            if rng.random() < 0.7:
                limit = rng.randrange(30)  # the gate is shut at some row
                rollups.step(store, {"pulses": limit, "sample_chunks": limit}, rng.choice([0.0, 1.0]), now=True)
        assert rollups.finish(store, timeout_s=60)
        store.close()
        found, wanted = stored(path), expected([point for *_, points in made for point in points])
        assert found.keys() == wanted.keys()
        for key, row in wanted.items():
            assert found[key][0] == row[0], key
            assert found[key][1] == pytest.approx(row[1], rel=1e-9, abs=1e-3), key
            assert found[key][2:5] == pytest.approx(row[2:5], rel=1e-12), key
            assert found[key][5] == row[5], key


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(-2, 2**40), st.sampled_from(["<i2", "<f4", "x", None]), st.text(max_size=9))
def test_a_damaged_chunk_is_told_and_nothing_else_happens(data: bytes, n: int, dtype: Any, axes: str) -> None:
    told: list[int] = []
    sums = series.Sums({}, lambda rowid, _: told.append(rowid))
    good = chunks.encode(bytes(8), 2, 2, "<i2")
    sums.add("sample_chunks", [(1, T, "v", n, axes, "g", 1.0, dtype, data, chunks.ENCODING, data)])
    sums.add("sample_chunks", [(2, T, "v", 2, '["x","y"]', "g", 1.0, "<i2", data, "other", good)])
    sums.add("sample_chunks", [(3, T, "v", 2, '["x","y"]', "g", 1.0, "<i2", 5, chunks.ENCODING, good)])
    assert told == [1, 2]
    assert {cell.n for cell in sums.cells.values()} == {2}
