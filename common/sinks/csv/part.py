"""A table's way into its files: a page is planned, written whole or undone, and what the store is to know is told."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from common.log import Log
from common.sinks.csv import age, pack
from common.sinks.csv.orphans import Orphans
from common.sinks.csv.restore import FirstPages, restore
from common.sinks.csv.tree import Files, Tree
from common.sinks.output import Feed, Row, Written
from common.store.moves import FileState, Refused

_UNUSED_S = 60.0  # files that are over are closed when nothing came for them for so long
_PACK_S = 0.1  # in a look: new rows must not wait for all of them
_LOOK_S = 600.0  # between looks for files that are too old


class Beside(Protocol):
    """A further file that a table's rows go into."""

    def noted(self) -> dict[str, int]: ...
    def apply(self, tree: Tree, rows: Sequence[Row]) -> Files: ...
    def undo(self) -> None: ...
    def settle(self, tree: Tree) -> None: ...


class Limits(NamedTuple):
    """max_files, keep_days 0: no bound. gzip: whether closed files are packed."""

    max_files: int = 0
    keep_days: float = 0.0
    gzip: bool = False


class Part:
    """feed: what it reads. encode: rows → the page of the tree; returns the rows that can never be taken."""

    def __init__(
        self,
        feed: Feed,
        tree: Tree,
        encode: Callable[[Sequence[Row], Tree], list[Refused]],
        limits: Limits,
        log: Log,
        beside: Beside | None = None,
    ) -> None:
        self.feed, self.tree, self.beside = feed, tree, beside
        self._encode, self._limits, self._log = encode, limits, log
        self._cursor = self._seen = 0
        self._look_at = 0.0
        self._is_pruned = False
        self._closed: list[str] = []  # told, maybe not committed
        self._packable: list[str] = []

    def restore(
        self, orphans: Orphans, cursor: int | None, states: Sequence[FileState], before: Mapping[str, int] | None
    ) -> int | None:
        """Raises OSError."""
        back = restore(self.tree, orphans, cursor, states, before)
        self._cursor = cursor or 0
        self._seen = self._cursor if back is None else back
        self._look_at = 0.0
        self._closed = []
        known = {state.path for state in states if state.closed and state.first_id}  # others are not ours to change
        self._packable = [path for path in self.tree.kept if path in known and path.endswith(".csv")]
        return back

    def write(self, rows: Sequence[Row], firsts: FirstPages) -> Written:
        """Raises OSError, and everything is as it was."""
        tree, limits = self.tree, self._limits
        ids = [row[0] for row in rows]
        tree.begin(ids, alone=ids[-1] <= self._seen)
        anew_to = self._cursor if tree.redo is not None else 0
        refused = self._encode(rows, tree)
        bad = {one.row_id for one in refused}
        beside: Files = {}
        try:
            if limits.max_files:
                coming = Counter(change.file.group for change in tree.changes.values() if change.new)
                self._is_pruned |= age.prune(tree, limits.max_files, coming)
            noted = self.beside.noted() if self.beside is not None else {}
            firsts.begin(self.feed.table, {**tree.kept, **noted})
            tree.apply()
            if self.beside is not None:
                beside = self.beside.apply(tree, [row for row in rows if row[0] not in bad])
        except OSError:
            try:
                tree.undo()
            finally:
                if self.beside is not None:
                    self.beside.undo()
            raise
        if self.beside is not None:
            self.beside.settle(tree)
        tree.settle()
        self._seen = max(self._seen, ids[-1])
        firsts.written(self.feed.table)
        files = {**self._told(), **beside}
        return Written([one for one in refused if one.row_id > anew_to], files)

    def prune(self) -> bool:
        """After a page: whether files were deleted since this was asked. Raises OSError."""
        if self._limits.max_files:
            self._is_pruned |= age.prune(self.tree, self._limits.max_files)
        is_pruned, self._is_pruned = self._is_pruned, False
        return is_pruned

    def idle(self) -> Files:
        """All is read. Raises OSError."""
        tree, limits, now = self.tree, self._limits, time.monotonic()
        tree.finish()
        tree.close_old(time.time(), _UNUSED_S)
        while self._packable and limits.gzip and time.monotonic() < now + _PACK_S:
            path = self._packable.pop(0)
            if path in tree.kept:
                pack.pack(tree, path)
        if limits.keep_days and now >= self._look_at:
            self._look_at = now + _LOOK_S
            age.drop_days(tree, time.time(), limits.keep_days)
        return self._told()

    def committed(self) -> None:
        """What was told is in the store."""
        self._packable += self._closed
        self._closed = []

    def _told(self) -> Files:
        files = self.tree.told()
        if self._limits.gzip:
            closed = (s for s in files.values() if s is not None and s.closed and s.first_id)
            self._closed += [s.path for s in closed if s.path.endswith(".csv")]
        return files
