"""Locked, full, failing, replaced: nothing is half stored, and no caller opens the store again."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import StoreError
from common.store.items import Cursor, Lost
from common.store.writer import Store


class Faulty:
    """A connection whose next COMMIT fails with an I/O error: before or after it took effect, as a disk can."""

    def __init__(self, conn: sqlite3.Connection, *, took_effect: bool) -> None:
        self._conn = conn
        self._took_effect = took_effect

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            if self._took_effect:
                self._conn.execute(sql)
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return self._conn.execute(sql, *args)


@pytest.mark.parametrize(("name", "number"), [("full", 2), ("extra", 3)])
def test_a_commit_is_synced(path: Path, name: Any, number: int) -> None:
    store = Store.open(path, synchronous=name)
    assert store._connection().execute("PRAGMA synchronous").fetchone() == (number,)
    assert store._connection().execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_locked_by_another_writer(store: Store, path: Path, maker: Any, rows: Any) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    items = [maker.pulse(), maker.pulse()]
    with pytest.raises(StoreError, match="locked"):
        store.commit(items, {maker.key: (9, "b")})
    other.execute("ROLLBACK")
    assert rows("SELECT (SELECT count(*) FROM pulses), (SELECT count(*) FROM streams)") == [(0, 0)]
    assert store.cursors() == {}
    store.commit(items)
    assert store.cursors() == {maker.key: Cursor(2, 0)}
    other.close()


def test_what_was_due_is_written_after_a_failed_commit(store: Store, path: Path, maker: Any, rows: Any) -> None:
    store.health(maker.health())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError):
        store.commit([])
    other.close()
    store.commit([])
    assert rows("SELECT count(*) FROM health") == [(1,)]


def test_locked_at_open(path: Path, maker: Any) -> None:
    Store.open(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked"):
        Store.open(path, busy_ms=10)
    other.close()
    assert os.listdir(path.parent) == ["rigbus.db"]


def test_a_full_disk_stores_nothing_and_ends_by_itself(store: Store, maker: Any, rows: Any) -> None:
    store.commit([maker.pulse()])
    conn = store._connection()
    pages = conn.execute("PRAGMA page_count").fetchone()[0]
    conn.execute(f"PRAGMA max_page_count = {pages + 2}")
    big = [maker.samples(n=5000, values=os.urandom(30_000)), maker.pulse()]
    with pytest.raises(StoreError, match="full"):
        store.commit(big)
    assert rows("SELECT (SELECT count(*) FROM pulses), (SELECT count(*) FROM sample_chunks)") == [(1, 0)]
    assert store.cursors() == {maker.key: Cursor(1, 0)}
    conn.execute("PRAGMA max_page_count = 100000")
    store.commit(big)
    assert store.cursors() == {maker.key: Cursor(3, 0)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.root
def test_a_really_full_disk(small_disk: Path, maker: Any) -> None:
    store = Store.open(small_disk / "rigbus.db")
    ballast = small_disk / "ballast"
    free = os.statvfs(small_disk)
    ballast.write_bytes(bytes(free.f_bavail * free.f_frsize))
    items = [maker.samples(n=5000, values=os.urandom(30_000)) for _ in range(5)]
    for _ in range(3):
        with pytest.raises(StoreError):
            store.commit(items)
        assert store.cursors() == {}
    ballast.unlink()
    store.commit(items)
    assert store.cursors() == {maker.key: Cursor(5, 0)}
    store.close()
    assert os.listdir(small_disk) == ["rigbus.db"]


@pytest.mark.root
def test_no_room_to_make_a_database(small_disk: Path) -> None:
    free = os.statvfs(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(free.f_bavail * free.f_frsize))
    with pytest.raises(StoreError):
        Store.open(small_disk / "rigbus.db")
    ballast.unlink()
    Store.open(small_disk / "rigbus.db").close()
    assert os.listdir(small_disk) == ["rigbus.db"]


def test_an_io_error_before_the_commit_took_effect(store: Store, maker: Any, rows: Any) -> None:
    store.commit([maker.pulse()])
    item = maker.pulse()
    store._conn = Faulty(store._connection(), took_effect=False)  # type: ignore[assignment]
    with pytest.raises(StoreError, match="I/O"):
        store.commit([item])
    store.commit([item])
    assert rows("SELECT frame_seq FROM pulses") == [(1,), (2,)]


def test_an_io_error_after_the_commit_took_effect_doubles_nothing(
    store: Store, maker: Any, rows: Any, path: Path
) -> None:
    store.commit([maker.pulse()])
    item = maker.pulse()
    store._conn = Faulty(store._connection(), took_effect=True)  # type: ignore[assignment]
    with pytest.raises(StoreError, match="I/O"):
        store.commit([item])
    with pytest.raises(StoreError, match="opened anew"):
        store.commit([item])
    assert path.with_name("rigbus.db-wal").stat().st_size == 0  # all was written again, and synced
    assert store.cursors() == {maker.key: Cursor(2, 0)}
    store.commit([maker.pulse()])
    assert rows("SELECT frame_seq FROM pulses") == [(1,), (2,), (3,)]


def test_readers_that_hold_up_the_rewriting_are_waited_for(store: Store, maker: Any, path: Path) -> None:
    store.commit([maker.pulse()])
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM pulses").fetchall()
    store._conn = Faulty(store._connection(), took_effect=False)  # type: ignore[assignment]
    item = maker.pulse()
    with pytest.raises(StoreError, match="I/O"):
        store.commit([item])
    with pytest.raises(StoreError, match="readers"):
        store.cursors()
    reader.close()
    store.commit([item])


def test_a_log_left_by_a_killed_writer_is_synced_before_its_cursors_are_told(
    store: Store, maker: Any, path: Path, tmp_path: Path, synced: list[str]
) -> None:
    store.commit([maker.pulse()])
    left = tmp_path / "left" / "rigbus.db"
    left.parent.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{left}{suffix}")
    synced.clear()
    again = Store.open(left)
    assert again.cursors() == {maker.key: Cursor(1, 0)}
    assert synced == [f"{left}-wal"]
    again.close()


def test_a_new_database_is_on_the_disk(path: Path, synced: list[str]) -> None:
    Store.open(path).close()
    assert synced[:2] == [f"{path}.new", str(path.parent)]


def test_an_interrupted_making_leaves_no_trace(path: Path) -> None:
    for suffix in (".new", ".new-wal", ".new-journal"):
        Path(f"{path}{suffix}").write_bytes(b"half")
    Store.open(path).close()
    assert os.listdir(path.parent) == ["rigbus.db"]


@pytest.mark.parametrize("replace", [True, False])
def test_a_database_that_was_removed_or_replaced(path: Path, maker: Any, tmp_path: Path, replace: bool) -> None:
    store = Store.open(path)
    store.commit([maker.pulse()])
    if replace:
        Store.open(tmp_path / "other.db").close()
        os.rename(tmp_path / "other.db", path)
        for suffix in ("-wal", "-shm"):
            os.unlink(f"{path}{suffix}")
    else:
        for suffix in ("", "-wal", "-shm"):
            os.unlink(f"{path}{suffix}")
    with pytest.raises(StoreError, match="opened anew"):
        store.commit([maker.pulse()])
    assert store.cursors() == {}
    store.commit([Lost(maker.key, 1, 2, "trimmed", 0, 0)])
    store.close()


def test_two_writers_never_store_a_number_twice(path: Path, maker: Any, rows: Any) -> None:
    one, two = Store.open(path), Store.open(path)
    first = maker.pulse()
    one.commit([first])
    with pytest.raises(StoreError, match="another writer"):
        two.commit([first])
    assert two.cursors() == {maker.key: Cursor(1, 0)}
    second = maker.pulse()
    two.commit([second])
    with pytest.raises(StoreError, match="another writer"):
        one.commit([second])
    assert one.cursors() == {maker.key: Cursor(2, 0)}
    assert rows("SELECT frame_seq FROM pulses") == [(1,), (2,)]
    one.close()
    two.close()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"rigbus\.db"):
        Store.open(tmp_path / "none" / "rigbus.db")
