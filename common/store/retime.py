"""What becomes of a boot in the store: it is seen, its clock is set, its earlier rows are moved, step by step.

The functions are jobs for `Store.work` and return the boots as they then stand. A row is moved once: it is told by
t_orig_ns, so that a kill between two steps costs nothing but a look at the rows that were moved already.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from common.store.boots import MIN_SHIFT_NS, Boot, Boots, last_id, load
from common.store.rows import INSERT
from common.store.schema import RETIMED
from common.telemetry.schema import NAMES as IN_SECONDS

HELD = (*RETIMED, "rollups")  # what outputs read
_STEP_S, _FIRST_ROWS, _MOST_ROWS = 0.025, 500, 50_000
_SLACK_NS = 1_000_000_000  # between the last stamp by the unset clock and the look that found it set

_TIME = "t_orig_ns = t_ns, t_ns = t_ns + :shift"
_TIME_S = "t_orig_ns = CAST(round(ts * 1e9) AS INTEGER), ts = (CAST(round(ts * 1e9) AS INTEGER) + :shift) / 1e9"
# A further stamp of a row may be of an earlier boot: that a rig was down since then, say.
_FURTHER = ", {0} = iif({0} > 0 AND {0} BETWEEN :began AND :until, {0} + :shift, {0})"
_SET = {table: _TIME_S if table in IN_SECONDS else _TIME for table in RETIMED}
_SET["ledger"] += _FURTHER.format("from_t_ns") + _FURTHER.format("to_t_ns")
_SET["health"] += _FURTHER.format("journal_oldest")


class Seen(NamedTuple):
    """A look at the clocks, ns. offset: wall − mono."""

    boot_id: str
    mono_ns: int
    offset_ns: int


class Part(NamedTuple):
    """Rows of one table and stream that are to be moved by so much; both ids are included."""

    table: str
    stream_id: int | None
    from_id: int
    to_id: int
    shift_ns: int
    offset_ns: int


def begin(conn: sqlite3.Connection, seen: Seen, *, sane: bool, released: bool) -> Boots:
    """The sink's first look in a boot, or after its own start. What ended without a clock that was set stays as it is.

    released: nothing is held back for want of a clock, it is too late for that.
    """
    ended = "boot_id != ? AND sane_mono_ns IS NULL AND retimed = 0"
    conn.execute(f"DELETE FROM unset_rows WHERE boot_id IN (SELECT boot_id FROM boots WHERE {ended})", (seen.boot_id,))
    conn.execute(f"UPDATE boots SET retimed = 1 WHERE {ended}", (seen.boot_id,))
    if not conn.execute("SELECT 1 FROM boots WHERE boot_id = ?", (seen.boot_id,)).fetchone():
        known = (seen.mono_ns, seen.offset_ns) if sane else (None, None)
        held = {} if sane else _last_ids(conn)
        conn.execute(
            "INSERT INTO boots (boot_id, offset_ns, unset_offset_ns, sane_mono_ns, sane_offset_ns, held_json, "
            "upto_json, released, retimed) VALUES (?, ?, ?, ?, ?, ?, '{}', ?, ?)",
            (seen.boot_id, seen.offset_ns, None if sane else seen.offset_ns, *known, json.dumps(held), released, sane),
        )
        _note_own(conn, seen)
    return load(conn)


def stepped(conn: sqlite3.Connection, seen: Seen, step_ns: int, detail: str) -> Boots:
    """The wall clock was set by so much."""
    t_ns, most = seen.mono_ns + seen.offset_ns, 2**63 - 1
    conn.execute(INSERT["clock_steps"], (t_ns, seen.boot_id, max(-most, min(step_ns, most)), detail))
    conn.execute("UPDATE boots SET offset_ns = ? WHERE boot_id = ?", (seen.offset_ns, seen.boot_id))
    _note_own(conn, seen)
    return load(conn)


def release(conn: sqlite3.Connection, boot_id: str) -> Boots:
    """Nobody waits any longer for this boot's clock."""
    conn.execute("UPDATE boots SET released = 1 WHERE boot_id = ?", (boot_id,))
    return load(conn)


def became_sane(conn: sqlite3.Connection, seen: Seen) -> Boots:
    """The wall clock was found to be set: rows up to here are to be moved, frames from here on are judged by it."""
    conn.execute(
        "UPDATE boots SET sane_mono_ns = ?, sane_offset_ns = ?, upto_json = ? WHERE boot_id = ?",
        (seen.mono_ns, seen.offset_ns, json.dumps(_last_ids(conn)), seen.boot_id),
    )
    return load(conn)


