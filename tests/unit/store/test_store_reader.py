"""Reading while the sink writes, on a stopped rig, and what the answers mean."""

import os
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common import frames
from common.errors import StoreError
from common.store import readonly
from common.store.items import Lost
from common.store.reader import AxesChange, open_reader
from common.store.results import Range
from common.store.rows import INSERT
from common.store.writer import Store

T, STEP = 1_760_000_000_000_000_000, 1_250_000
S = 10**9


def pulses_at(maker: Any, *seconds: float, channel: str = "import", first: int = 1) -> list[Any]:
    return [maker.pulse(t=T + int(s * S), channel=channel, total=first + i, edges=[0]) for i, s in enumerate(seconds)]


def ramp(maker: Any, frames_: int, n: int = 80, **fields: Any) -> list[Any]:
    """Frames whose sample number i since T has the counts (i, −i)."""
    made = []
    for k in range(frames_):
        i = np.arange(k * n, (k + 1) * n)
        at = k * n * STEP
        values = np.stack([i, -i], axis=1).astype("<i2").tobytes()
        made.append(maker.samples(n=n, t=T + at, mono=at, axes=["x", "y"], values=values, **fields))
    return made


def test_no_database(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"rigbus\.db"):
        open_reader(path)


def test_reading_while_the_sink_writes(store: Store, maker: Any, path: Path) -> None:
    with open_reader(path) as reader:
        store.commit(pulses_at(maker, 0, 1))
        assert [row.total for row in reader.pulses()] == [1, 2]
        store._connection().execute("BEGIN IMMEDIATE")
        assert len(reader.pulses()) == 2
        store._connection().execute("ROLLBACK")
        store.commit(pulses_at(maker, 2, first=3))
        assert [row.total for row in reader.pulses()] == [1, 2, 3]


def test_a_stopped_rig_is_read_without_writing_to_its_folder(path: Path, maker: Any) -> None:
    store = Store.open(path)
    store.commit(pulses_at(maker, 0))
    store.close()
    before = path.read_bytes()
    with open_reader(path) as reader:
        assert len(reader.pulses()) == 1
        assert os.listdir(path.parent) == ["rigbus.db"]
    assert path.read_bytes() == before


def test_a_reader_of_a_stopped_rig_notices_its_start(path: Path, maker: Any) -> None:
    Store.open(path).close()
    with open_reader(path) as reader:
        assert reader.pulses() == []
        store = Store.open(path)
        store.commit(pulses_at(maker, 0))
        assert len(reader.pulses()) == 1
        store.close()


def test_a_reader_notices_a_database_that_was_replaced(store: Store, path: Path, maker: Any) -> None:
    store.commit(pulses_at(maker, 0))
    with open_reader(path) as reader:
        assert len(reader.pulses()) == 1
        for suffix in ("", "-wal", "-shm"):
            os.rename(f"{path}{suffix}", f"{path}.old{suffix}")
        with pytest.raises(StoreError):
            store.commit(pulses_at(maker, 1))
        assert reader.pulses() == []


