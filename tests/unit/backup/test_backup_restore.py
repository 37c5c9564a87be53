"""What a restore puts back, leaves and refuses; and that nothing which it puts back passes for newer than it is."""

import json
import lzma
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backup_place import CONFIG, RUN, Place

from common.backup import contents
from common.backup.rejoin import BEYOND, NOT_NEW
from common.config.load import load
from common.errors import RigbusError
from common.journal.counter import disown, read_counter, read_journal_id
from common.journal.entries import Limits
from common.journal.recover import open_journal
from common.journal.state import KILLED, UNKNOWABLE
from common.latch import Latch
from common.log import Log
from common.paths import Lock, require_whole
from common.runtime import Runtime
from common.store.writer import Store

LIMITS = Limits(1 << 20, 60.0, 1.0, True, ("sink",))
Rows = Callable[..., list[Any]]
MakePlace = Callable[..., Place]


@pytest.fixture
def made(place: Place, tmp_path: Path) -> Path:
    return place.backup(tmp_path / "b").path


@pytest.fixture
def new(make_place: MakePlace) -> Place:
    """An empty card."""
    return make_place("new")


def snapshot_of(folder: Path) -> dict[str, bytes]:
    found = (p for p in folder.rglob("*") if p.is_file() and "lock" not in p.name)
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def end_of_run(place: Place) -> tuple[int, int, str]:
    """(closed, last, cause of the loss) that the next start of the pulse daemon finds out of the run."""
    counter = place.folders.counters("pulse") / "counter"
    slots = read_counter(counter)
    folder = place.folders.journal("pulse", "disk")
    journal = open_journal(folder, LIMITS, "f" * 16, slots, read_journal_id(counter))
    journal.release()
    [run] = [run for run in journal.state.runs if run.id == RUN]
    return run.closed, run.last, journal.losses[0].cause


def test_an_empty_card_gets_all_of_it(made: Path, new: Place, rows: Rows) -> None:
    done = new.restore(made)
    assert (done.put, done.stayed, done.aside) == (["journal/pulse", "pump"], [], None)
    data = new.folders.data
    assert rows(data / "rigbus.db", "SELECT max(total) FROM pulses") == [(10,)]
    assert (data / "pump/pump.db").exists()
    segment = "journal/pulse/segments/seg-0000000001"
    assert (data / segment).read_bytes() == (made / "data" / segment).read_bytes()
    assert not (data / "restoring").exists()
    assert not (new.loaded.sources[0].parent / "conf.d/own.toml").exists()
    assert rows(data / "rigbus.db", "SELECT unit, count, from_t_ns FROM ledger WHERE cause = 'restored'") == [
        ("row", None, contents.read(made).t_ns)
    ]


def test_a_run_that_was_open_went_on_and_nobody_knows_how_far(made: Path, new: Place) -> None:
    """The same boot as then: its counter would make a killed run of it, with an exact count."""
    new.restore(made)
    assert end_of_run(new) == (UNKNOWABLE, 16, "power_cut")


def test_without_that_the_count_would_be_wrong(place: Place) -> None:
    assert end_of_run(place) == (KILLED, 16, "killed")


def test_a_counter_that_is_disowned_keeps_all_else(place: Place, tmp_path: Path) -> None:
    path = place.folders.counters("pulse") / "counter"
    before, journal_id = read_counter(path), read_journal_id(path)
    disown(path)
    assert read_counter(path) == [slot._replace(boot_id="0" * 32) for slot in before]
    assert read_journal_id(path) == journal_id
    (tmp_path / "no counter").write_bytes(b"x" * 5000)
    disown(tmp_path / "no counter")
    assert (tmp_path / "no counter").read_bytes() == b"x" * 5000


def test_what_is_there_stays_as_it_knows_more(place: Place, made: Path, rows: Rows) -> None:
    place.store(11, 15)
    shutil.copy(place.folders.store, place.folders.data / "copy.db")
    with pytest.raises(RigbusError, match="--force"):
        place.restore(made)
    done = place.restore(made, force=True)
    assert (done.put, done.stayed, done.latched) == ([], ["journal/pulse", "pump"], [])
    assert done.aside is not None
    assert (done.aside / "rigbus.db").read_bytes() == (place.folders.data / "copy.db").read_bytes()
    assert rows(place.folders.store, "SELECT max(total) FROM pulses") == [(10,)]
    assert end_of_run(place) == (KILLED, 16, "killed")


