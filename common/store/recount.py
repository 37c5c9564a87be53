"""`audit --deep`: counts the rows themselves, by stream and frame number, and compares with what the store claims."""

import sqlite3
from pathlib import Path

from common.errors import StoreError
from common.store.readonly import connect

_NOT_DATA = ("health",)  # live only: never counted
_MANY_ROWS = {"pulses": "total", "thermostat_readings": "channel"}  # what tells the rows of one frame apart


def recount(path: Path) -> list[str]:
    """What does not agree, a line each; empty where all does. Raises StoreError. A missing store agrees.

    For each stream: frames found in the data tables + frames without rows + frames that retention has deleted
    = `stored`; no number twice in a table; no number both stored and in a ledger range of frames.
    """
    try:
        db, _ = connect(str(path))
    except FileNotFoundError:
        return []
    try:
        return _recount(db)
    except sqlite3.Error as e:
        raise StoreError(f"{path}: {e}") from None
    finally:
        db.close()


def _recount(db: sqlite3.Connection) -> list[str]:
    db.execute("BEGIN")  # one state of the store for all of it
    faults: list[str] = []
    found: dict[int, int] = {}
    for table in _data_tables(db):
        what = "SUM(frames)" if table == "sample_chunks" else "COUNT(DISTINCT frame_seq)"
        rows = f"FROM {table} WHERE stream_id IS NOT NULL AND frame_seq IS NOT NULL"
        for stream, frames in db.execute(f"SELECT stream_id, {what} {rows} GROUP BY stream_id"):
            found[stream] = found.get(stream, 0) + frames
        one = _MANY_ROWS.get(table, "1")
        query = f"SELECT stream_id, frame_seq, COUNT(*) {rows} GROUP BY stream_id, frame_seq, {one} HAVING COUNT(*) > 1"
        for stream, seq, n in db.execute(f"{query} LIMIT 20"):
            faults.append(f"stream {stream}: frame {seq} stands {n} times in {table}")
        both = (
            f"SELECT d.stream_id, d.frame_seq FROM {table} d JOIN ledger l ON l.stream_id = d.stream_id "
            "AND l.unit = 'frame' AND d.frame_seq BETWEEN l.from_seq AND COALESCE(l.to_seq, 9223372036854775807) "
            "WHERE d.frame_seq IS NOT NULL LIMIT 20"
        )
        for stream, seq in db.execute(both):
            faults.append(f"stream {stream}: frame {seq} is both in {table} and in the ledger of losses")
    for src, run, n in db.execute("SELECT src, run, COUNT(*) FROM streams GROUP BY src, run HAVING COUNT(*) > 1"):
        faults.append(f"{src}/{run} stands under {n} nodes: its rows are stored more than once")
    columns = {row[1] for row in db.execute("PRAGMA table_info(streams)")}
    gone = "pruned" if "pruned" in columns else "0"  # a database that its sink has not yet brought up to date
    query = f"SELECT id, node || '/' || src || '/' || run, stored, no_rows, {gone} FROM streams ORDER BY id"
    for stream, name, stored, no_rows, pruned in db.execute(query):
        counted = found.get(stream, 0) + no_rows + pruned
        if counted != stored:
            deleted = f", {pruned} of them deleted since" if pruned else ""
            faults.append(f"{name}: {stored} frames are said to be stored, {counted} were found{deleted}")
    return faults


def _data_tables(db: sqlite3.Connection) -> list[str]:
    """Tables whose rows carry the number of the frame they came in."""
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    numbered = []
    for table in tables:
        columns = {row[1] for row in db.execute(f"PRAGMA table_xinfo({table})")}
        if {"stream_id", "frame_seq"} <= columns and table not in _NOT_DATA:
            numbered.append(table)
    return numbered
