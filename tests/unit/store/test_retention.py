"""What goes by age, what is held, and that every frame that is gone is counted as such."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from retention_rig import DAY, NOW, OLD, Keeper, Output, Rows, counts, everything

from common import clock, frames
from common.config.schema import SinkConfig
from common.sinks.output import Feed
from common.store import database, retention, schema, space
from common.store.moves import FileState, Move
from common.store.recount import recount
from common.store.writer import Store


def test_what_is_old_goes_and_what_is_kept_for_ever_stays(keeper: Keeper, maker: Any, rows: Rows) -> None:
    for t in (OLD, NOW):
        keeper.store.commit(everything(maker, t))
        keeper.store.health(maker.health(t=t, mono=1 if t == OLD else 10**15))
        keeper.store.commit([])
    keeper.store.commit([], {maker.key: (maker.seq, "b")})
    keeper.roll_up()
    before = counts(rows)
    keeper.run()
    after = counts(rows)
    gone = {name: before[name] - after.get(name, 0) for name in before if before[name] != after.get(name, 0)}
    assert gone == {
        "pulses": 3, "sample_chunks": 1, "thermostat_readings": 3, "health": 1, "dds_commands": 1, "dds_feedback": 1,
        "smoother_state": 1, "web_requests": 1, "camera_health": 1, "system_events": 1,
    }  # fmt: skip
    assert rows("SELECT pruned, stored, no_rows FROM streams") == [(9, 24, 2)]
    assert recount(keeper.path) == []


def test_recount_demands_the_deleted_frames_exactly(keeper: Keeper, maker: Any) -> None:
    keeper.store.commit(everything(maker, OLD))
    keeper.roll_up()
    keeper.run()
    for wrong in (-1, 1):
        keeper.store.work(lambda conn, d=wrong: conn.execute("UPDATE streams SET pruned = pruned + ?", (d,)))
        (fault,) = recount(keeper.path)
        assert f"12 frames are said to be stored, {12 + wrong} were found, {9 + wrong} of them deleted" in fault
        keeper.store.work(lambda conn, d=wrong: conn.execute("UPDATE streams SET pruned = pruned - ?", (d,)))
    assert recount(keeper.path) == []


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_frame_counts_when_its_last_row_goes(keeper: Keeper, maker: Any, rows: Rows, cut: int) -> None:
    """Three frames of three edges; the rows before a cut are old."""
    limit = NOW - 7 * DAY
    edges = [limit + (2 * (i - cut) + 1) * 1800 * 10**9 for i in range(9)]
    for i in (0, 3, 6):
        t = edges[i]
        keeper.store.commit([maker.pulse(t=t, edges=[e - t for e in edges[i : i + 3]], total=i + 3)])
    keeper.roll_up()
    keeper.run()
    assert rows("SELECT count(*) FROM pulses") == [(9 - cut,)]
    assert rows("SELECT pruned FROM streams") == [(cut // 3,)]
    assert recount(keeper.path) == []


def test_frames_are_counted_whatever_the_order_of_times(keeper: Keeper, maker: Any, rows: Rows) -> None:
    """Rows of a frame that go one by one, the middle one first, between those of other frames."""
    limit = NOW - 7 * DAY
    for _ in range(3):
        keeper.store.commit([maker.pulse(t=limit, edges=[3 * 10**12, 10**12, 2 * 10**12], total=3)])
    keeper.roll_up()
    seen = []
    for hours in range(3):
        keeper.retention._cfg = SinkConfig(retention_days=7 - (hours * 10**12 + 10**12 + 10**11) / DAY)
        keeper.run()
        seen.append((rows("SELECT count(*) FROM pulses")[0][0], rows("SELECT pruned FROM streams")[0][0]))
        assert recount(keeper.path) == []
    assert seen == [(6, 0), (3, 0), (0, 3)]


def test_rows_that_somebody_waits_for_stay(keeper: Keeper, maker: Any, rows: Rows) -> None:
    keeper.store.commit([maker.pulse(t=OLD, edges=[0] * 5, total=5) for _ in range(4)])
    left = lambda: rows("SELECT coalesce(min(id), 0) FROM pulses")[0][0]  # noqa: E731
    keeper.run()
    assert left() == 1, "the rollups have not had them"
    keeper.roll_up()
    keeper.outputs = [Output("csv", Feed("pulses", "t_ns")), Output("influx", Feed("sample_chunks", "t_ns"))]
    keeper.run()
    assert left() == 1, "an output that has not begun"
    keeper.deliver("csv", pulses=17)
    keeper.run({"pulses": 3})
    assert left() == 4, "the clock's gate"
    state = FileState("a.csv", "pulses", 11, 5, False, "b")
    keeper.store.commit([], moves=[Move("csv", {}, {"a.csv": state}, [], [], [], [])])
    keeper.run()
    assert left() == 11, "the rows of an open file"
    moves = [Move("csv", {}, {"a.csv": state._replace(closed=True)}, [], [], [], [])]
    keeper.store.commit([], moves=moves)
    keeper.run()
    assert left() == 18, "the output's cursor"
    keeper.outputs = []
    keeper.run()
    assert left() == 0, "an output that is switched off"
    assert recount(keeper.path) == []


def test_rows_of_the_future_hold_nothing_up(keeper: Keeper, maker: Any, rows: Rows) -> None:
    for t in (NOW + 5000 * DAY, OLD, 2**63 - 1, OLD, NOW):
        keeper.store.commit([maker.pulse(t=t), maker.samples(t=min(t, 2**62)), maker.take(frames.Event, event_type="x",
                             source="y", t=t)])  # fmt: skip
    keeper.roll_up()
    keeper.run()
    assert rows("SELECT count(*) FROM pulses WHERE t_ns < ?", NOW) == [(0,)]
    assert {n for t, n in counts(rows).items() if t in ("pulses", "sample_chunks", "system_events")} == {3}


def test_a_clock_that_leaps_ahead_deletes_nothing_at_once(
    keeper: Keeper, maker: Any, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.store.commit([maker.pulse(t=NOW)])
    keeper.roll_up()
    real, offset, wall = time.monotonic, clock.wall_minus_boot_ns(), clock.wall_ns
    monkeypatch.setattr(clock, "wall_minus_boot_ns", lambda: offset + 30 * DAY)
    monkeypatch.setattr(clock, "wall_ns", lambda: wall() + 30 * DAY)
    keeper.run()
    assert rows("SELECT count(*) FROM pulses") == [(1,)]
    monkeypatch.setattr(retention.time, "monotonic", lambda: real() + retention.JUMP_PAUSE_S + 1)
    keeper.run()
    assert rows("SELECT count(*) FROM pulses") == [(0,)]


def test_fine_rollups_go_by_their_own_age(path: Path, store: Store, maker: Any, rows: Rows) -> None:
    keeper = Keeper(path, store, rollup_1m_days=5.0, rollup_5m_days=20.0)
    keeper.store.commit([maker.pulse(t=NOW - days * DAY) for days in (0, 10, 30)])
    keeper.roll_up()
    keeper.outputs = [Output("influx", Feed("rollups", "t_ns", retained=False))]
    keeper.run()
    by_window = "SELECT window_s, count(*) FROM rollups GROUP BY window_s"
    assert dict(rows(by_window)) == {60: 3, 300: 3, 3600: 3}
    keeper.deliver("influx", rollups=9)
    keeper.run()
    assert dict(rows(by_window)) == {60: 1, 300: 2, 3600: 3}
    for_ever = Keeper(path, store, rollup_1m_days=0.0, rollup_5m_days=0.0)
    for_ever.run()
    assert dict(rows(by_window)) == {60: 1, 300: 2, 3600: 3}


def test_many_rows_go_in_short_steps(keeper: Keeper, maker: Any, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(30):
        keeper.store.commit([maker.pulse(t=OLD, edges=[0] * 400, total=400)])
    keeper.roll_up()
    monkeypatch.setattr(retention, "_STEP_S", 0.001)
    left = [12_000]
    while keeper.retention.step(keeper.store, []):
        left.append(rows("SELECT count(*) FROM pulses")[0][0])
    assert len(left) > 5
    assert rows("SELECT count(*) FROM pulses") == [(0,)]
    assert recount(keeper.path) == []
    assert not keeper.retention.step(keeper.store, [])


def test_a_file_that_is_mostly_holes_shrinks(keeper: Keeper, maker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "_NEVER_BELOW_BYTES", 100_000)
    for i in range(40):
        keeper.store.commit([maker.samples(n=5000, values=os.urandom(30_000), t=OLD, mono=i * 10**12)])
    keeper.roll_up()
    keeper.store.work(lambda conn: conn.execute(f"PRAGMA wal_autocheckpoint = {1}").fetchall())
    keeper.store.commit([maker.pulse()])
    size = os.path.getsize(keeper.path)
    keeper.run()
    assert os.path.getsize(keeper.path) < size / 2
    assert database.PAGE_SIZE == 1024
    assert recount(keeper.path) == []


def test_a_database_of_the_version_before_is_recounted_too(path: Path) -> None:
    conn = sqlite3.connect(path, isolation_level=None)
    schema.migrate(conn, schema.MIGRATIONS[:1])
    conn.execute("INSERT INTO streams (node, src, run, stored, no_rows) VALUES ('n', 's', 'r', 3, 2)")
    conn.close()
    assert recount(path) == ["n/s/r: 3 frames are said to be stored, 2 were found"]
