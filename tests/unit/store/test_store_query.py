"""TelemetryQuery on a rig's database: its own tables; and on files that have none of them."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import seed_file
from hypothesis import given, settings
from hypothesis import strategies as st

from common import frames, telemetry
from common.errors import StoreError
from common.store.columns import envelope
from common.store.items import StreamKey, Taken
from common.store.query import TelemetryQuery
from common.store.reader import open_reader
from common.store.results import Range
from common.store.rollups import Rollups
from common.store.writer import Store
from common.telemetry import TelemetryCollector

T, S, STEP = 1_760_000_000_000_000_000, 10**9, 1_250_000


def ramp(maker: Any, count: int, **fields: Any) -> list[Any]:
    """Frames of 80 samples; sample number i since T has the counts (i, -i)."""
    made = []
    for k in range(count):
        i = np.arange(k * 80, (k + 1) * 80)
        values = np.stack([i, -i], axis=1).astype("<i2").tobytes()
        at = {"t": T + k * 80 * STEP, "mono": k * 80 * STEP + 1}
        made.append(maker.samples(n=80, axes=["x", "y"], values=values, **at, **fields))
    return made


@pytest.fixture
def query(store: Store, maker: Any, path: Path) -> Iterator[TelemetryQuery]:
    reading = {"channel": 0, "temperature": 25.5, "i_tec": 0.1, "odd": "kept"}
    store.commit(
        [
            *[maker.pulse(t=T + i * S, total=i + 1, edges=[0]) for i in range(4)],
            maker.pulse(t=T + 9 * S, channel="export", total=7, edges=[0]),
            maker.take(frames.Thermostat, t=T, device="bench", dialect="sim", readings=[reading, {"channel": 1}]),
            maker.take(
                frames.Pump, t=T, pump="food", event="done", action="prime", direction="forward", seconds=2.0,
                command_id="c",
            ),
            maker.take(frames.Event, t=T, event_type="estop", source="web"),
            maker.take(
                frames.Loss, t=T, stream="samples/v/", unit="sample", count=3, cause="late", from_t=T, to_t=T
            ),
            *ramp(maker, 10),
        ]
    )  # fmt: skip
    store.health(maker.health())
    store.commit([])
    Rollups({"import": 1000.0}).finish(store)
    with TelemetryQuery(path) as found:
        yield found


def test_it_is_the_seeds_with_more(query: TelemetryQuery) -> None:
    assert isinstance(query, telemetry.TelemetryQuery)
    assert [row["event_type"] for row in query.get_events()] == ["estop"]
    own = [name for name in vars(TelemetryQuery) if name.startswith("get_")]
    for name in own:
        names = list(inspect.signature(getattr(query, name)).parameters)
        assert {"time_range", "limit"} <= set(names), name


def test_pulses_and_power(query: TelemetryQuery) -> None:
    assert query.get_pulses("export") == [{"t_ns": T + 9 * S, "channel": "export", "total": 7}]
    assert [row["total"] for row in query.get_pulses("import", (T / S + 1, T / S + 2))] == [2, 3]
    assert [row["total"] for row in query.get_pulses(limit=2)] == [4, 7]
    power = query.get_power({"import": 1000.0})
    assert power[1] == {"t_ns": T + S, "channel": "import", "total": 2, "watts": pytest.approx(3600), "kwh": 0.002}
    assert (power[-1]["watts"], power[-1]["kwh"]) == (None, None)


def test_times_to_the_ns_by_text(query: TelemetryQuery) -> None:
    assert len(query.get_pulses("import", ("1760000000.000000001", "1760000001.000000000"))) == 1
    assert len(query.get_pulses("import", ("1760000000.000000000", "1760000000.999999999"))) == 1


def test_samples(query: TelemetryQuery) -> None:
    found = query.get_samples(limit=3)
    assert (found["sensor"], found["unit"], found["axes"]) == ("v", "g", ["x", "y"])
    assert found["values"].tolist() == [[0.5 * i, -0.5 * i] for i in (797, 798, 799)]
    assert found["t_ns"].tolist() == [T + i * STEP for i in (797, 798, 799)]
    assert len(query.get_samples("v", (None, "1760000000.01"))["t_ns"]) == 9


def test_samples_in_columns_keep_their_peaks(query: TelemetryQuery) -> None:
    found = query.get_samples("v", columns=8)
    assert found["n"].tolist() == [100] * 8
    assert found["max"][:, 0].tolist() == [0.5 * (100 * k + 99) for k in range(8)]
    assert found["min"][:, 1].tolist() == [-0.5 * (100 * k + 99) for k in range(8)]
    nothing = query.get_samples("v", (1, 2), columns=8)
    assert len(nothing["t_ns"]) == 0


def test_a_sensor_that_is_not_there_is_named(query: TelemetryQuery) -> None:
    with pytest.raises(ValueError, match="there are v"):
        query.get_samples("w")
    with pytest.raises(ValueError, match="columns 0"):
        query.get_samples("v", columns=0)
    with pytest.raises(ValueError, match="at most 1,000,000"):
        query.get_samples("v", columns=1_000_001)


def test_thermostat_pumps_and_health(query: TelemetryQuery) -> None:
    first, second = query.get_thermostat()
    assert (first["device"], first["channel"], first["temperature"]) == ("bench", 0, 25.5)
    assert first["extra_json"] == '{"odd":"kept"}'
    assert second["temperature"] is None
    assert [row["channel"] for row in query.get_thermostat("bench", 1)] == [1]
    assert query.get_thermostat("other") == []
    [pump] = query.get_pumps("food")
    assert (pump["event"], pump["seconds"], pump["ml"]) == ("done", 2.0, None)
    [health] = query.get_health("pulse")
    assert (health["src"], health["lateness_max_us"], health["rates_json"]) == ("pulse", 4.0, '{"pulse/import/":2.0}')


def test_rollups_ledger_and_what_happened(query: TelemetryQuery) -> None:
    [row] = query.get_rollups(60, "energy/import")
    assert (row["n"], row["sum"]) == (4, 0.004)
    assert {r["window_s"] for r in query.get_rollups(3600, limit=None)} == {3600}
    [lost] = query.get_ledger()
    assert (lost["cause"], lost["count"], lost["src"]) == ("late", 3, "pulse")
    assert [row["table"] for row in query.get_happened()] == ["system_events", "ledger"]
    with pytest.raises(ValueError, match="window_s 61"):
        query.get_rollups(61)


OWN: list[Callable[[TelemetryQuery], Any]] = [
    lambda q: q.get_pulses(),
    lambda q: q.get_power({}),
    lambda q: q.get_samples("v"),
    lambda q: q.get_thermostat(),
    lambda q: q.get_pumps(),
    lambda q: q.get_rollups(),
    lambda q: q.get_ledger(),
    lambda q: q.get_happened(),
    lambda q: q.get_health(),
]


@pytest.mark.parametrize("kind", ["seed", "standalone"])
def test_files_without_a_rigs_tables(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.db"
    if kind == "seed":
        seed_file.fill(seed_file.make(path))
    else:
        collector = TelemetryCollector(path, bus="")
        collector.start()
        collector.log_command(1, 1, 2, 20.0, None)
        assert collector.stop()
    with TelemetryQuery(path) as query:
        assert query.get_commands()
        assert query.get_session_summary()["total_commands"] > 0
        assert query.get_db_stats()["dds_commands"] == query.stats().tables["dds_commands"]
        for call in OWN:
            with pytest.raises(StoreError, match=r"t\.db: no such table here: [a-z_]+$"):
                call(query)


def test_a_database_of_a_newer_rigbus_is_refused_and_a_missing_one_not_made(path: Path, rows: Any) -> None:
    with pytest.raises(FileNotFoundError):
        TelemetryQuery(path)
    Store.open(path).close()
    rows("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="schema version 99"):
        TelemetryQuery(path)


def test_what_goes_wrong_later_is_a_store_error(query: TelemetryQuery, path: Path) -> None:
    path.rename(path.with_suffix(".old"))
    with pytest.raises(StoreError, match="no database there"):
        query.get_commands()


@settings(max_examples=20)  # each makes a database
@given(st.lists(st.floats(-1e6, 1e6, width=32) | st.just(float("nan")), min_size=1, max_size=200), st.integers(1, 50))
def test_columns_are_what_is_obvious(tmp_path_factory: Any, values: list[float], columns: int) -> None:
    path = tmp_path_factory.mktemp("columns") / "rigbus.db"
    store = Store.open(path)
    raw = np.array(values, "<f4")
    key = {"node": "n", "src": "s", "run": "0" * 16, "seq": 1, "t": T, "mono": 1}
    kind = {"sensor": "v", "rate_hz": 800.0, "nominal_hz": 800.0, "axes": ["x"], "unit": "g", "scale": 1.0}
    frame = frames.Samples(**key, **kind, n=len(raw), dtype="<f4", values=raw.tobytes(), dt_ns=STEP)
    store.commit([Taken(StreamKey("n", "s", "0" * 16), "samples/v/", frame)])
    store.close()
    with open_reader(path) as reader:
        found = envelope(reader, "v", Range(), columns)
    width = max(1, -(-((len(raw) - 1) * STEP + 1) // columns))
    groups: dict[int, list[float]] = {}
    for i, value in enumerate(raw.tolist()):
        groups.setdefault(i * STEP // width, []).append(value)
    assert found.t_ns.tolist() == [T + at * width for at in sorted(groups)]
    assert found.n.tolist() == [len(groups[at]) for at in sorted(groups)]
    for edge, pick in (("min", min), ("max", max)):
        real = [[v for v in groups[at] if v == v] for at in sorted(groups)]
        told = [pick(some) if some else float("nan") for some in real]
        np.testing.assert_array_equal(getattr(found, edge)[:, 0], told)