def test_nothing_that_was_set_aside_is_overwritten(
    place: Place, made: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.backup.restore.time.strftime", lambda *_: "20260101T000000Z")
    place.store(11, 15)
    first, second = (place.restore(made, force=True).aside for _ in range(2))
    assert first is not None
    assert second is not None
    asked = [rows(aside / "rigbus.db", "SELECT max(total) FROM pulses") for aside in (first, second)]
    assert asked == [[(15,)], [(10,)]]


def test_all_is_put_back_where_that_is_asked_for(place: Place, made: Path) -> None:
    (place.folders.data / "pump/pump.db").write_bytes(b"newer")
    in_memory = place.folders.run / "journal/pulse/segments/seg-0000000007"
    in_memory.parent.mkdir(parents=True)
    in_memory.write_bytes(b"of a place that was changed since")
    with pytest.raises(RigbusError, match=r"rigbus\.db.*journal/pulse.*pump"):
        place.restore(made, all=True)
    done = place.restore(made, all=True, force=True)
    assert (done.put, done.stayed) == (["journal/pulse", "pump"], [])
    assert done.aside is not None
    assert (done.aside / "pump/pump.db").read_bytes() == b"newer"
    assert (done.aside / "run/journal/pulse/segments/seg-0000000007").exists()
    assert not in_memory.exists()
    assert (place.folders.data / "pump/pump.db").read_bytes() == (made / "data/pump/pump.db").read_bytes()


# ---- the emergency stop


def test_records_out_of_a_backup_set_the_emergency_stop(place: Place, new: Place, tmp_path: Path) -> None:
    """Which commands were run since, and how much of a day's volume, is not in them."""
    Latch(place.folders.data / "pump").clear()
    done = new.restore(place.backup(tmp_path / "b").path)
    assert done.latched == ["pump"]
    assert Latch(new.folders.data / "pump").is_set()
    assert "restored" in Latch(new.folders.data / "pump").reason()


def test_one_that_was_set_is_set_again_with_its_reason(made: Path, new: Place) -> None:
    new.restore(made)
    assert Latch(new.folders.data / "pump").reason() == "by hand"


def test_one_that_is_set_now_stays(place: Place, new: Place, tmp_path: Path) -> None:
    Latch(place.folders.data / "pump").clear()
    made = place.backup(tmp_path / "b").path
    Latch(new.folders.data / "pump").set("now")
    new.restore(made)
    assert Latch(new.folders.data / "pump").is_set()


def test_one_that_was_undone_since_is_not_set_again_where_the_records_stay(place: Place, made: Path) -> None:
    Latch(place.folders.data / "pump").clear()
    place.restore(made, force=True)
    assert not Latch(place.folders.data / "pump").is_set()


# ---- ids and cursors


def test_no_id_is_given_twice_and_the_gap_is_no_loss(place: Place, new: Place, tmp_path: Path, rows: Rows) -> None:
    store = Store.open(place.folders.store)
    cursors = [("influx", "pulses", 10), ("influx", "pulses/counted", 10), ("influx", "health", 0)]
    cursors += [("csv", "pulses", 10), ("csv", "pulses/counted", 0), ("csv", "ledger", 0), ("slow", "pulses", 4)]
    sql = "INSERT INTO output_cursors (output, table_name, last_id) VALUES (?, ?, ?)"
    store.work(lambda conn: conn.executemany(sql, cursors))
    sql = "INSERT INTO output_files (output, path, table_name, first_id, bytes, boot_id) VALUES (?, ?, ?, ?, ?, ?)"
    store.work(lambda conn: conn.execute(sql, ("csv", "pulses/x.csv", "pulses", 1, 5, "b")))
    store.close()
    new.restore(place.backup(tmp_path / "b").path)
    found = {(o, t): n for o, t, n in rows(new.folders.store, "SELECT output, table_name, last_id FROM output_cursors")}
    assert found["influx", "pulses"] == 10 + BEYOND
    assert found["csv", "pulses"] == 10
    assert found["slow", "pulses"] == 4
    assert found["influx", "health"] == found["csv", "ledger"] == found["csv", "pump_events"] == NOT_NEW
    assert {n for (_, table), n in found.items() if table == "pulses/counted"} == {10 + BEYOND}
    given = dict(rows(new.folders.store, "SELECT name, seq FROM sqlite_sequence"))
    assert (given["pulses"], given["camera_health"]) == (10 + BEYOND, BEYOND)
    new.store(11, 12)
    assert rows(new.folders.store, "SELECT id FROM pulses WHERE id > 10") == [(11 + BEYOND,), (12 + BEYOND,)]


# ---- refusals


def test_a_rig_that_runs_is_left_alone(made: Path, new: Place) -> None:
    new.folders.make()
    lock = Lock(new.folders.run / "pulse.lock")
    with pytest.raises(RigbusError, match="pulse"):
        new.restore(made)
    lock.release()
    lock = Lock(new.folders.run / "run.lock")
    with pytest.raises(RigbusError, match="stop it first"):
        new.restore(made)
    lock.release()
    new.restore(made)


@pytest.mark.parametrize("part", ["rigbus.db", "data/pump/pump.db", "config/conf.d/own.toml"])
@pytest.mark.parametrize("how", ["flipped", "gone"])
def test_a_damaged_backup_changes_nothing(place: Place, made: Path, part: str, how: str) -> None:
    data = bytearray((made / part).read_bytes())
    data[-10] ^= 1
    (made / part).write_bytes(data)
    if how == "gone":
        (made / part).unlink()
    configured = place.loaded.sources[0].parent
    for file in (configured / "rigbus.toml", configured / "conf.d/own.toml"):
        file.write_text(file.read_text() + "# newer\n")
    before = snapshot_of(configured)
    with pytest.raises((RigbusError, FileNotFoundError), match=part):
        place.restore(made, force=True, all=True, config=True)
    assert snapshot_of(configured) == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": 2}, "format 2"),
        ({"schema": 99, "rigbus": "9.1"}, "newer rigbus (9.1): its database has schema version 99"),
        ({"parts": []}, "without a database"),
        ({"parts": [{"path": "../x", "bytes": 1, "sha256": ""}]}, "does not lie in the backup"),
        ({"parts": [{"path": "/etc/x", "bytes": 1, "sha256": ""}]}, "does not lie in the backup"),
        ({"node": 5}, "backup.json: Expected `str`"),
    ],
    ids=["format", "schema", "empty", "outside", "absolute", "no backup"],
)
def test_a_backup_that_cannot_be_read_is_refused_in_one_line(
    made: Path, new: Place, change: dict[str, Any], told: str
) -> None:
    path = made / "backup.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RigbusError) as found:
        new.restore(made)
    assert told in str(found.value)
    assert "\n" not in str(found.value)
    assert not new.folders.store.exists()


