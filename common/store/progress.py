"""How far outputs are, as it stands in the store: cursors, files, quarantine, what they lost."""

import sqlite3
from collections.abc import Mapping

from common import clock
from common.store.moves import FileState, Move
from common.store.rows import INSERT

COUNTED = "/counted"  # behind a table: up to which id it was counted what had gone before the output had it


def set_cursors(conn: sqlite3.Connection, output: str, cursors: Mapping[str, int]) -> None:
    """table → last id; a cursor never goes back."""
    now = clock.wall_ns()
    conn.executemany(
        "INSERT INTO output_cursors (output, table_name, last_id, t_ns) VALUES (?1, ?2, ?3, ?4) "
        "ON CONFLICT DO UPDATE SET last_id = max(last_id, ?3), t_ns = ?4",
        [(output, table, last_id, now) for table, last_id in cursors.items()],
    )


def write(conn: sqlite3.Connection, move: Move) -> None:
    """A move, within the writer's transaction."""
    now = clock.wall_ns()
    set_cursors(conn, move.output, move.cursors)
    for path, state in move.files.items():
        if state is None:
            conn.execute("DELETE FROM output_files WHERE output = ? AND path = ?", (move.output, path))
        else:
            conn.execute(
                "INSERT INTO output_files (output, path, table_name, first_id, bytes, closed, boot_id) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET table_name = ?3, first_id = ?4, "
                "bytes = ?5, closed = ?6, boot_id = ?7",
                (move.output, path, state.table, state.first_id, state.bytes, state.closed, state.boot_id),
            )
    conn.executemany(INSERT["quarantine"], [(move.output, *refused, now) for refused in move.refused])
    nothing = (None, None, None, None)
    conn.executemany(
        INSERT["ledger"],
        [
            (now, None, f"{move.output}/{lost.table}", "row", lost.count, lost.cause, *nothing, lost.detail, None)
            for lost in move.lost
        ],
    )
    conn.executemany("DELETE FROM quarantine WHERE id = ?", [(row_id,) for row_id in move.settled])
    conn.executemany(
        "UPDATE quarantine SET requeued = 0, reason = ?2, t_ns = ?3 WHERE id = ?1",
        [(row_id, reason, now) for row_id, reason in move.kept],
    )


def cursors(conn: sqlite3.Connection, output: str) -> dict[str, int]:
    """Table → last id that the output has."""
    return dict(conn.execute("SELECT table_name, last_id FROM output_cursors WHERE output = ?", (output,)).fetchall())


def files(conn: sqlite3.Connection, output: str) -> list[FileState]:
    """The output's files, in the order in which they were begun."""
    rows = conn.execute(
        "SELECT path, table_name, first_id, bytes, closed, boot_id FROM output_files WHERE output = ? ORDER BY id",
        (output,),
    ).fetchall()
    return [FileState(path, table, first, size, bool(closed), boot) for path, table, first, size, closed, boot in rows]
