"""Readings reduced to a chart's points: no peak is lost, and what is closed is read once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.gateway.sensor_recent import MOST, Recent, reduced

NAME = "2026/11/Week_4/22/12{:02}00.csv"
values_of = st.lists(st.one_of(st.floats(0, 16), st.just(float("nan"))), min_size=1, max_size=300)


@given(values_of, st.integers(2, 60))
def test_lowest_and_highest_survive_in_their_order(values, most):
    t = np.arange(len(values), dtype=float)
    at, shown = reduced(t, np.array(values), most)
    assert len(at) <= max(most, 2) + 1
    assert list(at) == sorted(set(at))
    assert all(values[int(i)] == v or np.isnan(v) for i, v in zip(at, shown, strict=True))
    real = [v for v in values if not np.isnan(v)]
    if real:
        assert np.nanmax(shown) == max(real)
        assert np.nanmin(shown) == min(real)


def write(root, minute, rows):
    path = root / NAME.format(minute)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("Time (ms),Acceleration\n" + "".join(rows))
    return NAME.format(minute)


def test_a_single_peak_among_two_hours_is_there(tmp_path):
    names = [write(tmp_path, m, [f"{i}.000,1.0{i % 7}00\n" for i in range(0, 60_000, 30)]) for m in range(59)]
    path = tmp_path / names[30]
    path.write_text(path.read_text().replace("30000.000,1.0500", "30000.000,7.7777"))
    assert "7.7777" in path.read_text()
    points, files = Recent(tmp_path).points(sorted(names, reverse=True))
    assert files == 59
    assert len(points) <= MOST
    assert {"timestamp": "2026-11-22T12:30:30.000000+00:00", "acceleration": 7.7777} in points
    times = [point["timestamp"] for point in points]
    assert times == sorted(times)


def test_a_file_that_grows_is_read_again_and_one_that_is_gone_is_left_out(tmp_path):
    first, second = write(tmp_path, 1, ["1.000,1.0000\n"]), write(tmp_path, 2, ["1.000,2.0000\n"])
    recent = Recent(tmp_path)
    assert [p["acceleration"] for p in recent.points([second, first])[0]] == [1.0, 2.0]
    with (tmp_path / second).open("a") as file:
        file.write("2.000,3.0000\n3.000,4.")
    assert [p["acceleration"] for p in recent.points([second, first])[0]] == [1.0, 2.0, 3.0]
    (tmp_path / first).unlink()
    points, files = recent.points([second, first])
    assert [p["acceleration"] for p in points] == [2.0, 3.0]
    assert files == 1


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("Time (ms),Acceleration\n", []),
        ("Time (ms),Acceleration\n1.0,2.0\n2.0,\n3.0,4.0\n", [2.0, None, 4.0]),
        ("Time (ms),Acceleration\n1.0ms,2.0\n", [2.0]),
        ("Time (ms),Acceleration\nx,y\n1.0,2.0\n,\n", [2.0]),
        ("Time (ms),Acceleration\n1.0,2.0,3.0\n", []),
    ],
)
def test_rows_that_are_none_are_left_out_and_empty_cells_are_null(tmp_path, text, values):
    name = write(tmp_path, 1, [])
    (tmp_path / name).write_text(text)
    assert [p["acceleration"] for p in Recent(tmp_path).points([name])[0]] == values
