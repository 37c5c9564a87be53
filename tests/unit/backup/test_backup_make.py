"""What a backup holds, who may read it, which ones stay."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from backup_place import Place

from common.backup import contents
from common.errors import RigbusError

WHOLE = {
    *("rigbus.db", "data/journal/pulse/counter", "data/journal/pulse/segments/seg-0000000001"),
    *("data/pump/pump.db", "data/pump/estop", "config/rigbus.toml", "config/conf.d/own.toml"),
}


def test_it_holds_what_it_takes_to_bring_a_rig_back(place: Place, tmp_path: Path) -> None:
    (place.folders.data / "csv").mkdir()
    (place.folders.data / "csv/pulses.csv").write_text("time\n")
    made = place.backup(tmp_path / "b").path
    manifest = contents.read(made)
    assert {part.path for part in manifest.parts} == WHOLE
    assert {str(p.relative_to(made)) for p in made.rglob("*") if p.is_file()} == {*WHOLE, "backup.json"}
    assert all(contents.sha256(made / part.path) == part.sha256 for part in manifest.parts)
    assert (manifest.node, manifest.main, manifest.secrets) == ("rig1", "rigbus.toml", False)
    with closing(sqlite3.connect(made / "rigbus.db")) as conn:
        assert conn.execute("SELECT max(total), count(*) FROM pulses").fetchone() == (10, 10)
        assert conn.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_nobody_else_may_read_it_and_secrets_come_only_where_asked_for(place: Place, tmp_path: Path) -> None:
    made = place.backup(tmp_path / "b", secrets=True).path
    assert (made.stat().st_mode & 0o777, (made / "config/.env").stat().st_mode & 0o777) == (0o700, 0o600)
    assert contents.read(made).secrets
    for path in place.backup(tmp_path / "c").path.rglob("*"):
        assert path.is_dir() or b"geheim" not in path.read_bytes()


def test_the_newest_stay(place: Place, make_place: Callable[..., Place], tmp_path: Path) -> None:
    into = tmp_path / "b"
    (into / "rigbus-rig1-mine").mkdir(parents=True)
    other = make_place("other", 'node = "rig1-b"\n')
    shutil.copytree(place.folders.data, other.folders.data)
    foreign = other.backup(into).path
    made = [place.backup(into).path for _ in range(3)]
    last = place.backup(into, keep=2)
    assert last.removed == made[:2]
    left = {path.name for path in into.glob("rigbus-*")}
    assert left == {"rigbus-rig1-mine", foreign.name, made[2].name, last.path.name}


def test_the_one_just_made_stays_though_the_clock_was_ahead(place: Place, tmp_path: Path) -> None:
    into = tmp_path / "b"
    ahead = place.backup(into).path
    document = json.loads((ahead / "backup.json").read_text())
    (ahead / "backup.json").write_text(json.dumps({**document, "t_ns": document["t_ns"] + 10**18}))
    made = place.backup(into, keep=1)
    assert (made.path.exists(), made.removed) == (True, [ahead])


def test_one_that_fails_leaves_nothing_and_deletes_nothing(place: Place, tmp_path: Path) -> None:
    into = tmp_path / "b"
    good = place.backup(into).path
    data = bytearray(place.folders.store.read_bytes())
    data[8 * 1024 : 60 * 1024] = bytes(52 * 1024)
    place.folders.store.write_bytes(data)
    with pytest.raises(RigbusError, match=r"damaged|malformed"):
        place.backup(into, keep=1)
    assert sorted(into.iterdir()) == [into / ".rigbus-backup.lock", good]


def test_what_a_killed_one_left_goes_with_the_next(place: Place, tmp_path: Path) -> None:
    left = tmp_path / "b/.rigbus-rig1-20200101T000000Z.partial"
    left.mkdir(parents=True)
    (left / "rigbus.db").write_bytes(b"half")
    place.backup(tmp_path / "b")
    assert not left.exists()


def test_without_a_database_there_is_nothing_to_back_up(place: Place, tmp_path: Path) -> None:
    place.folders.store.unlink()
    with pytest.raises(RigbusError, match="no database there"):
        place.backup(tmp_path / "b")
    assert not list((tmp_path / "b").glob("*rigbus-rig1*"))


def test_a_disk_without_room_is_told_before_anything_is_written(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: Any) -> int:
        return 1000

    monkeypatch.setattr("common.store.space.free_bytes", none)
    with pytest.raises(RigbusError, match="are free"):
        place.backup(tmp_path / "b")
    assert not list((tmp_path / "b").glob("*rigbus-rig1*"))