def test_a_reader_cannot_write(store: Store, path: Path) -> None:
    with open_reader(path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._file._conn.execute("DELETE FROM pulses")


@pytest.mark.parametrize("content", [b"", b"no database" * 100])
def test_what_is_no_database_of_ours(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"rigbus\.db"):
        open_reader(path)


def test_a_database_of_another_version(path: Path) -> None:
    Store.open(path).close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 999")
    newer.close()
    with pytest.raises(StoreError, match="999"):
        open_reader(path)


def test_ranges(store: Store, maker: Any, path: Path) -> None:
    store.commit(pulses_at(maker, 0, 1, 2, 3) + pulses_at(maker, 1.5, channel="export"))
    with open_reader(path) as reader:
        seconds = [(row.t_ns - T) / S for row in reader.pulses(Range(T + S, T + 3 * S))]
        assert seconds == [1, 1.5, 2]
        assert [row.channel for row in reader.pulses(Range(last=2))] == ["import", "import"]
        assert [row.total for row in reader.pulses(Range(last=1), "export")] == [1]


def test_power_comes_from_consecutive_edges_of_one_channel(store: Store, maker: Any, path: Path) -> None:
    store.commit(
        pulses_at(maker, 0, 3.6, 5.4) + pulses_at(maker, 1, 2, channel="export") + pulses_at(maker, 3, channel="x")
    )
    with open_reader(path) as reader:
        rows = reader.power({"import": 1000.0, "export": 500.0})
        found = {(row.channel, row.total): (row.watts, row.kwh) for row in rows}
        assert found == {
            ("import", 1): (None, 0.001),
            ("import", 2): (pytest.approx(1000.0), 0.002),
            ("import", 3): (pytest.approx(2000.0), 0.003),
            ("export", 1): (None, 0.002),
            ("export", 2): (pytest.approx(7200.0), 0.004),
            ("x", 1): (None, None),
        }
        assert [row.t_ns for row in rows] == sorted(row.t_ns for row in rows)
        (last,) = reader.power({"import": 1000.0}, Range(last=1), "import")
        assert last.watts == pytest.approx(2000.0)  # the edge before stands outside what was asked for


def test_power_over_lost_frames_is_a_mean_and_over_a_reset_unknown(store: Store, maker: Any, path: Path) -> None:
    items = [maker.pulse(t=T + s * S, total=total) for s, total in ((0, 10), (36, 20), (37, 1), (40, 2))]
    store.commit(items)
    with open_reader(path) as reader:
        watts = [row.watts for row in reader.power({"import": 1000.0})]
    assert watts == [None, pytest.approx(1000.0), None, pytest.approx(1200.0)]


def test_samples_come_back_scaled_with_their_times(store: Store, maker: Any, path: Path) -> None:
    store.commit(ramp(maker, 25))
    with open_reader(path) as reader:
        series = reader.samples("v")
        assert (series.axes, series.unit) == (["x", "y"], "g")
        assert series.t_ns.tolist() == [T + i * STEP for i in range(2000)]
        assert series.values.tolist() == [[i * 0.5, -i * 0.5] for i in range(2000)]


@pytest.mark.parametrize(("first", "end"), [(0, 5), (3, 90), (799, 801), (850, 1700), (1990, 5000)])
def test_a_range_of_samples_is_cut_to_the_sample(store: Store, maker: Any, path: Path, first: int, end: int) -> None:
    store.commit(ramp(maker, 25))
    with open_reader(path) as reader:
        series = reader.samples("v", Range(T + first * STEP, T + end * STEP))
    assert (series.values[:, 0] * 2).tolist() == list(range(first, min(end, 2000)))


@pytest.mark.parametrize("last", [1, 80, 250, 801, 1999, 2000, 3000])
def test_the_newest_samples(store: Store, maker: Any, path: Path, last: int) -> None:
    store.commit(ramp(maker, 25))
    with open_reader(path) as reader:
        series = reader.samples("v", Range(last=last))
        assert (series.values[:, 0] * 2).tolist() == list(range(2000))[2000 - min(last, 2000) :]
        within = reader.samples("v", Range(to_ns=T + 1000 * STEP, last=last))
        assert (within.values[:, 0] * 2).tolist() == list(range(1000))[1000 - min(last, 1000) :]


def test_a_long_frame_that_began_before_the_range(store: Store, maker: Any, path: Path) -> None:
    values = np.arange(100, dtype="<i2").tobytes()
    store.commit([maker.samples(n=100, t=T, axes=["x"], values=values, dt_ns=S, nominal_hz=1.0)])
    with open_reader(path) as reader:
        assert reader.samples("v", Range(T + 90 * S)).values[:, 0].tolist() == [i * 0.5 for i in range(90, 100)]


def test_no_samples(store: Store, path: Path) -> None:
    with open_reader(path) as reader:
        series = reader.samples("v")
        assert (len(series.t_ns), len(series.values), series.axes, reader.sensors()) == (0, 0, [], [])


def test_a_change_of_unit_is_not_glossed_over(store: Store, maker: Any, path: Path) -> None:
    store.commit([*ramp(maker, 2), *ramp(maker, 2, unit="m/s2")])
    with open_reader(path) as reader:
        with pytest.raises(AxesChange, match="unit"):
            reader.samples("v")
        assert {block.unit for block in reader.blocks("v")} == {"g", "m/s2"}


def test_a_damaged_chunk_is_named(store: Store, maker: Any, path: Path) -> None:
    store.commit(ramp(maker, 1))
    store._connection().execute("UPDATE sample_chunks SET data = zeroblob(9)")
    with open_reader(path) as reader, pytest.raises(StoreError, match="sample_chunks 1"):
        reader.samples("v")


def test_streams_ledger_and_events(store: Store, maker: Any, path: Path) -> None:
    store.work(lambda conn: conn.execute(INSERT["clock_steps"], (T + 2, "boot", -7, "ntp")))
    pulse = maker.pulse()
    event = maker.take(frames.Event, event_type="estop", source="web", detail="hand", t=T + 3 * S, level="error")
    store.commit([pulse, event, Lost(maker.key, 3, 4, "killed", 0, T + 1)], {maker.key: (9, "b")})
    with open_reader(path) as reader:
        (stream,) = reader.streams()
        assert (stream.node, stream.stored_to, stream.stored, stream.published_to) == ("rig1", 4, 2, 9)
        (row,) = reader.ledger()
        assert (row.src, row.count, row.cause, row.from_seq, row.to_seq) == ("pulse", 2, "killed", 3, 4)
        events = reader.events()
        assert [(e.table, e.what, e.source, e.detail) for e in events] == [
            ("ledger", "killed", "*", "2 frames"),
            ("clock_steps", "clock_step", "boot", "-7 ns: ntp"),
            ("system_events", "estop", "web", "error: hand"),
        ]
        assert reader.events(Range(last=1)) == events[-1:]


def test_an_unknown_count_is_said_to_be_unknown(store: Store, maker: Any, path: Path) -> None:
    loss = {"stream": "pulse/import/", "unit": "edge", "count": None, "cause": "down", "from_t": 0, "to_t": 1}
    store.commit([maker.take(frames.Loss, **loss)])
    with open_reader(path) as reader:
        assert reader.ledger()[0].count is None
        assert reader.events()[0].detail == "an unknown number of edges"


def test_dbstats(store: Store, maker: Any, path: Path) -> None:
    store.commit([maker.pulse(edges=[0, 1, 2]), maker.samples()])
    with open_reader(path) as reader:
        stats = reader.dbstats()
    assert (stats.tables["pulses"], stats.tables["sample_chunks"], stats.tables["ledger"]) == (3, 1, 0)
    assert stats.bytes == path.stat().st_size
    assert stats.wal_bytes == path.with_name("rigbus.db-wal").stat().st_size > 0


def test_a_corrupt_page_is_a_store_error(store: Store, maker: Any, path: Path) -> None:
    store.commit([maker.pulse()])
    store.close()
    conn = sqlite3.connect(path)
    (page,) = conn.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'pulses'").fetchone()
    conn.close()
    with path.open("r+b") as f:
        f.seek((page - 1) * 1024)
        f.write(b"\xa5" * 1024)
    with open_reader(path) as reader, pytest.raises(StoreError, match="malformed"):
        reader.pulses()
    with pytest.raises(StoreError, match="malformed"):
        readonly.lifetime_total(path, "import")


def test_lifetime_total(path: Path, maker: Any) -> None:
    assert readonly.lifetime_total(path, "import") is None
    store = Store.open(path)
    assert readonly.lifetime_total(path, "import") is None
    store.commit([maker.pulse(total=900), maker.pulse(total=7), maker.pulse(channel="export", total=5000)])
    assert readonly.lifetime_total(path, "import") == 900
    store.close()
    assert readonly.lifetime_total(path, "import") == 900
    assert readonly.lifetime_total(path, "none") is None


def test_lifetime_total_of_no_database(path: Path) -> None:
    path.write_bytes(b"no database" * 100)
    with pytest.raises(StoreError):
        readonly.lifetime_total(path, "import")


def test_what_only_may_reach_into_the_range_does_not_count(store: Store, path: Path, maker: Any) -> None:
    store.commit(ramp(maker, 2))
    later = maker.samples(
        n=1, t=T + 10 * S, mono=10 * S, axes=["x", "y"], values=b"\x01\x00\x02\x00", unit="m/s2", dt_ns=STEP
    )
    store.commit([later])
    with open_reader(path) as reader:
        with pytest.raises(AxesChange):
            reader.samples("v")
        assert reader.samples("v", Range(from_ns=T + 10 * S)).unit == "m/s2"
        assert len(reader.samples("v", Range(to_ns=T + 10 * S)).t_ns) == 160


def test_the_newest_are_found_page_by_page(store: Store, path: Path, maker: Any, monkeypatch: Any) -> None:
    for frame in ramp(maker, 9):
        store.commit([frame])
    monkeypatch.setattr("common.store.reader._PAGE", 2)
    with open_reader(path) as reader:
        assert reader.samples("v", Range(last=250)).values[:, 0].tolist() == [i / 2 for i in range(470, 720)]
        assert len(reader.samples("v", Range(last=10_000)).t_ns) == 720
        assert len(reader.samples("v", Range(last=0)).t_ns) == 0


def test_over_lost_edges_there_is_no_power(store: Store, path: Path, maker: Any) -> None:
    store.commit(pulses_at(maker, 0, 1, 2, 3))
    gone = {"stream": "pulse/import/", "unit": "edge", "count": None, "cause": "down", "detail": ""}
    store.commit([maker.take(frames.Loss, t=T + 2 * S, from_t=T + S + 1, to_t=T + 2 * S - 1, **gone)])
    with open_reader(path) as reader:
        assert [row.watts is None for row in reader.power({"import": 1000.0})] == [True, False, True, False]
