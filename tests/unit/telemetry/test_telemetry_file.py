"""A file that refuses: rows wait, the writer lives, and what is dropped is counted, logged and written down."""

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from common.telemetry import TelemetryCollector
from common.telemetry import writer as writer_module
from common.telemetry.database import Database
from common.telemetry.frames import Event
from common.telemetry.writer import FileWriter

MakeCollector = Callable[..., TelemetryCollector]


def details(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as conn:
        return [row[0] for row in conn.execute("SELECT detail FROM system_events ORDER BY id")]


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def log(tc: TelemetryCollector, *numbers: int) -> None:
    for n in numbers:
        tc.log_system_event("e", "s", str(n))


def test_a_locked_file_is_written_later(
    collect: MakeCollector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("common.telemetry.database.BUSY_S", 0.05)
    path = tmp_path / "t.db"
    tc = collect(path, flush_interval_s=0.02)
    log(tc, 1)
    assert tc.flush()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        log(tc, 2, 3)
        until(lambda: tc.get_stats()["error"])
        assert "locked" in tc.get_stats()["error"]
        assert tc.get_stats()["queued"] == 2
        other.execute("ROLLBACK")
    assert tc.flush(30)
    assert tc.get_stats()["error"] == ""
    assert tc.stop()
    assert details(path) == ["1", "2", "3"]
    assert sum("rows wait" in record.message for record in caplog.records) == 1


def test_a_folder_that_is_removed_is_made_again(collect: MakeCollector, tmp_path: Path) -> None:
    path = tmp_path / "data" / "t.db"
    tc = collect(path, flush_interval_s=0.02)
    log(tc, 1)
    assert tc.flush()
    shutil.rmtree(path.parent)
    log(tc, 2)
    assert tc.stop()
    assert details(path) == ["2"]


def test_a_folder_that_cannot_be_is_told_and_tried_again(
    tmp_path: Path, collect: MakeCollector, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "data"
    place.write_text("a file is in the way")
    tc = collect(place / "t.db", flush_interval_s=0.02)
    assert "cannot be written, rows wait" in caplog.text
    log(tc, 1)
    assert tc.get_events() == []
    assert tc.get_stats()["queued"] == 1
    place.unlink()
    assert tc.flush(30)
    assert tc.stop()
    assert details(place / "t.db") == ["1"]


def test_what_could_not_be_stored_by_the_stop_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").write_text("in the way")
    writer = FileWriter(tmp_path / "data" / "t.db", 1, 0.01)
    writer.start()
    for n in range(3):
        writer.record(Event(event_type="e", source="s", detail=str(n)), 0, 0)
    assert not writer.stop(timeout_s=0.2)
    assert "0 rows stored, 3 not stored" in caplog.text


def test_a_full_queue_drops_and_says_so_in_the_file_itself(
    collect: MakeCollector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("common.telemetry.database.BUSY_S", 0.05)
    path = tmp_path / "t.db"
    tc = collect(path, flush_interval_s=0.02, max_queued=10)
    assert tc.flush()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        log(tc, *range(100))
        assert tc.get_stats()["dropped"] == 90
        other.execute("ROLLBACK")
    assert not tc.stop()  # not all was stored
    found = details(path)
    assert [d for d in found if d.isdigit()] == [str(n) for n in range(10)]
    assert [d for d in found if not d.isdigit()] == ["90 rows were dropped: the queue was full"]
    assert "the queue is full, 64 rows are lost" in caplog.text


def test_a_row_that_no_table_takes_does_not_hold_up_the_others(
    collect: MakeCollector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "t.db"
    tc = collect(path, flush_interval_s=60.0)
    log(tc, 1)
    tc._recorder.record(Event(event_type=None, source="s"), 0, 0)  # type: ignore[arg-type]
    tc._recorder.record(Event(event_type="e", source="s", detail=object()), 0, 0)  # type: ignore[arg-type]
    tc._recorder.record(Event(event_type="e", source="s", detail=2**65), 0, 0)  # type: ignore[arg-type]
    log(tc, 2)
    assert tc.flush()
    assert (tc.get_stats()["stored"], tc.get_stats()["refused"]) == (2, 3)
    assert not tc.stop()
    assert details(path) == ["1", "2"]
    assert "3 rows are refused" in caplog.text


def test_a_file_that_is_no_database_is_set_aside(collect: MakeCollector, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    path.write_bytes(b"this is no database" * 500)
    tc = collect(path)
    log(tc, 1)
    assert tc.stop()
    assert details(path) == ["1"]
    [aside] = tmp_path.glob("t.db.corrupt-*")
    assert aside.read_bytes().startswith(b"this is no database")


def test_an_unexpected_fault_does_not_end_the_writer(
    collect: MakeCollector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error ended the seed's writer, and nobody knew."""
    path = tmp_path / "t.db"
    tc = collect(path, flush_interval_s=0.02)
    real, faults = Database.write, [RuntimeError("odd"), MemoryError(), sqlite3.OperationalError("disk I/O error")]

    def write(self: Database, rows: Any) -> Any:
        if faults and rows:
            raise faults.pop()
        return real(self, rows)

    monkeypatch.setattr(Database, "write", write)
    log(tc, 1, 2)
    assert tc.flush(30)
    assert not faults
    assert tc.stop()
    assert details(path) == ["1", "2"]


def test_a_batch_goes_before_the_interval_is_over(collect: MakeCollector, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    tc = collect(path, batch_size=3, flush_interval_s=3600.0)
    log(tc, 1, 2, 3)
    until(lambda: details(path) == ["1", "2", "3"])


def test_the_interval_is_kept_where_the_batch_is_not_full(collect: MakeCollector, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    tc = collect(path, batch_size=1000, flush_interval_s=0.05)
    log(tc, 1)
    until(lambda: details(path) == ["1"])


def test_the_queue_is_bounded_by_default() -> None:
    assert writer_module.MAX_QUEUED == 100_000
