"""What a chart draws of values: beside an oracle that looks at each value in plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.store import series_columns
from common.store.series_columns import Columns, Reducer, plain

FROM, TO = 1_760_000_000_000_000_000, 1_760_000_000_000_001_000  # 1000 ns
VALUES = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-3, 3).map(float)
POINTS = st.lists(st.tuples(st.integers(FROM - 5, TO - 1), VALUES), max_size=60)


def reduced(pieces: list[list[tuple[int, float]]], columns: int) -> Columns:
    reducer = Reducer(FROM, TO, columns)
    for piece in pieces:
        reducer.add(plain(np.array([t for t, _ in piece], np.int64), np.array([v for _, v in piece], np.float64)))
    return reducer.result()


def check(points: list[tuple[int, float]], found: Columns, columns: int) -> None:
    good = [(t, v) for t, v in points if math.isfinite(v)]
    if len(good) <= columns:
        expected = [[point] for point in sorted(good, key=lambda point: point[0])]
    else:
        width = -(-(TO - FROM) // columns)
        cells: dict[int, list[tuple[int, float]]] = {}
        for t, v in good:
            cells.setdefault(max(0, (t - FROM) // width), []).append((t, v))
        expected = [cells[at] for at in sorted(cells)]
    assert found.n.tolist() == [len(cell) for cell in expected]
    assert found.t_ns.tolist() == [min(t for t, _ in cell) for cell in expected]
    assert found.min.tolist() == [min(v for _, v in cell) for cell in expected]
    assert found.max.tolist() == [max(v for _, v in cell) for cell in expected]
    for cell, mean in zip(expected, found.mean.tolist(), strict=True):
        values = [v for _, v in cell]
        assert min(values) <= mean <= max(values)
        if max(map(abs, values)) < 1e100:
            assert mean == pytest.approx(math.fsum(values) / len(values), rel=1e-9, abs=1e-9 * max(map(abs, values)))


@given(POINTS, st.integers(1, 70), st.data())
def test_peaks_gaps_and_counts_survive(points: list[tuple[int, float]], columns: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(points)))
    check(points, reduced([points[:cut], points[cut:]], columns), columns)


@given(POINTS, st.integers(1, 12))
def test_what_is_merged_early_is_the_same(points: list[tuple[int, float]], columns: int) -> None:
    """Where more values come than are held; with few, columns may be fewer than values then."""
    held = series_columns._HELD
    series_columns._HELD = 3
    try:
        found = reduced([points[i : i + 2] for i in range(0, len(points), 2)], columns)
    finally:
        series_columns._HELD = held
    if sum(math.isfinite(v) for _, v in points) > columns:
        check(points, found, columns)
    assert int(found.n.sum()) == sum(math.isfinite(v) for _, v in points)


def test_sums_beyond_a_float_leave_a_mean() -> None:
    top = 1.7e308
    found = reduced([[(FROM, top), (FROM + 1, top), (FROM + 2, top)]], 1)
    assert found.mean.tolist() == [top]
    assert reduced([[(FROM, top), (FROM, -top), (FROM, top), (FROM, top)]], 1).max.tolist() == [top]
