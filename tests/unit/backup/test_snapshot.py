"""A copy of an SQLite file while others write: of one instant, whole, checked, and never at any price."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from common.backup import snapshot as module
from common.backup.snapshot import snapshot
from common.errors import RigbusError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A database in WAL mode, with two tables that always have as many rows."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA page_size = 1024")
        conn.execute("PRAGMA auto_vacuum = INCREMENTAL")
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("CREATE TABLE a (x)")
        conn.execute("CREATE TABLE b (x)")
        conn.executemany("INSERT INTO a VALUES (?)", [("x" * 500,)] * 300)
        conn.executemany("INSERT INTO b VALUES (?)", [("x" * 500,)] * 300)
        conn.commit()
    return path


@contextmanager
def writing(path: Path) -> Iterator[threading.Event]:
    """Somebody who commits all the time; the event is set after the first commit."""
    ended, begun = threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=10)) as conn:
            while not ended.is_set():
                with conn:
                    for table in ("a", "b"):
                        conn.execute(f"INSERT INTO {table} VALUES (?)", ("y" * 2000,))
                begun.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert begun.wait(30)
        yield begun
    finally:
        ended.set()
        thread.join()


def counts(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as conn:
        return [conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("a", "b")]


def test_it_is_of_one_instant_though_it_is_made_in_steps(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEP_PAGES", 20)
    steps: list[tuple[int, int]] = []
    copies = [tmp_path / f"copy{i}.db" for i in range(5)]
    with writing(source):
        for copy in copies:
            snapshot(source, copy, lambda done, of: steps.append((done, of)))
    for copy in copies:
        a, b = counts(copy)
        assert a == b > 300
    assert len(steps) > 5 * 10
    assert all(done <= of for done, of in steps)
    with closing(sqlite3.connect(copies[-1])) as conn:
        found = [conn.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "auto_vacuum", "journal_mode")]
    assert found == [1024, 2, "delete"]
    assert not list(tmp_path.glob("copy*-*"))


def test_a_copy_that_takes_too_long_is_given_up(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer's log cannot begin anew meanwhile."""
    monkeypatch.setattr(module, "STEP_PAGES", 1)
    monkeypatch.setattr(module, "MAX_LOG_BYTES", 50_000)
    with writing(source), pytest.raises(RigbusError, match="too slow"):
        snapshot(source, tmp_path / "copy.db")


def test_what_begins_to_be_written_meanwhile_is_read_anew(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that nobody has open is read as it stands; who opens it then may change it under the reader."""
    monkeypatch.setattr(module, "STEP_PAGES", 50)
    wrote: list[int] = []

    def told(done: int, of: int) -> None:
        if not wrote:
            wrote.append(1)
            with closing(sqlite3.connect(source)) as conn, conn:
                for table in ("a", "b"):
                    conn.execute(f"DELETE FROM {table}")
                    conn.execute(f"INSERT INTO {table} VALUES (1)")

    snapshot(source, tmp_path / "copy.db", told)
    assert counts(tmp_path / "copy.db") == [1, 1]


def test_who_never_stops_opening_and_closing_is_told(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEP_PAGES", 50)

    def told(done: int, of: int) -> None:
        with closing(sqlite3.connect(source)) as conn, conn:
            conn.execute("INSERT INTO a VALUES (1)")

    with pytest.raises(RigbusError, match="all the time"):
        snapshot(source, tmp_path / "copy.db", told)


def test_a_damaged_database_makes_no_copy(source: Path, tmp_path: Path) -> None:
    data = bytearray(source.read_bytes())
    data[20 * 1024 : 60 * 1024] = bytes(40 * 1024)
    source.write_bytes(data)
    with pytest.raises(RigbusError, match=r"damaged|malformed"):
        snapshot(source, tmp_path / "copy.db")


@pytest.mark.parametrize("what", ["nothing", "a text", "a folder"])
def test_what_is_no_database_is_said_in_one_line(tmp_path: Path, what: str) -> None:
    path = tmp_path / "it"
    if what == "a text":
        path.write_text("no database, but long enough to be looked at" * 100)
    elif what == "a folder":
        path.mkdir()
    with pytest.raises(RigbusError, match="it") as found:
        snapshot(path, tmp_path / "copy.db")
    assert "\n" not in str(found.value)
