"""`rigbus tail`: which frames, their numbers, rates, and what a chart is made of."""

import argparse
import json
import struct
from typing import Any

import numpy as np
import pytest

from common import frames
from common.cli import tail, tail_plot, tail_text
from common.cli.main import parser
from common.cli.tail_plot import _lanes, _Line, _scale, _strokes, _wanted
from common.cli.tail_rates import Rates
from common.cli.tail_values import Numbering, Numbers
from common.store.series_columns import Columns

T = 1_760_000_000 * 10**9
S = 10**9
HEAD = {"node": "rig", "src": "pulse", "run": "0" * 16, "seq": 1, "t": T, "mono": 1}


def pulse(at: int = 0, edges: tuple[int, ...] = (0,), total: int = 1, **more: Any) -> frames.Pulse:
    return frames.Pulse(**{**HEAD, "t": T + at, "channel": "import", "edges": list(edges), "total": total, **more})


def samples(values: list[int], axes: list[str], **more: Any) -> frames.Samples:
    n = len(values) // len(axes)
    fields = {"sensor": "v", "rate_hz": 100.0, "nominal_hz": 100.0, "n": n, "axes": axes, "unit": "g", "scale": 0.5}
    raw = struct.pack(f"<{len(values)}h", *values)
    return frames.Samples(**{**HEAD, **fields, "dtype": "<i2", "values": raw, "dt_ns": 10, **more})


def found(numbering: Numbering, frame: Any) -> dict[str, tuple[list[int], list[float], bool]]:
    return {n.series: ((n.t_ns - T).tolist(), n.values.tolist(), n.main) for n in numbering.of(frame)}


# ---- which frames


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ([], True),
        (["--src", "pulse"], True),
        (["--src", "other"], False),
        (["--src", "other", "--src", "pulse"], True),
        (["--kind", "pulse"], True),
        (["--kind", "samples", "--kind", "loss"], False),
        (["--where", "channel=import"], True),
        (["--where", "channel=export"], False),
        (["--where", "total=1"], True),
        (["--where", "total=1.0", "--where", "channel=import"], True),
        (["--where", "total=1", "--where", "channel=export"], False),
        (["--where", "total=one"], False),
        (["--where", "missed=0"], False),  # a field that is not there
        (["--where", "nothing=1"], False),
        (["--where", "channel.name=import"], False),
    ],
)
def test_filters(options: list[str], kept: bool) -> None:
    args = parser().parse_args(["tail", *options])
    assert tail._filter(args)(pulse()) is kept


def test_filters_look_into_maps_and_know_null_and_true() -> None:
    frame = frames.ArmFeedback(**HEAD, funcode=3, data=None, status={"power_status": 1, "error": None, "ok": True})
    for text, kept in (
        *(("status.power_status=1", True), ("status.power_status=2", False), ("status.error=null", True)),
        *(("status.ok=true", True), ("status.ok=1", False), ("data=null", True), ("status.gone=1", False)),
    ):
        assert tail._has(frame, *tail._condition(text)) is kept, text
    for text in ("", "a", "=1"):
        with pytest.raises(argparse.ArgumentTypeError):
            tail._condition(text)


# ---- numbers


def test_numbers_of_samples() -> None:
    assert found(Numbering({}), samples([1, 2, 3, 4], ["x", "y"])) == {
        "samples/v/x": ([0, 10], [0.5, 1.5], True),
        "samples/v/y": ([0, 10], [1.0, 2.0], True),
    }
    uneven = samples([1, 2, 3], ["x"], dt_ns=[5, 7])
    assert found(Numbering({}), uneven)["samples/v/x"][0] == [0, 5, 12]
    assert found(Numbering({}), samples([1], ["x"], dt_ns=[]))["samples/v/x"][0] == [0]