def test_the_folder_that_backups_are_in_is_none(made: Path, new: Place) -> None:
    with pytest.raises(RigbusError, match=f"the newest below it: {made}"):
        new.restore(made.parent)


# ---- cut short


@pytest.mark.parametrize("src", ["sink", "pump"])
def test_until_it_is_done_again_nothing_starts(made: Path, new: Place, rows: Rows, src: str) -> None:
    left = new.folders.data / "restoring"
    left.mkdir(parents=True)
    (left / "rigbus.db").write_bytes(b"half")
    with pytest.raises(RigbusError, match="cut short; run `rigbus restore` again"):
        Runtime(src, new.loaded.config, new.folders, Log(src), journaled=src != "sink")
    assert not new.folders.store.exists()
    new.restore(made)
    assert not left.exists()
    require_whole(new.folders.data)
    assert rows(new.folders.store, "SELECT max(total) FROM pulses") == [(10,)]


@pytest.mark.parametrize("left", ["restoring", "restoring.new"])
def test_what_one_leaves_that_was_cut_short_before_or_after_is_in_nobodys_way(
    place: Place, made: Path, left: str
) -> None:
    (place.folders.data / left / "data").mkdir(parents=True)
    if left == "restoring.new":
        (place.folders.data / left / "rigbus.db").write_bytes(b"half")
    require_whole(place.folders.data)
    place.restore(made, force=True)
    assert not list(place.folders.data.glob("restoring*"))


# ---- earlier versions, and the configuration


def test_a_backup_of_an_earlier_version_is_brought_up_to_date(place: Place, new: Place, rows: Rows) -> None:
    old = lzma.decompress((Path(__file__).parents[2] / "data/schema/v1.db.xz").read_bytes())
    place.folders.store.write_bytes(old)
    made = place.backup(place.folders.data / "b").path
    assert (contents.read(made).schema, (made / "rigbus.db").exists()) == (1, True)
    new.restore(made)
    assert rows(new.folders.store, "PRAGMA user_version") == [(2,)]
    assert rows(new.folders.store, "SELECT count(*) FROM thermostat_readings") == [(34,)]


def test_the_configuration_comes_back_and_what_was_there_is_set_aside(place: Place, new: Place, tmp_path: Path) -> None:
    made = place.backup(tmp_path / "b", secrets=True).path
    here = new.loaded.sources[0].parent
    (here / "rigbus.toml").write_text("# mine\n" + CONFIG)
    (here / "conf.d/other.toml").write_text("[sink]\ncommit_s = 5\n")
    new = new._replace(loaded=load(str(here / "rigbus.toml")))
    placed = new.restore(made, config=True).config
    assert {path.name for path in placed.put} == {"rigbus.toml", "own.toml", ".env"}
    assert (here / "rigbus.toml").read_text() == CONFIG
    [aside] = placed.aside
    assert aside.read_text() == "# mine\n" + CONFIG
    assert aside.suffix != ".toml"
    assert (here / ".env").stat().st_mode & 0o777 == 0o600
    assert placed.others == [here / "conf.d/other.toml"]
    again = new.restore(made, config=True, force=True).config
    assert (again.put, again.aside) == ([], [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_it_belongs_to_whom_the_data_folder_belongs_to(made: Path, new: Place, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    new.folders.make()
    for folder in new.folders:
        os.chown(folder, 12345, 23456)
        folder.chmod(0o2770)
    new.restore(made)
    for path in new.folders.data.rglob("*"):
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (12345, 23456), path
        assert found.st_mode & 0o7777 == (0o2770 if path.is_dir() else 0o660), path
