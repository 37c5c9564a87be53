"""What goes for want of room: in which order, past whom, no more than is needed, and accounted for to the row."""

import os
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from retention_rig import NOW, OLD, Full, Keeper, Output, Rows, counts, everything

from common.errors import StoreError
from common.sinks.output import Feed
from common.store import database, prune, retention, space
from common.store.recount import recount
from common.store.rollups import Rollups


@pytest.fixture(autouse=True)
def windows_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of these tests are of now; windows of two days would stay."""
    monkeypatch.setattr(prune, "WINDOW_KEPT_NS", -(10**15))


def test_a_window_that_late_rows_may_be_added_to_stays(
    keeper: Keeper, maker: Any, rows: Rows, full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    keeper.store.commit([maker.pulse(t=NOW, total=1), maker.pulse(t=OLD, total=2)])
    keeper.roll_up()
    full(100, 1000)
    for _ in range(50):
        keeper.retention.step(keeper.store, [])
    assert rows("SELECT t_ns > ? FROM rollups WHERE window_s = 60 AND series = 'pulse/import'", OLD + 10**12) == [(1,)]


def test_a_full_disk_takes_the_oldest_samples_first_and_pulses_last(
    keeper: Keeper, maker: Any, rows: Rows, full: Full
) -> None:
    for i in range(5):
        keeper.store.commit(everything(maker, NOW + i))
        keeper.store.health(maker.health(t=NOW, mono=10**14 * i))
    keeper.roll_up()
    full(100, 1000)
    keeper.retention._rows = 1
    order: list[str] = []
    seen = counts(rows)
    for _ in range(200):
        keeper.retention.step(keeper.store, [])
        keeper.retention._rows = 1
        now = counts(rows)
        order += [name for name in seen if now.get(name, 0) < seen[name] and name not in ("open_losses", *order)]
        seen = now
    assert order == [
        "sample_chunks", "dds_feedback", "dds_commands", "smoother_state", "thermostat_readings", "health",
        "camera_health", "web_requests", "system_events", "rollups", "pulses",
    ]  # fmt: skip
    assert {"pump_events", "ledger", "streams", "rollups"} <= seen.keys()
    assert dict(rows("SELECT DISTINCT window_s, 1 FROM rollups")) == {300: 1, 3600: 1}
    assert recount(keeper.path) == []
    assert len(keeper.lines) == 1
    for _ in range(2):  # there is nothing to be done any more
        keeper.retention._refused = True
        keeper.retention.step(keeper.store, [])
    assert [line.partition(" min")[0] for line in keeper.lines] == [
        "sink: the disk is nearly full: the oldest data goes",
        "sink: the disk is full, and no data is left that may go  [error]\n",
    ]
    # the first at once, the rest summed: nothing is deleted unaccounted for
    keeper.retention.finish(keeper.store)
    early = "SELECT stream, sum(count), min(from_t_ns), max(to_t_ns) FROM ledger WHERE cause = 'disk_full' AND unit = "
    found = {row[0]: row[1:] for row in rows(f"{early} 'row' GROUP BY stream")}
    assert found["pulses"][:2] == (15, NOW)
    assert found["sample_chunks"][0] == 5
    assert found["thermostat_readings"][0] == 15
    assert sum(row[0] for row in found.values()) == keeper.retention.deleted_early
    assert rows("SELECT count(*) FROM ledger WHERE cause = 'disk_full'")[0][0] <= len(found) + 1
    assert rows("SELECT count(*) FROM open_losses") == [(0,)]


def test_no_more_goes_than_makes_room(keeper: Keeper, maker: Any, full: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(100):
        keeper.store.commit([maker.samples(n=5000, values=os.urandom(30_000), t=NOW, mono=i * 10**12)])
    keeper.roll_up()
    keeper.store.work(lambda conn: conn.execute("PRAGMA wal_autocheckpoint = 1").fetchall())
    keeper.store.commit([maker.pulse()])
    size, floor = os.path.getsize(keeper.path), 2_000_000
    full(0, floor)
    monkeypatch.setattr(space, "free_bytes", lambda _: floor - 1 + size - os.path.getsize(keeper.path))
    for _ in range(300):
        keeper.retention.step(keeper.store, [])
    assert not keeper.retention.full
    assert 1_000_000 <= size - os.path.getsize(keeper.path) < 1_200_000
    assert recount(keeper.path) == []


def waiting_rig(keeper: Keeper, maker: Any) -> tuple[Output, Output]:
    """40 pulses: one output has 30 of them, and is writing; another waits for its server and has 10."""
    keeper.store.commit([maker.pulse(t=NOW + i, total=i) for i in range(40)])
    keeper.roll_up()
    csv = Output("csv", Feed("pulses", "t_ns"))
    influx = Output("influx", Feed("pulses", "t_ns", where="total % 2 = 0"), state="waiting")
    keeper.outputs = [csv, influx]
    keeper.deliver("csv", pulses=30)
    keeper.deliver("influx", pulses=10)
    return csv, influx


def test_an_output_that_gets_on_is_not_passed_while_there_is_time(
    keeper: Keeper, maker: Any, rows: Rows, full: Full
) -> None:
    csv, influx = waiting_rig(keeper, maker)
    full(900, 1000)
    for _ in range(20):
        keeper.retention.step(keeper.store, keeper.outputs)
    keeper.retention.finish(keeper.store)
    assert rows("SELECT min(id) FROM pulses") == [(31,)]
    sums = dict(rows("SELECT stream, sum(count) FROM ledger WHERE cause = 'disk_full' GROUP BY stream"))
    assert sums == {"pulses": 30, "influx/pulses": 10, "rollups": 1}
    assert dict(rows("SELECT output, last_id FROM output_cursors WHERE table_name = 'pulses'"))["influx"] == 30
    assert influx.skipped[-1] == ("pulses", 30)
    assert csv.skipped == []


def test_in_need_every_output_and_the_rollups_are_passed_and_each_loss_is_counted(
    keeper: Keeper, maker: Any, rows: Rows, full: Full
) -> None:
    csv, influx = waiting_rig(keeper, maker)
    keeper.store.commit([maker.pulse(t=NOW + i, total=i) for i in range(40, 50)])
    full(400, 1000)
    for _ in range(20):
        keeper.retention.step(keeper.store, keeper.outputs)
    keeper.retention.finish(keeper.store)
    assert rows("SELECT count(*) FROM pulses") == [(0,)]
    sums = dict(rows("SELECT stream, sum(count) FROM ledger WHERE cause = 'disk_full' GROUP BY stream"))
    sums.pop("rollups")
    assert sums == {"pulses": 50, "csv/pulses": 20, "influx/pulses": 20, "rollups/pulses": 10}
    cursors = rows("SELECT output, last_id FROM output_cursors WHERE table_name = 'pulses' ORDER BY output")
    assert cursors == [("csv", 50), ("influx", 50), ("rollups", 50)]
    assert csv.skipped[-1] == influx.skipped[-1] == ("pulses", 50)
    assert recount(keeper.path) == []


def test_what_was_summed_by_a_killed_sink_reaches_the_ledger(
    keeper: Keeper, maker: Any, rows: Rows, full: Full
) -> None:
    keeper.store.commit([maker.pulse(t=NOW) for _ in range(3)])
    keeper.roll_up()
    full(400, 1000)
    keeper.retention._rows = 1
    keeper.retention.step(keeper.store, [])
    assert rows("SELECT stream, count FROM ledger WHERE cause = 'disk_full'") == [("rollups", 1)]
    keeper.retention.step(keeper.store, [])
    pending = dict(rows("SELECT stream, count FROM open_losses"))
    assert pending
    full(10**9, 1000)
    next_one = Keeper(keeper.path, keeper.store)
    next_one.retention.step(keeper.store, [])
    assert rows("SELECT count(*) FROM open_losses") == [(0,)]
    total = rows("SELECT sum(count) FROM ledger WHERE cause = 'disk_full'")[0][0]
    assert total == 1 + sum(pending.values())


def test_a_store_that_refuses_makes_room_whatever_the_disk_says(keeper: Keeper, maker: Any, rows: Rows) -> None:
    for i in range(20):
        keeper.store.commit([maker.samples(n=5000, values=os.urandom(30_000), t=NOW, mono=i * 10**12)])
    keeper.roll_up()
    conn = keeper.store._connection()
    conn.execute(f"PRAGMA max_page_count = {conn.execute('PRAGMA page_count').fetchone()[0]}")
    for i in range(20, 40):
        items = [maker.samples(n=5000, values=os.urandom(30_000), t=NOW, mono=i * 10**12)]
        for _ in range(10):
            try:
                keeper.store.commit(items)
                break
            except StoreError as e:
                keeper.retention.refused(e)
                keeper.retention.step(keeper.store, [])
        else:
            pytest.fail("no room was made")
    assert 5 < rows("SELECT count(*) FROM sample_chunks")[0][0] < 25
    assert len([line for line in keeper.lines if "nearly full" in line]) == 1


def test_the_end_of_a_full_disk_is_told_after_a_calm_hour(
    keeper: Keeper, maker: Any, full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.store.commit([maker.pulse(t=NOW) for _ in range(30)])
    keeper.roll_up()
    for _ in range(5):
        full(400, 1000)
        keeper.retention._rows = 3
        keeper.retention.step(keeper.store, [])
        full(10**9, 1000)
        keeper.retention.step(keeper.store, [])
    assert len(keeper.lines) == 1
    conn = keeper.store._connection()
    assert conn.execute("PRAGMA wal_autocheckpoint").fetchone()[0] == database.WAL_PAGES
    real = time.monotonic
    monkeypatch.setattr(retention.time, "monotonic", lambda: real() + retention.CALM_S + 1)
    keeper.retention.step(keeper.store, [])
    assert "room on the disk again rows_deleted_early=" in keeper.lines[1]


def test_where_others_fill_the_disk_half_of_what_is_left_is_for_rows(
    keeper: Keeper, maker: Any, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(40):
        keeper.store.commit([maker.samples(n=5000, values=os.urandom(30_000), t=NOW, mono=i * 10**12)])
    keeper.roll_up()
    keeper.store.work(lambda conn: conn.execute("PRAGMA wal_autocheckpoint = 1").fetchall())
    keeper.store.commit([maker.pulse()])
    size = os.path.getsize(keeper.path)
    monkeypatch.setattr(space, "free_bytes", lambda _: size - os.path.getsize(keeper.path))
    for _ in range(100):
        keeper.retention.step(keeper.store, [])
    assert 0.2 < os.path.getsize(keeper.path) / size < 0.55
    assert rows("SELECT min(id) FROM sample_chunks")[0][0] > 20


@pytest.mark.parametrize(("given", "share"), [(0.0, 0.05), (1e9, 0.5)])
def test_the_floor_is_never_more_than_a_disk_can_have(tmp_path: Path, given: float, share: float) -> None:
    found = os.statvfs(tmp_path)
    disk = found.f_blocks * found.f_frsize
    assert space.floor_bytes(tmp_path, given) == int(min(disk * share, 256e6 if not given else disk))
    assert space.floor_bytes(tmp_path, 2.0) == min(2_000_000, disk // 2)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_comes_the_account_is_exact(keeper: Keeper, maker: Any, rows: Rows, full: Full, seed: int) -> None:
    """Commits, deliveries, age and want of room in any order: rows are there, went in time, or are in the ledger."""
    rng = random.Random(seed)
    outputs = {name: Output(name, Feed("pulses", "t_ns"), Feed("sample_chunks", "t_ns")) for name in ("a", "b")}
    keeper.outputs = list(outputs.values())
    due: dict[str, int] = {}
    for _ in range(80):
        match rng.randrange(6):
            case 0 | 1:
                t = rng.choice([NOW, NOW, OLD])
                pulse = maker.pulse(t=t, edges=[0] * rng.randrange(5), total=5)
                samples = [maker.samples(t=t, mono=rng.randrange(10**15)) for _ in range(rng.randrange(2))]
                keeper.store.commit([pulse, *samples])
            case 2:
                name, table = rng.choice("ab"), rng.choice(["pulses", "sample_chunks"])
                top = rows(f"SELECT coalesce(max(id), 0) FROM {table}")[0][0]
                keeper.deliver(name, **{table: rng.randrange(top + 1)})
            case 3:
                Rollups({}).step(keeper.store, now=True)
            case 4:
                full(10**9, 1000)
                keeper.run()
            case 5:
                full(rng.choice([400, 400, 900]), 1000)
                outputs[rng.choice("ab")].state = rng.choice(["writing", "waiting"])
                keeper.retention._rows = rng.randrange(1, 20)
                young = {row[0] for row in rows("SELECT id FROM pulses WHERE t_ns >= ?", NOW)}
                cursors = dict(rows("SELECT output, last_id FROM output_cursors WHERE table_name = 'pulses'"))
                all_ids = {row[0] for row in rows("SELECT id FROM pulses")}
                keeper.retention.step(keeper.store, keeper.outputs)
                gone = all_ids - {row[0] for row in rows("SELECT id FROM pulses")}
                for name in ("a", "b", "rollups"):
                    missed = sum(rowid > cursors.get(name, 0) for rowid in gone)
                    due[f"{name}/pulses"] = due.get(f"{name}/pulses", 0) + missed
                due["pulses"] = due.get("pulses", 0) + len(gone & young)
        assert recount(keeper.path) == []
    keeper.retention.finish(keeper.store)
    found = dict(rows("SELECT stream, sum(count) FROM ledger WHERE cause = 'disk_full' GROUP BY stream"))
    assert {stream: n for stream, n in due.items() if n} == {s: n for s, n in found.items() if s in due}
    assert sum(due.values()) > 0


def test_a_reader_that_holds_the_log_is_said_and_its_debt_is_no_free_space(
    keeper: Keeper, maker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LONG_LOG_BYTES", 1 << 20)
    keeper.store.commit([maker.pulse()])
    reader = sqlite3.connect(f"file:{keeper.path}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM pulses").fetchone()
    for i in range(60):
        keeper.store.commit([maker.samples(n=5000, values=os.urandom(30_000), t=NOW, mono=i * 10**12)])
    size = os.path.getsize(keeper.path)
    assert keeper.store.owed_bytes() > 1_500_000
    for _ in range(2):
        keeper.retention.step(keeper.store, [])
    assert [line for line in keeper.lines if "one long transaction" in line] == keeper.lines
    assert len(keeper.lines) == 1
    reader.close()
    keeper.store.work(lambda conn: None)
    keeper.store._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # type: ignore[union-attr]
    assert keeper.store.owed_bytes() == 0
    assert os.path.getsize(keeper.path) > size
    keeper.retention.step(keeper.store, [])
    assert "is short again" in keeper.lines[-1]
