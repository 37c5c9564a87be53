"""Rows of the quarantine that somebody asked to send again: found, fetched, and what came of it."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from common.sinks.output import Feed, Row
from common.store.moves import Move, Refused

AT_ONCE = 500


class Asked(NamedTuple):
    """A row of `quarantine`, and the row of a table that it stands for."""

    id: int
    table: str
    row_id: int


def asked_for(conn: sqlite3.Connection, output: str, feeds: Sequence[Feed], under_way: int) -> list[Asked]:
    """Of the tables that the output reads; those of another wait until it reads that again."""
    found = conn.execute(
        "SELECT id, table_name, row_id FROM quarantine WHERE output = ? AND requeued = 1 "
        "AND table_name IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?",
        (output, json.dumps([feed.table for feed in feeds]), AT_ONCE + under_way),
    ).fetchall()
    return [Asked(*row) for row in found]


def rows_of(conn: sqlite3.Connection, feed: Feed, ids: Sequence[int]) -> list[Row]:
    sql = f"SELECT id, {feed.columns} FROM {feed.table} WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
    return conn.execute(sql, (json.dumps(ids),)).fetchall()


def outcome(output: str, ids: Mapping[int, int], rows: Sequence[Row], refused: Sequence[Refused]) -> Move:
    """ids: row → its id in the quarantine."""
    kept = {one.row_id: one.reason for one in refused}
    kept |= dict.fromkeys(ids.keys() - {row[0] for row in rows}, "the row is no longer in the store")
    settled = [quarantined for row_id, quarantined in ids.items() if row_id not in kept]
    return Move(output, settled=settled, kept=[(ids[row_id], reason) for row_id, reason in kept.items()])