def finish(conn: sqlite3.Connection, boot: Boot, t_ns: int, detail: str) -> Boots:
    """All rows are moved. detail: what the list of settings of the clock is to say of that; "": nothing."""
    conn.execute("DELETE FROM unset_rows WHERE boot_id = ?", (boot.boot_id,))
    conn.execute("UPDATE boots SET retimed = 1 WHERE boot_id = ?", (boot.boot_id,))
    if detail:
        conn.execute(INSERT["clock_steps"], (t_ns, boot.boot_id, 0, detail))
    return load(conn)


def parts_of(conn: sqlite3.Connection, boot: Boot) -> list[Part]:
    """What is to be moved now that the boot's clock is set, by table and id."""
    assert boot.sane_offset_ns is not None
    sql = (
        "SELECT table_name, stream_id, from_id, offset_ns, lead(from_id) OVER "
        "(PARTITION BY table_name, stream_id ORDER BY from_id) FROM unset_rows WHERE boot_id = ? ORDER BY 1, 3"
    )
    found = []
    for table, stream_id, from_id, offset, following in conn.execute(sql, (boot.boot_id,)):
        to_id = boot.upto.get(table, 0) if following is None else following - 1
        if offset is not None and from_id <= to_id and abs(boot.sane_offset_ns - offset) >= MIN_SHIFT_NS:
            found.append(Part(table, stream_id, from_id, to_id, boot.sane_offset_ns - offset, offset))
    return found


def went_out(conn: sqlite3.Connection, parts: Iterable[Part], reach: Mapping[str, Mapping[str, int]]) -> str:
    """Which of these rows outputs got with the old time: "csv pulses 3..17, …". reach: output → table → last id."""
    last: dict[str, dict[str, int]] = {output: dict(tables) for output, tables in reach.items()}
    for output, table, cursor in conn.execute("SELECT output, table_name, last_id FROM output_cursors"):
        into = last.setdefault(output, {})
        into[table] = max(into.get(table, 0), cursor)
    spans: dict[str, tuple[int, int]] = {}
    for part in parts:
        first, to = spans.get(part.table, (part.from_id, part.to_id))
        spans[part.table] = min(first, part.from_id), max(to, part.to_id)
    return ", ".join(
        f"{output} {table} {first}..{min(to, tables[table])}"
        for output, tables in sorted(last.items())
        for table, (first, to) in sorted(spans.items())
        if tables.get(table, 0) >= first
    )


def move(conn: sqlite3.Connection, part: Part, boot: Boot, from_id: int, rows: int) -> None:
    """Moves what is not yet moved among `rows` ids from from_id on."""
    assert boot.sane_mono_ns is not None
    conn.execute(
        f"UPDATE {part.table} SET {_SET[part.table]} "
        "WHERE id BETWEEN :first AND :last AND stream_id IS :stream AND t_orig_ns IS NULL",
        {
            "first": from_id, "last": min(part.to_id, from_id + rows - 1), "stream": part.stream_id,
            "shift": part.shift_ns, "began": part.offset_ns, "until": part.offset_ns + boot.sane_mono_ns + _SLACK_NS,
        },
    )  # fmt: skip


class Pace:
    """How many ids one step takes, so that it stays well under 50 ms."""

    def __init__(self) -> None:
        self.rows = _FIRST_ROWS
        self._began = 0.0

    def __enter__(self) -> "Pace":
        self._began = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        took_s = time.monotonic() - self._began
        self.rows = max(1, min(_MOST_ROWS, 2 * self.rows, int(self.rows * _STEP_S / max(took_s, 1e-6))))


def _note_own(conn: sqlite3.Connection, seen: Seen) -> None:
    """While the clock is not set: the writer's own rows in the ledger, which come in no frame, are stamped by it."""
    conn.execute(
        "INSERT INTO unset_rows (boot_id, table_name, stream_id, from_id, offset_ns) SELECT boot_id, 'ledger', NULL, "
        "?, ? FROM boots WHERE boot_id = ? AND sane_mono_ns IS NULL",
        (last_id(conn, "ledger") + 1, seen.offset_ns, seen.boot_id),
    )


def _last_ids(conn: sqlite3.Connection) -> dict[str, int]:
    return {table: last_id(conn, table) for table in HELD}
