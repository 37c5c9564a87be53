"""What charts draw, out of a store: raw values, rollups, which of them, and what is refused."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common import frames
from common.store import series_raw, series_view
from common.store.readonly import StoreFile
from common.store.rollups import Rollups
from common.store.series_kinds import UnknownSeries, series_of
from common.store.series_names import SeriesNames
from common.store.series_raw import TooMuch
from common.store.series_view import Answer, SeriesView
from common.store.writer import Store

S = 10**9
MINUTE, HOUR, DAY = 60 * S, 3600 * S, 86_400 * S
T = 1_760_000_040_000_000_000 // HOUR * HOUR
METERS = {"import": 1000.0}
Ask = Callable[..., Answer]


@pytest.fixture
def file(store: Store, path: Path) -> Iterator[StoreFile]:
    opened = StoreFile(path)
    yield opened
    opened.close()


@pytest.fixture
def ask(file: StoreFile) -> Ask:
    """ask(name, from, to, …): times in ns after T."""
    names = SeriesNames()

    def get(name: str, start: int, end: int, *, columns: int = 600, source: int | None = None) -> Answer:
        return SeriesView(file, METERS, names).get([name], T + start, T + end, columns, source)

    return get


def drawn(answer: Answer) -> tuple[list[float], list[float], list[float], list[int]]:
    """Times in s after T, lowest, highest, numbers of the only series."""
    (series,) = answer.series.values()
    columns = series.columns
    return ((columns.t_ns - T) / 1e9).tolist(), columns.min.tolist(), columns.max.tolist(), columns.n.tolist()


def poll(maker: Any, at: int, **fields: Any) -> Any:
    reading = {"channel": 0, "temperature": 25.0, **fields}
    return maker.take(frames.Thermostat, device="bench", readings=[reading], dialect="new", t=T + at)


# ---- power


def test_power_holds_from_an_edge_to_the_next(store: Store, maker: Any, ask: Ask) -> None:
    store.commit([maker.pulse(t=T + at * S, total=total) for at, total in ((-5, 1), (5, 2), (15, 4), (35, 5))])
    t, low, high, n = drawn(ask("energy/import", 0, 20 * S))
    # of the step that began before, and of the one that ends behind the range; two pulses in 10 s where one was lost
    assert t == [-5.0, 5.0, 15.0]
    assert low == high == pytest.approx([360.0, 720.0, 180.0])
    assert n == [1, 1, 1]
    assert drawn(ask("energy/import", 16 * S, 17 * S))[1] == pytest.approx([180.0])  # one step all over it
    assert drawn(ask("energy/spare", 0, 20 * S)) == ([], [], [], [])


def test_edges_at_one_time_and_a_count_that_fell_are_no_power(store: Store, maker: Any, ask: Ask) -> None:
    store.commit([maker.pulse(t=T + at * S, total=total) for at, total in ((1, 7), (1, 8), (2, 3), (3, 4))])
    assert drawn(ask("energy/import", 0, 10 * S))[:2] == ([2.0], pytest.approx([3600.0]))
    t, low, _, _ = drawn(ask("pulse/import", 0, 10 * S))
    assert (t, low) == ([1.0, 1.0, 2.0, 3.0], [7.0, 8.0, 3.0, 4.0])


def test_the_mean_of_power_is_weighted_with_time(store: Store, maker: Any, ask: Ask) -> None:
    store.commit([maker.pulse(t=T + at * S, total=i) for i, at in enumerate((0, 1, 10))])
    (series,) = ask("energy/import", 0, 10 * S, columns=1).series.values()
    assert series.columns.mean.tolist() == pytest.approx([2 * 3.6e6 / 1000 / 10])
    assert (series.columns.min[0], series.columns.max[0]) == (pytest.approx(400.0), pytest.approx(3600.0))
    assert (series.unit, series.kind, series.period_s) == ("W", "step", None)


def test_power_of_rollups_is_exact_however_few_pulses_a_window_has(store: Store, maker: Any, ask: Ask) -> None:
    """A pulse each 100 s: windows of a minute have one or none, and it is 36 W all the time."""
    store.commit([maker.pulse(t=T + i * 100 * S, total=i) for i in range(37)])
    assert Rollups(METERS).finish(store)
    answer = ask("energy/import", 0, HOUR, columns=60)
    t, low, high, n = drawn(answer)
    assert answer.source == 60
    assert low == high == pytest.approx([36.0] * 35)
    assert t == [100.0 * i for i in range(35)]  # from edge to edge
    assert n == [1] * 35
    # and into a range that begins later its first step reaches, too
    assert drawn(ask("energy/import", 30 * MINUTE, HOUR, source=60))[1] == pytest.approx([36.0] * 18)


# ---- samples


def wave(maker: Any, at: int, values: list[float] | np.ndarray[Any, Any], **fields: Any) -> Any:
    raw = np.asarray(values, "<f4")
    shape = {"axes": ["x"], "scale": 1.0, "dtype": "<f4", "n": len(raw), "values": raw.tobytes(), "dt_ns": 10_000_000}
    return maker.samples(**{**shape, "t": T + at, "mono": T + at, "rate_hz": 100.0, "nominal_hz": 100.0, **fields})


def test_a_peak_survives_and_a_gap_stays_one(store: Store, maker: Any, ask: Ask) -> None:
    spike = np.zeros(100)
    spike[37] = 9.0
    store.commit([wave(maker, 0, spike), wave(maker, 3 * S, -np.ones(100))])
    answer = ask("samples/v/x", 0, 10 * S, columns=20)
    t, low, high, n = drawn(answer)
    assert t == [0.0, 0.5, 3.0, 3.5]
    assert (low, high) == ([0.0, 0.0, -1.0, -1.0], [9.0, 0.0, -1.0, -1.0])
    assert n == [50, 50, 50, 50]
    (series,) = answer.series.values()
    assert (answer.source, series.unit, series.kind, series.period_s) == (0, "g", "line", 0.01)


def test_only_what_lies_within_the_range_of_a_chunk_that_began_before(store: Store, maker: Any, ask: Ask) -> None:
    store.commit([wave(maker, 0, np.arange(100.0))])
    t, low, _, _ = drawn(ask("samples/v/x", 495_000_000, 535_000_000))
    assert (t, low) == ([0.5, 0.51, 0.52, 0.53], [50.0, 51.0, 52.0, 53.0])


def test_magnitude_nan_and_an_axis_that_is_none(store: Store, maker: Any, ask: Ask) -> None:
    store.commit([wave(maker, 0, [3.0, 4.0, np.nan, 1.0, 6.0, 8.0], axes=["x", "y"], n=3, scale=2.0)])
    assert drawn(ask("samples/v/magnitude", 0, S))[1] == pytest.approx([10.0, 20.0])
    assert drawn(ask("samples/v/x", 0, S))[1] == [6.0, 12.0]
    assert drawn(ask("samples/v/z", 0, S)) == ([], [], [], [])
    assert drawn(ask("samples/other/x", 0, S)) == ([], [], [], [])


def test_a_damaged_chunk_is_left_out(store: Store, maker: Any, ask: Ask) -> None:
    store.commit([wave(maker, at * S, [float(at)] * 10) for at in (0, 2, 4)])
    store.work(lambda conn: conn.execute("UPDATE sample_chunks SET data = x'00' WHERE id = 2"))
    assert drawn(ask("samples/v/x", 0, 10 * S, columns=10))[0] == [0.0, 4.0]


def test_too_many_samples_are_refused_before_they_are_read(
    store: Store, maker: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.commit([wave(maker, 0, np.zeros(100))])
    monkeypatch.setattr(series_raw, "MOST_SAMPLES", 99)
    with pytest.raises(TooMuch, match="100 samples"):
        ask("samples/v/x", 0, S)
    monkeypatch.setattr(series_raw, "MOST_ROWS", 1)
    store.commit([poll(maker, at * S) for at in (0, 1)])
    with pytest.raises(TooMuch, match="over 1 raw"):
        ask("thermostat/bench/0/temperature", 0, 10 * S)


# ---- rows


def test_rows_of_a_thermostat_with_what_is_not_known_left_out(store: Store, maker: Any, ask: Ask) -> None:
    celsius = [25.0, None, float("nan"), 26.0]
    store.commit([poll(maker, at * S, temperature=value) for at, value in enumerate(celsius)])
    answer = ask("thermostat/bench/0/temperature", 0, 4 * S)
    assert drawn(answer) == ([0.0, 3.0], [25.0, 26.0], [25.0, 26.0], [1, 1])
    (series,) = answer.series.values()
    assert (series.unit, series.kind, series.period_s) == ("°C", "line", 3.0)
    assert drawn(ask("thermostat/bench/1/temperature", 0, 4 * S))[0] == []
    assert drawn(ask("thermostat/bench/0/temperature", 0, 3 * S))[0] == [0.0]  # `to` is not in it


def test_every_kind_of_row(store: Store, maker: Any, ask: Ask) -> None:
    at = {"t": T + S}
    pump = {"pump": "left", "action": "dispense", "direction": "forward", "command_id": "a"}
    store.commit(
        [
            maker.take(frames.ArmFeedback, funcode=1, data=None, angles=[1.0, 2.0], **at),
            maker.take(frames.ArmCommand, funcode=1, data=None, joint_id=1, target_value=30.0, t=T - HOUR),
            maker.take(frames.Smoother, joint_id=2, target=1.0, current=2.0, sent=3.0, **at),
            maker.take(frames.Camera, camera_id="side/left", actual_fps=29.5, **at),
            maker.take(frames.WebRequest, endpoint="/api/x/response_ms", response_ms=7.5, **at),
            maker.take(frames.Pump, event="intent", ml=99.0, **pump, **at),
            maker.take(frames.Pump, event="stopped", ml=4.5, steps=900, **pump, **at),
        ]
    )
    found = {
        name: drawn(ask(name, 0, 10 * S))[1]
        for name in (
            *("arm/joint1", "arm/joint5", "smoother/2/sent", "camera/side/left/fps", "pump/left/ml", "pump/left/steps"),
            *("web//api/x/response_ms/response_ms", "arm/joint1/target"),
        )
    }
    assert found == {
        "arm/joint1": [2.0],
        "arm/joint5": [],
        "arm/joint1/target": [30.0],  # an hour old, and still what it was told
        "smoother/2/sent": [3.0],
        "camera/side/left/fps": [29.5],
        "pump/left/ml": [4.5],
        "pump/left/steps": [900.0],
        "web//api/x/response_ms/response_ms": [7.5],
    }


# ---- which source


def test_a_longer_range_is_drawn_of_the_coarsest_sums_that_fill_it(store: Store, maker: Any, ask: Ask) -> None:
    store.commit([poll(maker, i * MINUTE, temperature=20.0 + i % 60) for i in range(180)])
    assert Rollups(METERS).finish(store)
    name = "thermostat/bench/0/temperature"
    sources = [ask(name, 0, end).source for end in (600 * S, 601 * S, 10 * HOUR, 51 * HOUR, 601 * HOUR)]
    assert sources == [0, 60, 60, 300, 3600]
    t, low, high, n = drawn(ask(name, 0, 3 * HOUR, columns=3))
    assert (t, low, high, n) == ([0.0, 3600.0, 7200.0], [20.0] * 3, [79.0] * 3, [60] * 3)
    (series,) = ask(name, 0, 3 * HOUR, columns=3).series.values()
    assert series.columns.mean.tolist() == pytest.approx([49.5] * 3)
    assert (series.period_s, series.first_ns) == (3600.0, T)
    # a window that began before the range and reaches into it
    assert drawn(ask(name, HOUR // 2, HOUR, source=3600))[0] == [0.0]


def test_what_retention_took_is_drawn_from_what_is_left(store: Store, maker: Any, ask: Ask) -> None:
    name = "thermostat/bench/0/temperature"
    store.commit([poll(maker, i * MINUTE) for i in range(120)])
    assert Rollups(METERS).finish(store)
    store.work(lambda conn: conn.execute("DELETE FROM thermostat_readings"))
    answer = ask(name, 0, 600 * S)
    assert (answer.source, drawn(answer)[0][:2]) == (60, [0.0, 60.0])
    store.work(lambda conn: conn.execute("DELETE FROM rollups WHERE window_s = 60 AND t_ns < ?", (T + 90 * MINUTE,)))
    answer = ask(name, 0, HOUR)
    assert (answer.source, drawn(answer)[0][:2]) == (300, [0.0, 300.0])
    assert ask(name, 90 * MINUTE, 2 * HOUR).source == 60
    assert ask("samples/none/x", 0, 600 * S).source == 0  # nothing anywhere


def test_the_lifetime_count_of_rollups_has_a_mean_within_it(store: Store, maker: Any, ask: Ask) -> None:
    store.commit([maker.pulse(t=T + i * S, total=1000 + i) for i in range(60)])
    assert Rollups(METERS).finish(store)
    (series,) = ask("pulse/import", 0, HOUR).series.values()
    assert series.columns.mean.tolist() == [1029.5]
    assert series.columns.n.tolist() == [60]


def test_several_series_keep_apart_whatever_their_names(store: Store, maker: Any, file: StoreFile) -> None:
    odd = ["web//a'; DROP TABLE rollups; --/response_ms", "web/ü%_?/response_ms", "web//response_ms"]
    endpoints = [name.removeprefix("web/").removesuffix("/response_ms") for name in odd]
    store.commit([maker.take(frames.WebRequest, endpoint=e, response_ms=i, t=T) for i, e in enumerate(endpoints)])
    assert Rollups({}).finish(store)
    for source in (0, 60):
        answer = SeriesView(file, {}, SeriesNames()).get(odd, T - HOUR // 2, T + HOUR // 2, 600, source)
        assert {name: d.columns.min.tolist() for name, d in answer.series.items()} == {
            name: [float(i)] for i, name in enumerate(odd)
        }


# ---- what is refused


@pytest.mark.parametrize(
    "name",
    [
        *("", "pulse", "pulse/", "pulse/a/b", "thermostat/bench/0/secret", "thermostat/bench/x/temperature"),
        *("arm/joint7", "arm/joint", "samples/v", "pump/left/hz", "camera/a/b", "rollups", "smoother/x/sent"),
    ],
)
def test_what_is_no_name(name: str, ask: Ask) -> None:
    with pytest.raises(UnknownSeries):
        series_of(name)
    with pytest.raises(UnknownSeries):
        ask(name, 0, S)


@pytest.mark.parametrize(
    ("start", "end", "options"),
    [
        *((0, 0, {}), (S, 0, {}), (-(2**63), S, {}), (0, 2**62, {})),
        *((0, S, {"columns": 0}), (0, S, {"columns": 4001}), (0, S, {"source": 61})),
    ],
)
def test_what_is_no_question(start: int, end: int, options: Any, ask: Ask) -> None:
    with pytest.raises(ValueError, match=r"from|columns|source"):
        ask("energy/import", start, end, **options)


def test_a_year_of_raw_values_is_refused(ask: Ask) -> None:
    with pytest.raises(TooMuch, match="at most 3,600 s"):
        ask("samples/v/x", 0, 365 * DAY, source=0)


def test_too_many_names(file: StoreFile) -> None:
    with pytest.raises(ValueError, match="17 names"):
        SeriesView(file, {}, SeriesNames()).get([f"pulse/{i}" for i in range(17)], T, T + S)


def test_too_many_windows(store: Store, maker: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    store.commit([poll(maker, i * MINUTE) for i in range(100)])
    assert Rollups({}).finish(store)
    monkeypatch.setattr("common.store.series_sums.MOST_WINDOWS", 99)
    with pytest.raises(TooMuch, match="over 99 windows"):
        ask("thermostat/bench/0/temperature", 0, DAY, source=60)
    assert ask("thermostat/bench/0/temperature", 0, DAY, source=300).source == 300
    # far apart is not many
    store.commit([poll(maker, -30 * 365 * DAY)])
    assert Rollups({}).finish(store)
    monkeypatch.setattr("common.store.series_sums.MOST_WINDOWS", 1000)
    assert sum(drawn(ask("thermostat/bench/0/temperature", -31 * 365 * DAY, DAY, source=60))[3]) == 101


# ---- names


def test_names_with_their_units_and_times(store: Store, maker: Any, file: StoreFile) -> None:
    names = SeriesNames()
    view = SeriesView(file, METERS, names)
    assert view.names() == []
    store.commit([maker.pulse(t=T + 90 * S, total=1), wave(maker, 2 * HOUR, [1.0, 2.0])])
    assert Rollups(METERS).finish(store)
    found = {named.name: named for named in view.names()}
    assert set(found) == {"pulse/import", "energy/import", "samples/v/x"}
    assert found["energy/import"][1:] == ("W", "step", T + MINUTE, T + 90 * S)
    assert found["samples/v/x"][1:] == ("g", "line", T + 2 * HOUR, T + 2 * HOUR + 10_000_000)
    # what comes later is seen, late data too
    store.commit([maker.pulse(t=T - 5 * HOUR, total=1), maker.pulse(t=T + 3 * HOUR, total=2)])
    assert Rollups(METERS).finish(store)
    found = {named.name: named for named in view.names()}
    assert found["energy/import"][3:] == (T - 5 * HOUR, T + 3 * HOUR)


def test_names_are_learnt_a_little_at_a_time_and_forgotten_with_the_database(
    store: Store, maker: Any, file: StoreFile
) -> None:
    store.commit([poll(maker, i * 40 * DAY) for i in range(5)])
    store.commit([maker.take(frames.WebRequest, endpoint="late", response_ms=1.0, t=T + 160 * DAY)])
    assert Rollups({}).finish(store)
    names = SeriesNames()
    assert not names.learn(file, -1.0)
    assert names.all() == []
    assert names.learn(file, 60.0)
    assert set(names.all()) == {"thermostat/bench/0/temperature", "web/late/response_ms"}
    store.work(lambda conn: conn.execute("DELETE FROM rollups"))
    assert names.learn(file, 60.0)
    assert names.all() == []


def test_first_t_is_that_of_raw_values_where_rollups_have_none_yet(store: Store, maker: Any, ask: Ask) -> None:
    store.commit([poll(maker, 5 * S)])
    (series,) = ask("thermostat/bench/0/temperature", 0, 10 * S).series.values()
    assert series.first_ns == T + 5 * S
    (series,) = ask("thermostat/bench/1/temperature", 0, 10 * S).series.values()
    assert series.first_ns is None
    assert series_view.MOST_NAMES == 16


def test_pieces_join_and_the_greatest_sum_is_read(
    store: Store, maker: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.commit([maker.pulse(t=T + i * 100 * S, total=i) for i in range(37)])
    store.commit([poll(maker, i * MINUTE, temperature=1.7e308) for i in (0, 0, 0, 30)])
    assert Rollups(METERS).finish(store)
    whole = [drawn(ask(name, 0, HOUR, source=60)) for name in ("energy/import", "thermostat/bench/0/temperature")]
    assert whole[1] == ([0.0, 1800.0], [1.7e308] * 2, [1.7e308] * 2, [3, 1])
    monkeypatch.setattr("common.store.series_sums._AT_ONCE", 7)
    pieces = [drawn(ask(name, 0, HOUR, source=60)) for name in ("energy/import", "thermostat/bench/0/temperature")]
    assert pieces == whole
