"""The pump ledger, `pump_telemetry.csv`: one row a run, at its outcome (docs/decisions/0012-one-row-a-pump-run.md).

It is never rotated and never deleted, and every page of it is fsynced: it needs no writing anew, whatever happens.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from common import clock
from common.log import Log
from common.sinks.csv import cells, disk
from common.sinks.csv.orphans import Orphans
from common.sinks.csv.tables import PUMP_EVENTS
from common.sinks.csv.tree import Files, Tree
from common.sinks.output import Feed, Row
from common.store.moves import FileState

SEED_HEADER = b"Time,Component,Action,Direction,Amount (mL),Duration (s),Frequency (Hz)"
HEADER = SEED_HEADER + b",Outcome,Reason,Steps,Command\n"
_OUTCOMES = ("done", "stopped", "refused")
_ACTIONS = {"prime": "Manual Prime", "dispense": "Dispense Volume"}
_NEAR = 5000  # rows of pump_events in which the other rows of a command are looked for
_OF_COMMAND = (
    f"FROM pump_events AS o WHERE o.id > pump_events.id - {_NEAR} AND o.id < pump_events.id + {_NEAR} "
    "AND o.command_id = pump_events.command_id"
)
_IF_OUTCOME = f"CASE WHEN event IN {_OUTCOMES!r} THEN"
_OWN = len(PUMP_EVENTS.columns)
# Behind the table's own columns: when the run was asked for, whether of several pumps, whether its outcome was told
# before (a daemon that was killed in between tells it again).
FEED = Feed(
    "pump_events",
    f"{', '.join(PUMP_EVENTS.columns)}, "
    f"{_IF_OUTCOME} (SELECT max(o.t_ns) {_OF_COMMAND} AND o.pump = pump_events.pump AND o.event = 'intent') END, "
    f"{_IF_OUTCOME} (SELECT count(DISTINCT o.pump) > 1 {_OF_COMMAND}) END, "
    f"{_IF_OUTCOME} event <> 'refused' AND EXISTS (SELECT 1 {_OF_COMMAND} AND o.pump = pump_events.pump "
    "AND o.id < pump_events.id AND o.event IN ('done', 'stopped')) END",
    500,
)


class PumpLedger:
    """A row of pump_events becomes a row here where it is the outcome of a run. path: of FileState."""

    def __init__(self, root: Path, configured: str, log: Log) -> None:
        """configured: of `[sink.csv] pump_ledger`; relative to the folder, "": the seed's name."""
        self._file = root / Path(configured or "pump_telemetry.csv").expanduser()
        self.path = str(self._file.relative_to(root)) if self._file.is_relative_to(root) else str(self._file)
        self._log, self._lines = log, cells.Lines()
        self._bytes, self._size = 0, 0
        self._is_writing = False
        self._cursor = 0
        self._first_id = 0
        self._there: set[tuple[str, str]] = set()

    def restore(
        self, orphans: Orphans, cursor: int | None, states: Sequence[FileState], before: Mapping[str, int] | None
    ) -> None:
        """Raises OSError."""
        self._cursor, self._there = cursor or 0, set()
        for aside in self._file.parent.glob(f"{self._file.name}*.orphan"):
            orphans.found(str(Path(self.path).with_name(aside.name)))
        state = next((s for s in states if s.path == self.path), None)
        there = disk.size(self._file)
        known = state.bytes if state else (before or {}).get(self.path)
        self._first_id = state.first_id if state else 0
        if there is None:
            self._bytes = 0
        elif known is not None and there >= known:
            if there > known:
                orphans.set_aside_tail(self.path, known)
                os.truncate(self._file, known)
            self._bytes = known
        else:
            if state is not None:
                self._log.warning("csv: rows of the pump ledger are missing", file=self._file, bytes=known, found=there)
            self._continue(there)

    def noted(self) -> dict[str, int]:
        """For the first page: what stands there before it."""
        return {self.path: self._bytes}

    def apply(self, tree: Tree, rows: Sequence[Row]) -> Files:
        """Appends the runs among the rows. Raises OSError; then `undo` is called for."""
        lines = [self._line(row) for row in rows if row[0] > self._cursor and self._is_outcome(row)]
        there = disk.size(self._file)
        if there != self._bytes:  # another hand was at it: go on with what there is
            self._bytes = 0 if there is None else disk.whole_lines(self._file, there)
        self._size = self._bytes
        if not lines:
            return {}
        data = b"".join(lines) if self._bytes else HEADER + b"".join(lines)
        self._first_id = self._first_id or rows[0][0]
        self._is_writing = True
        fd = self._open()
        try:
            disk.write(fd, data, self._bytes)
            os.fsync(fd)
        finally:
            os.close(fd)
        self._size = self._bytes + len(data)
        # closed: it is on the disk, so that the store need not keep rows for it
        return {self.path: FileState(self.path, "pump_events", self._first_id, self._size, True, clock.boot_id())}

    def undo(self) -> None:
        """Raises OSError."""
        if self._is_writing and (disk.size(self._file) or 0) > self._bytes:
            os.truncate(self._file, self._bytes)
        self._is_writing = False

    def settle(self, tree: Tree) -> None:
        self._bytes, self._is_writing = self._size, False

    def _open(self) -> int:
        folders = disk.make_folders(self._file.parent, Path(self._file.anchor))
        made = not self._file.exists()
        fd = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        for folder in [*folders, self._file.parent] if made else []:
            disk.sync(folder)
        return fd

    def _continue(self, size: int) -> None:
        """A file that was there already: ours is gone on with, the seed's gets another name and stays as it is."""
        header = disk.first_line(self._file).rstrip(b"\r\n")
        if size and header != HEADER.rstrip(b"\n"):
            n = 1
            while (aside := self._file.with_name(f"{self._file.stem}-{n}{self._file.suffix}")).exists():
                n += 1
            self._file.rename(aside)
            disk.sync(aside.parent)
            self._log.info("csv: the pump ledger that was there has other columns: it stays as it is", file=aside)
            self._bytes = 0
            return
        self._bytes = disk.whole_lines(self._file, size)
        os.truncate(self._file, self._bytes)
        # the store is a new one: what daemons tell it again stands here already
        with self._file.open(newline="") as f:
            ended = [row for row in csv.DictReader(f) if row["Outcome"] != "refused"]
        self._there = {(row["Component"], row["Command"]) for row in ended}

    def _is_outcome(self, row: Row) -> bool:
        is_told = row[1 + _OWN + 2]
        run = cells.safe(_component(row[2])), cells.safe(row[10])
        return row[3] in _OUTCOMES and not is_told and run not in self._there

    def _line(self, row: Row) -> bytes:
        _, t_ns, pump, event, action, direction, ml, seconds, hz, steps, command, reason = row[:12]
        asked_ns, is_multi, _ = row[1 + _OWN :]
        if event == "refused":
            ml, seconds, steps = 0, 0, 0
        words = _ACTIONS.get(action, action.replace("_", " ").title())
        amounts = ["" if value is None else format(value, ".10g") for value in (ml, seconds, hz)]
        what = (_component(pump), f"{words} (Multi)" if is_multi else words, direction)
        return self._lines.line((cells.time_of(asked_ns or t_ns), *what, *amounts, event, reason, steps, command))


def _component(pump: str) -> str:
    return pump if pump.endswith("_pump") else f"{pump}_pump"
