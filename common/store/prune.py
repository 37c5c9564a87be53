"""Deletes rows of the store, oldest first, and keeps the account of it. All within a transaction of the writer.

By age it never passes what an output, the rollups or the clock's gate still wait for. For a full disk it may: then it
moves their cursors, and what they have lost thereby is summed in `open_losses`, from where it goes to the ledger.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from common import clock
from common.store import progress, rollups
from common.store.moves import Feed, Follower
from common.store.rows import INSERT
from common.store.series import SOURCES
from common.telemetry.schema import NAMES as IN_SECONDS

_I64_MIN, _I64_MAX = -(2**63), 2**63 - 1
# In the order in which a full disk takes them.
RAW = (
    *("sample_chunks", "dds_feedback", "dds_commands", "smoother_state", "thermostat_readings", "health"),
    *("camera_health", "web_requests", "system_events", "pulses"),
)
_BATCH_ROWS, BATCH_BYTES = 200, 256 << 10  # some ms each
WINDOW_KEPT_NS = 2 * 86_400 * 10**9
_LOOKED_AT = 1000  # rows of a batch by age that may be found held


class Kind(NamedTuple):
    """Rows that go alike: a raw table, or the rollups of one window."""

    table: str
    window_s: int = 0

    @property
    def where(self) -> str:
        return f"window_s = {self.window_s}" if self.window_s else "1"

    @property
    def time(self) -> str:
        return "ts" if self.table in IN_SECONDS else "t_ns"

    @property
    def columns(self) -> str:
        """id, time in ns, bytes (about)."""
        t_ns = "CAST(ts * 1e9 AS INTEGER)" if self.table in IN_SECONDS else "t_ns"
        return f"id, {t_ns} AS t, {'length(data)' if self.table == 'sample_chunks' else '150'} AS size"


Found = Sequence[tuple[int, int, int]]


def held_from(conn: sqlite3.Connection, table: str, consumers: Sequence[Follower], limits: Mapping[str, int]) -> int:
    """The highest id that nobody waits for any more: the gate, cursors, and rows of files that are still open."""
    names = [c.name for c in consumers if any(feed.table == table for feed in c.feeds)]
    if table in SOURCES:
        names.append(rollups.NAME)
    top = limits.get(table, _I64_MAX)
    for name in names:
        top = min(top, progress.cursors(conn, name).get(table, 0))
    first = conn.execute(
        "SELECT min(first_id) FROM output_files WHERE closed = 0 AND table_name = ? "
        "AND output IN (SELECT value FROM json_each(?))",
        (table, json.dumps([c.name for c in consumers])),
    ).fetchone()[0]
    return top if first is None else min(top, first - 1)


def delivered_to(conn: sqlite3.Connection, table: str, consumers: Sequence[Follower]) -> int:
    """The highest id that the rollups have, and each output that is writing: one that waits for its server may not."""
    names = [c.name for c in consumers if c.state != "waiting" and any(feed.table == table for feed in c.feeds)]
    if table in SOURCES:
        names.append(rollups.NAME)
    return min((progress.cursors(conn, name).get(table, 0) for name in names), default=_I64_MAX)


def by_age(conn: sqlite3.Connection, kind: Kind, before_ns: int, top: int, end: float) -> bool:
    """Delete rows from before then, up to the id `top`, until `end` (monotonic); whether that is all.

    By time: rows that a wrong clock stamped ahead keep no others.
    """
    before: float = max(_I64_MIN, before_ns)
    sql = (
        f"SELECT id, t, size FROM (SELECT {kind.columns} FROM {kind.table} WHERE {kind.where} AND {kind.time} < ? "
        f"ORDER BY {kind.time} LIMIT {_LOOKED_AT}) WHERE id <= ? LIMIT {_BATCH_ROWS}"
    )
    while True:  # one batch at least, however long the look at cursors took
        found = conn.execute(sql, (before / 1e9 if kind.time == "ts" else before, top)).fetchall()
        if not found:
            return True
        _delete(conn, kind.table, _cut(found, BATCH_BYTES))
        if time.monotonic() >= end:
            return False


class Skipped(NamedTuple):
    """An output whose cursor was moved: to be told once that is committed."""

    consumer: Follower
    table: str
    to_id: int


def oldest(
    conn: sqlite3.Connection, kind: Kind, top: int, consumers: Sequence[Follower], early_ns: int, rows: int, size: int
) -> tuple[int, list[Skipped]]:
    """Delete some of the oldest rows, whoever waits for them: how many, and what to tell.

    top: up to this id. early_ns: rows that are newer would have stayed, had there been room. rows, size: so many and
    so many bytes at most, but one.
    """
    order = "t_ns, id" if kind.window_s else "id"
    # a window that late rows may still be added to would begin at nothing again
    until = clock.wall_ns() - WINDOW_KEPT_NS if kind.window_s else _I64_MAX
    found: Found = conn.execute(
        f"SELECT {kind.columns} FROM {kind.table} WHERE {kind.where} AND id <= ? AND {kind.time} <= ? "
        f"ORDER BY {order} LIMIT ?",
        (top, until, min(rows, _BATCH_ROWS)),
    ).fetchall()
    if not found:
        return 0, []
    found = _cut(found, min(size, BATCH_BYTES))
    _account(conn, kind.table, [t for _, t, _ in found if t >= early_ns])
    feeds = [(consumer, feed) for consumer in consumers for feed in consumer.feeds if feed.table == kind.table]
    moved = [(consumer, _pass(conn, consumer.name, feed, found)) for consumer, feed in feeds]
    if kind.table in SOURCES:
        _pass(conn, rollups.NAME, Feed(kind.table, ""), found)
    skipped = [Skipped(consumer, kind.table, to_id) for consumer, to_id in moved if to_id]
    return _delete(conn, kind.table, found), skipped


def any_left(conn: sqlite3.Connection, kind: Kind) -> bool:
    return conn.execute(f"SELECT 1 FROM {kind.table} WHERE {kind.where} LIMIT 1").fetchone() is not None


def _pass(conn: sqlite3.Connection, output: str, feed: Feed, found: Found) -> int:
    """What is to be deleted before an output has it is lost to it; the id behind which its cursor then goes on, or 0.

    Also rows that it is just writing are counted: should it fail, it will not find them again.
    """
    cursor = progress.cursors(conn, output).get(feed.table, 0)
    lost = {rowid: t for rowid, t, _ in found if rowid > cursor}
    if not lost:
        return 0
    if feed.retained:
        if feed.where:
            sql = f"SELECT id FROM {feed.table} WHERE id IN (SELECT value FROM json_each(?)) AND ({feed.where})"
            meant = {row[0] for row in conn.execute(sql, (json.dumps(list(lost)),))}
            lost = {rowid: t for rowid, t in lost.items() if rowid in meant}
        _account(conn, f"{output}/{feed.table}", list(lost.values()))
    if feed.table == "rollups":
        return 0  # they go by time, so that others with lower ids are left
    to_id = max(rowid for rowid, _, _ in found)
    progress.set_cursors(conn, output, {feed.table: to_id})
    return to_id


def _account(conn: sqlite3.Connection, stream: str, times: Sequence[int]) -> None:
    if times:
        conn.execute(
            "INSERT INTO open_losses (stream, count, from_t_ns, to_t_ns) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO "
            "UPDATE SET count = count + ?2, from_t_ns = min(from_t_ns, ?3), to_t_ns = max(to_t_ns, ?4)",
            (stream, len(times), min(times), max(times)),
        )


def close_losses(conn: sqlite3.Connection) -> None:
    """Move what is summed so far into the ledger."""
    now = clock.wall_ns()
    detail = "deleted to make room"
    for stream, count, from_t, to_t in conn.execute(
        "DELETE FROM open_losses RETURNING stream, count, from_t_ns, to_t_ns"
    ).fetchall():
        row = (now, None, stream, "row", count, "disk_full", None, None, from_t, to_t, detail, None)
        conn.execute(INSERT["ledger"], row)


def _cut(found: Found, size: int) -> Found:
    """So many of the first as are of that size together, and one more."""
    for n, (_, _, of_row) in enumerate(found, 1):
        size -= of_row
        if size <= 0:
            return found[:n]
    return found


def _delete(conn: sqlite3.Connection, table: str, found: Found) -> int:
    ids = json.dumps([row[0] for row in found])
    chosen = f"DELETE FROM {table} WHERE id IN (SELECT value FROM json_each(?))"
    if table in ("rollups", "health"):  # of no numbered frame
        return conn.execute(chosen, (ids,)).rowcount
    if table == "sample_chunks":  # of whole frames
        deleted = conn.execute(f"{chosen} RETURNING stream_id, frames", (ids,)).fetchall()
        _prune(conn, deleted)
    else:
        deleted = conn.execute(f"{chosen} RETURNING stream_id, frame_seq, id", (ids,)).fetchall()
        _prune(conn, ((stream, 1) for stream in _gone(conn, table, deleted)))
    return len(deleted)


def _gone(conn: sqlite3.Connection, table: str, deleted: Iterable[tuple[Any, Any, int]]) -> Iterable[int]:
    """The stream of each frame of which rows were deleted and none is left.

    A frame's rows have ids without a foreign one between, so that one that is left is the next, below or above, to
    those deleted, or between them.
    """
    spans: dict[tuple[Any, Any], tuple[int, int]] = {}
    for stream, seq, rowid in deleted:
        if stream is not None and seq is not None:
            low, high = spans.get((stream, seq), (rowid, rowid))
            spans[stream, seq] = min(low, rowid), max(high, rowid)
    left = (
        f"SELECT 1 FROM {table} WHERE id >= coalesce((SELECT max(id) FROM {table} WHERE id < ?1), ?1) "
        f"AND id <= coalesce((SELECT min(id) FROM {table} WHERE id > ?2), ?2) AND stream_id = ?3 AND frame_seq = ?4"
    )
    for (stream, seq), (low, high) in spans.items():
        if conn.execute(left, (low, high, stream, seq)).fetchone() is None:
            yield stream


def _prune(conn: sqlite3.Connection, frames: Iterable[tuple[int, int]]) -> None:
    """frames: (stream, how many)."""
    sums: dict[int, int] = {}
    for stream, n in frames:
        sums[stream] = sums.get(stream, 0) + n
    conn.executemany("UPDATE streams SET pruned = pruned + ?2 WHERE id = ?1", list(sums.items()))
