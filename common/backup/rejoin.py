"""What is done to a database that came out of a backup, before it is in its place: it must fit what happened since.

Outputs and journals need nothing: a database that is older than they are is one of their usual cases (docs/outputs.md,
docs/delivery.md). Two things they cannot know: how far ids had gone, and that rows are gone that came in no frame.
"""

import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path

from common import clock
from common.backup.contents import Manifest
from common.errors import RigbusError
from common.store import database, progress
from common.store.rows import INSERT

# Nobody knows how many ids the lost database gave, and whoever remembers them would take new rows for known ones.
# A multiple of 1,000: times in InfluxDB have the last three digits of ids.
BEYOND = 1_000_000_000
NOT_NEW = -1  # a cursor before the first row


def rejoin(path: Path, manifest: Manifest, source: Path, feeds: Mapping[str, Collection[str]]) -> int:
    """Brings it up to date, moves its ids on, accounts for the time since; when that was, wall ns.

    feeds: output that is switched on now → the tables it reads. Raises RigbusError.
    """
    now = clock.wall_ns()
    try:
        with closing(database.connect(str(path), "full", 2000)) as conn:
            conn.execute("BEGIN IMMEDIATE")
            for output, tables in feeds.items():
                sql = "INSERT INTO output_cursors (output, table_name) VALUES (?, ?) ON CONFLICT DO NOTHING"
                conn.executemany(sql, [(output, table) for table in tables])
            for table, seq in _given(conn).items():
                _move_on(conn, table, seq)
            detail = f"put back from {source.name}: what was stored since then came back out of journals, or is gone"
            row = (now, None, "*", "row", None, "restored", None, None, manifest.t_ns, now, detail, None)
            conn.execute(INSERT["ledger"], row)
            conn.execute("COMMIT")
    except sqlite3.Error as e:
        raise RigbusError(f"{path}: {e}") from None
    if Path(f"{path}-wal").exists():
        raise RigbusError(f"{path}: what was written to it did not get into the file (is the disk full?)")
    return now


def _given(conn: sqlite3.Connection) -> dict[str, int]:
    """Table → the highest id that it ever gave."""
    given = dict(conn.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    tables = conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'")
    return {table: given.get(table, 0) for (table,) in tables.fetchall()}


def _move_on(conn: sqlite3.Connection, table: str, seq: int) -> None:
    """No id is given twice, and the gap is no loss to any output."""
    to = seq + BEYOND
    conn.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
    conn.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, to))
    conn.execute(
        "INSERT INTO output_cursors (output, table_name, last_id) "
        "SELECT output, ?1, ?2 FROM output_cursors WHERE table_name = ?3 ON CONFLICT DO UPDATE SET last_id = ?2",
        (f"{table}{progress.COUNTED}", to, table),
    )
    # 0 means to an output that it is new here: but what it has of this table came out of the lost database
    conn.execute("UPDATE output_cursors SET last_id = ? WHERE table_name = ? AND last_id = 0", (NOT_NEW, table))
    # one that has all goes on behind the gap; one with files reads on from rows, as it may have to write some anew
    conn.execute(
        "UPDATE output_cursors SET last_id = ?1 WHERE table_name = ?2 AND last_id >= ?3 AND last_id > 0 "
        "AND output NOT IN (SELECT output FROM output_files)",
        (to, table, seq),
    )
