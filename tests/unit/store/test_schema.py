"""Versions of the database: steps are whole, newer ones are refused, nothing is lost."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import StoreError
from common.store import schema
from common.store.rows import INSERT
from common.store.writer import Store

SEED_TABLES = {
    "dds_commands": "id ts ts_mono seq funcode joint_id target_value data_json correlation_id raw_len",
    "dds_feedback": "id ts ts_mono seq funcode angle0 angle1 angle2 angle3 angle4 angle5 angle6 power_status "
    "enable_status error_status recv_status exec_status",
    "smoother_state": "id ts joint_id target current sent step_size dirty",
    "web_requests": "id ts endpoint method params_json response_ms status_code correlation_id ok",
    "camera_health": "id ts camera_id actual_fps target_fps drop_count motion_score connected resolution_w "
    "resolution_h stalled",
    "system_events": "id ts event_type source detail data_json correlation_id level",
}


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield opened
    opened.close()


def test_a_new_database_has_the_newest_version(conn: sqlite3.Connection) -> None:
    schema.migrate(conn)
    assert schema.version(conn) == len(schema.MIGRATIONS)
    schema.migrate(conn)


@pytest.mark.parametrize("table", SEED_TABLES)
def test_the_tables_of_the_seed_begin_with_its_columns(conn: sqlite3.Connection, table: str) -> None:
    schema.migrate(conn)
    names = [row[1] for row in conn.execute(f"PRAGMA table_info({table})")]
    assert names[: len(SEED_TABLES[table].split())] == SEED_TABLES[table].split()
    assert names[-3:] == ["stream_id", "frame_seq", "t_orig_ns"]


def test_every_table_read_by_id_never_uses_an_id_again(conn: sqlite3.Connection) -> None:
    schema.migrate(conn)
    for name, sql in conn.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall():
        if name not in ("output_cursors", "sqlite_sequence", "boots"):
            assert re.search(r"\bid\s+INTEGER PRIMARY KEY AUTOINCREMENT", sql), name


@pytest.mark.parametrize("table", INSERT)
def test_every_insert_fits_its_table(conn: sqlite3.Connection, table: str) -> None:
    schema.migrate(conn)
    conn.execute(f"EXPLAIN {INSERT[table]}", [0] * INSERT[table].count("?"))
    data = conn.execute(f"PRAGMA table_xinfo({table})").fetchall()
    if table not in ("ledger", "clock_steps", "quarantine"):
        assert {"stream_id", "frame_seq"} <= {row[1] for row in data}


def test_steps_are_applied_from_where_a_database_stands(conn: sqlite3.Connection) -> None:
    steps = ("CREATE TABLE a (x)", "INSERT INTO a VALUES (1)")
    schema.migrate(conn, steps[:1])
    schema.migrate(conn, steps)
    schema.migrate(conn, steps)
    assert conn.execute("SELECT x FROM a").fetchall() == [(1,)]
    assert schema.version(conn) == 2


def test_a_step_that_fails_is_undone_whole(conn: sqlite3.Connection) -> None:
    steps = ("CREATE TABLE a (x); INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (2); DROP TABLE nothing")
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(conn, steps)
    assert schema.version(conn) == 1
    assert conn.execute("SELECT x FROM a").fetchall() == [(1,)]
    assert not conn.in_transaction


def test_a_newer_database_is_refused_and_left_alone(path: Path) -> None:
    Store.open(path).close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 999")
    newer.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="999"):
        Store.open(path)
    assert path.read_bytes() == before
    assert list(path.parent.glob("*corrupt*")) == []


def test_a_foreign_database_is_refused_and_left_alone(path: Path) -> None:
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE streams (mine)")
    foreign.execute("INSERT INTO streams VALUES (1)")
    foreign.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="already exists"):
        Store.open(path)
    foreign.close()
    assert path.read_bytes() == before


def test_files_and_pages_are_as_measured(path: Path) -> None:
    Store.open(path).close()
    conn = sqlite3.connect(path)
    found = [conn.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "auto_vacuum", "journal_mode")]
    conn.close()
    assert found == [1024, 2, "wal"]