def test_power_from_edge_to_edge_over_frames() -> None:
    numbering = Numbering({"import": 1000.0})
    first = found(numbering, pulse(edges=(0, S), total=11))
    assert first["energy/import"] == ([0], [pytest.approx(3600.0)], True)
    assert first["pulse/import"] == ([0, S], [10.0, 11.0], False)
    # two seconds later, and one pulse was not heard
    assert found(numbering, pulse(3 * S, total=13))["energy/import"] == ([S], [pytest.approx(3600.0)], True)
    assert "energy/import" not in found(numbering, pulse(3 * S, total=14))  # at the same time
    assert found(numbering, pulse(edges=())) == {}
    assert list(found(Numbering({}), pulse())) == ["pulse/import"]


def test_numbers_of_other_frames() -> None:
    reading = {"channel": 1, "temperature": 25.0, "adc": None, "tec_i": float("nan"), "time": 5.0, "vref": 1.5}
    frame = frames.Thermostat(**HEAD, device="bench", readings=[reading], dialect="old")
    assert found(Numbering({}), frame) == {
        "thermostat/bench/1/temperature": ([0], [25.0], True),
        "thermostat/bench/1/device_time_s": ([0], [5.0], False),
        "thermostat/bench/1/vref": ([0], [1.5], False),
    }
    arm = frames.ArmFeedback(**HEAD, funcode=1, data=None, angles=[1.0, None, 3.0, 4.0, 5.0, 6.0, 7.0])
    assert {name: main for name, (_, _, main) in found(Numbering({}), arm).items()} == {
        **{f"arm/joint{i}": True for i in (0, 2, 3, 4, 5)},
        "arm/joint6": False,
    }
    pump = {"pump": "left", "action": "dispense", "direction": "forward", "command_id": "a", "ml": 2.5}
    assert found(Numbering({}), frames.Pump(**HEAD, event="started", **pump)) == {}
    assert found(Numbering({}), frames.Pump(**HEAD, event="done", **pump)) == {"pump/left/ml": ([0], [2.5], True)}
    event = frames.Event(**HEAD, event_type="x", source="y")
    assert found(Numbering({}), event) == {}


# ---- rates


def test_rates_are_means_of_the_last_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("common.cli.tail_rates.time.monotonic", lambda: now[0])
    rates = Rates(as_json=True)
    rates.show()  # nothing is measured yet
    for per_second in (2, 4):
        for _ in range(per_second):
            rates.take("samples/v/", samples([1, 2, 3, 4], ["x", "y"]))
        now[0] += 1.0
        rates.show()
    for _ in range(6):
        now[0] += 1.0
        rates.show()
    lines = [json.loads(line)["topics"]["samples/v/"] for line in capsys.readouterr().out.splitlines()]
    assert [line["frames_per_s"] for line in lines[:3]] == [2.0, 3.0, 2.0]
    assert lines[1]["values_per_s"] == 12.0
    assert (lines[-1]["frames_per_s"], lines[-1]["age_s"]) == (0.0, 7.0)
    assert "2 × xy" in lines[-1]["last"]


def test_a_table_of_rates_into_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("common.cli.tail_rates.time.monotonic", lambda: now[0])
    rates = Rates(as_json=False)
    now[0] += 1.0
    rates.show()
    assert "nothing heard yet" in capsys.readouterr().out
    rates.take("pulse/import/", pulse(edges=(0, 1, 2), total=3))
    now[0] += 1.0
    rates.show()
    assert capsys.readouterr().out.splitlines()[1].split()[:5] == ["pulse/import/", "1.0", "3.0", "1.0", "s"]
    rates.close()


# ---- chart


def numbers(series: str, main: bool, unit: str = "", step: bool = False) -> Numbers:
    return Numbers(series, unit, main, step, np.array([T]), np.array([1.0]))


