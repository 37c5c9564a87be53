"""Boots and their clocks: by which clock a frame was stamped, and what follows for its rows when they are stored.

A frame has its time by two clocks, so t − mono tells by which setting of the wall clock it was stamped. While that is
not set, the writer notes it for the rows, run by run (`unset_rows`), so that they can be moved later (retime.py). Once
it is, frames that were stamped before, and come only now, are moved before they are stored. No I/O but `load`'s.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from common.frames import Frame, Health, Loss
from common.store.rows import COLUMNS, INSERT, Row, Rows
from common.telemetry.schema import NAMES as IN_SECONDS

MIN_SHIFT_NS = 1_000_000_000  # a clock that was wrong by less counts as set
# places of further stamps in a row
_FURTHER = {
    table: [COLUMNS[table].split(", ").index(name) for name in names]
    for table, names in {"ledger": ("from_t_ns", "to_t_ns"), "health": ("journal_oldest",)}.items()
}
_INSERT_MOVED = {
    table: insert.replace(") VALUES (", ", t_orig_ns) VALUES (").removesuffix(")") + ", ?)"
    for table, insert in INSERT.items()
}
Mark = tuple[str, int | None]  # table, stream id


class Boot(NamedTuple):
    """A row of `boots`, which describes the fields. Times in ns; mono: CLOCK_BOOTTIME; offsets: wall − mono."""

    boot_id: str
    offset_ns: int
    unset_offset_ns: int | None
    sane_mono_ns: int | None
    sane_offset_ns: int | None
    held: Mapping[str, int]
    upto: Mapping[str, int]
    released: bool
    retimed: bool

    @property
    def is_unset(self) -> bool:
        """Whether it goes on and has no clock yet (a boot that ended without one is closed as retimed)."""
        return self.sane_mono_ns is None and not self.retimed

    @property
    def judges_below(self) -> int:
        """Frames with an earlier mono have to be judged."""
        return 2**63 if self.is_unset else self.sane_mono_ns or 0

    def shift_of(self, t: int, mono: int) -> int:
        """What is to be added to a stamp, ns; 0: it is right, or of a time when clocks were set on purpose."""
        if self.sane_mono_ns is None or self.sane_offset_ns is None or not 0 < mono < self.sane_mono_ns:
            return 0
        shift = mono + self.sane_offset_ns - t
        return shift if abs(shift) >= MIN_SHIFT_NS else 0

    def shift_of_account(self, t: int) -> int:
        """The same for a stamp without mono: it is moved where no other boot or setting of the clock explains it."""
        unset, sane, until = self.unset_offset_ns, self.sane_offset_ns, self.sane_mono_ns
        if unset is None or sane is None or until is None or sane - unset < MIN_SHIFT_NS:
            return 0
        return sane - unset if t > 0 and unset <= t <= unset + until and t < sane else 0


class Boots:
    """All boots by id; the last is this one. marks: of this one, which offset the newest rows were noted with."""

    def __init__(self, rows: Sequence[Boot] = (), marks: Mapping[Mark, int | None] = MappingProxyType({})) -> None:
        self.rows = {boot.boot_id: boot for boot in rows}
        self.this = rows[-1] if rows else None
        self.marks = dict(marks)
        self._judging = {boot.boot_id: boot for boot in rows if boot.is_unset or boot.sane_mono_ns is not None}

    def judging(self, boot_id: str) -> Boot | None:
        """The boot whose clock says something about frames that are stored now."""
        return self._judging.get(boot_id)


def load(conn: sqlite3.Connection) -> Boots:
    rows = conn.execute(
        "SELECT boot_id, offset_ns, unset_offset_ns, sane_mono_ns, sane_offset_ns, held_json, upto_json, released, "
        "retimed FROM boots ORDER BY rowid"
    ).fetchall()
    boots = [
        Boot(boot_id, offset, unset, mono, sane, json.loads(held), json.loads(upto), bool(released), bool(retimed))
        for boot_id, offset, unset, mono, sane, held, upto, released, retimed in rows
    ]
    marks: dict[Mark, int | None] = {}
    if boots and boots[-1].is_unset:
        sql = "SELECT table_name, stream_id, offset_ns FROM unset_rows WHERE boot_id = ? ORDER BY id"
        marks = {(table, stream): offset for table, stream, offset in conn.execute(sql, (boots[-1].boot_id,))}
    return Boots(boots, marks)


def last_id(conn: sqlite3.Connection, table: str) -> int:
    """The highest id that the table ever gave; 0: none."""
    found = conn.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return int(found[0]) if found else 0


class Batch:
    """Judges the rows of one batch, then inserts them. marks: as they stand before it; `known`: what it changes."""

    def __init__(self, boots: Boots, marks: Mapping[Mark, int | None]) -> None:
        self._boots, self._marks = boots, marks
        self.known: dict[Mark, int | None] = {}
        # boot, table, stream, place among the rows of the table in this batch, offset
        self._notes: list[tuple[str, str, int | None, int, int | None]] = []
        self._moved: set[str] = set()

    def judge(
        self, boot: Boot, frame: Frame, table: str, stream_id: int, at: int, rows: Sequence[Row]
    ) -> Sequence[Row]:
        """The rows of one frame as they are to be stored; those that are moved are longer by t_orig_ns.

        at: how many rows of the table come before them in this batch.
        """
        if boot.is_unset:
            self._note(boot, table, stream_id, at, frame.t - frame.mono if frame.mono > 0 else None)
            return rows
        shift = boot.shift_of(frame.t, frame.mono)
        if not shift:
            return rows
        self._moved.add(table)
        if table in IN_SECONDS:
            return [((frame.t + shift) / 1e9, *row[1:], frame.t) for row in rows]
        began, until = frame.t - frame.mono, frame.t
        further = _FURTHER.get(table, ()) if isinstance(frame, Loss | Health) else ()
        out = []
        for row in rows:
            new = [row[0] + shift, *row[1:], row[0]]
            for place in further:
                if (x := row[place]) > 0 and began <= x <= until:  # else it is of an earlier boot
                    new[place] = x + shift
            out.append(tuple(new))
        return out

    def account(self, ledger: list[Row], at: int, stream_id: int | None) -> None:
        """A row of the ledger that came in no frame: ledger[at], where there is one. It is of this boot, if of any."""
        boot = self._boots.this
        if boot is None or len(ledger) <= at:
            return
        row = ledger[at]
        if boot.is_unset:
            self._note(boot, "ledger", stream_id, at, boot.offset_ns if row[0] >= max(1, boot.offset_ns) else None)
        elif shift := boot.shift_of_account(row[0]):
            new = [row[0] + shift, *row[1:], row[0]]
            for place in _FURTHER["ledger"]:
                if row[place] is not None:
                    new[place] += boot.shift_of_account(row[place])
            ledger[at] = tuple(new)
            self._moved.add("ledger")

    def insert(self, conn: sqlite3.Connection, rows: Rows) -> None:
        """rows: those of the batch, as they were judged."""
        for boot_id, table, stream_id, place, offset in self._notes:
            conn.execute(
                "INSERT INTO unset_rows (boot_id, table_name, stream_id, from_id, offset_ns) VALUES (?, ?, ?, ?, ?)",
                (boot_id, table, stream_id, last_id(conn, table) + 1 + place, offset),
            )
        for table, new in rows.items():
            if table in self._moved:
                full = _INSERT_MOVED[table].count("?")
                padded: list[Any] = [row if len(row) == full else (*row, None) for row in new]
                conn.executemany(_INSERT_MOVED[table], padded)
            else:
                conn.executemany(INSERT[table], new)

    def _note(self, boot: Boot, table: str, stream_id: int | None, at: int, offset: int | None) -> None:
        """From this row on another offset, unless it is the one that is noted for the rows before it."""
        key = (table, stream_id)
        found = self.known.get(key, self._marks.get(key))  # None: they stay as they are
        if offset is not None and abs(offset) >= 2**62:
            offset = None  # no clock: what cannot be reckoned with stays, too
        if found is offset or (found is not None and offset is not None and abs(offset - found) < MIN_SHIFT_NS):
            return
        self.known[key] = offset
        self._notes.append((boot.boot_id, table, stream_id, at, offset))