def test_what_a_name_chooses() -> None:
    power, count = numbers("energy/import", True), numbers("pulse/import", False)
    topic = "pulse/import/"
    assert [_wanted(name, topic, power) for name in ("pulse/", topic, "energy/", "energy/import", "pulse/import")] == [
        *(True, True, True, True, False)
    ]
    assert [_wanted(name, topic, count) for name in ("pulse/", topic, "energy/", "pulse/import", "pulse/i")] == [
        *(False, False, False, True, True)
    ]
    field = numbers("thermostat/bench/0/tec_i", False)
    assert [_wanted(name, "thermostat/bench/", field) for name in ("thermostat/", "thermostat/bench/0/")] == [
        False,
        True,
    ]


def test_a_gap_breaks_the_line_and_peaks_stay() -> None:
    t = np.array([0, 1, 2, 3, 9, 10]) * S + T
    low, high = np.array([0.0, -5, 0, 0, 1, 1]), np.array([0.0, 7, 0, 0, 1, 1])
    columns = Columns(t, low, high, high, np.ones(6, np.int64))
    parts = list(_strokes(columns, False, T, T + 10 * S))
    assert parts == [
        ([-10.0, -9.0, -9.0, -8.0, -7.0], [0.0, -5.0, 7.0, 0.0, 0.0]),
        ([-1.0, 0.0], [1.0, 1.0]),
    ]
    steps = Columns(t[:2] - S, low[:2], high[:2], high[:2], np.ones(2, np.int64))
    assert list(_strokes(steps, True, T, T + 10 * S)) == [([-10.0, -10.0, -10.0, 0.0], [0.0, 0.0, 7.0, 7.0])]
    empty = Columns(t[:0], low[:0], low[:0], low[:0], t[:0])
    assert list(_strokes(empty, False, T, T + S)) == list(_strokes(empty, True, T, T + S)) == []


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-3.2, 7.9), (5.0, 5.0), (0.0, 0.0), (1e-9, 2e-9), (1e16, 1e16 + 2), (-1e308, 1e308)]
)
def test_a_scale_holds_the_data(low: float, high: float) -> None:
    bottom, top, ticks = _scale(low, high, 4)
    assert bottom <= low <= high <= top
    assert bottom < top
    assert 2 <= len(ticks) <= 12
    assert len(set(tail_plot._labels(ticks))) == len(ticks) or high - low < 4


def test_what_is_old_goes_but_for_the_step_that_still_holds() -> None:
    for step, left in ((False, [8.0, 9.0]), (True, [7.0, 8.0, 9.0])):
        line = _Line(numbers("x", True, step=step))
        for i in range(10):
            line.add(Numbers("x", "", True, step, np.array([T + i * S]), np.array([float(i)])))
        assert line.columns(T + 75 * S // 10, T + 10 * S, 20).max.tolist() == left


def test_lanes_by_series_then_by_unit_then_together() -> None:
    empty = Columns(*(np.empty(0) for _ in range(5)))  # type: ignore[arg-type]
    drawn = [
        (_Line(numbers(name, True, unit, step)), name, empty)
        for name, unit, step in (("x", "g", False), ("y", "g", False), ("a", "W", True), ("b", "W", True))
    ]
    names = [[[name for _, name, _ in lane] for lane in _lanes(drawn, height)] for height in (18, 17, 11)]
    assert names == [[["x"], ["y"], ["a", "b"]], [["x", "y"], ["a", "b"]], [["x", "y", "a", "b"]]]
    assert _lanes([], 30) == [[]]


def test_without_plotext_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "plotext", None)
    with pytest.raises(tail.RigbusError, match=r"needs plotext: .*\[plot\]"):
        tail_plot.Plot(["pulse/"], {}, 30.0)


def test_what_others_wrote_gives_the_terminal_no_orders() -> None:
    frame = frames.WebRequest(
        node="n", src="web", run="0" * 16, seq=1, t=1, endpoint="/\x1b]0;mine\x07\nnext", method="GET", ok=1
    )
    told = tail_text.line("app/web_request/", frame)
    assert not any(c in told for c in "\x1b\x07\n")
