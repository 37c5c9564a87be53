"""Rollups: n, sum, min, max and the last value of every series in windows of 60, 300 and 3,600 s.

One more consumer of the store by id, but in the writer's own thread: new rows are merged into what stands there, and
the cursor moves in the same transaction. So late data needs no special case, and a kill costs nothing.
"""

import sqlite3
import time
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType

from common.log import Log
from common.store import progress
from common.store.series import FINEST_S, SOURCES, Cell, Sums, merge, window
from common.store.writer import Store

NAME = "rollups"  # its cursors stand beside those of the outputs
WINDOWS_S = (FINEST_S, 300, 3600)
# A step rewrites the row of every series that had data, in three windows. Measured at 800 Hz with three axes, commits
# of 1 s, and 10 days of 44 series in the table: bytes written per sample without rollups 24.3, with a step each second
# 36, each 10 s 26.3, each 30 s 25.3.
INTERVAL_S = 10.0
_READING = 0.5  # of a step's time; the rest is for merging and the commit
_MAX_CELLS = 300  # series and minutes of one step, about: each is merged into three rows
_I64_MAX = 2**63 - 1
NO_LIMITS: Mapping[str, int] = MappingProxyType({})


class Rollups:
    """`step` after each commit, `finish` at a clean stop. It keeps nothing between two steps but when the next is due.

    imp_per_kwh: of the configured meters; another channel has no energy.
    """

    def __init__(self, imp_per_kwh: Mapping[str, float], log: Log | None = None) -> None:
        self.behind = False  # there is more to merge at once
        self.imp_per_kwh, self._log = imp_per_kwh, log
        self._due = time.monotonic()
        self._order = deque(SOURCES)
        self._told = False

    def step(
        self, store: Store, limits: Mapping[str, int] = NO_LIMITS, budget_s: float = 0.05, *, now: bool = False
    ) -> bool:
        """Merge new rows where that is due; whether there are more, for which to call again at once.

        limits: table → id beyond which rows are not to be read yet; a table not named has none. now: also before it
        is due. Raises StoreError: nothing of this step is stored.
        """
        if not (now or self.behind) and time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + INTERVAL_S
        end = time.monotonic() + budget_s * _READING
        self.behind = store.work(lambda conn: self._merge(conn, limits, end))
        return self.behind

    def finish(self, store: Store, limits: Mapping[str, int] = NO_LIMITS, timeout_s: float = 1.0) -> bool:
        """Merge what is left, for at most so long; whether all of it is. Raises StoreError."""
        end = time.monotonic() + timeout_s
        while self.step(store, limits, now=True):
            if time.monotonic() >= end:
                return False
        return True

    def _merge(self, conn: sqlite3.Connection, limits: Mapping[str, int], end: float) -> bool:
        cursors = progress.cursors(conn, NAME)
        sums = Sums(self.imp_per_kwh, self._damaged)
        moved: dict[str, int] = {}
        self._order.rotate(-1)  # a long backlog in one table must not keep another waiting
        left = deque(self._order)
        # at least one page, however short the time
        while left and not (moved and (time.monotonic() >= end or len(sums.cells) >= _MAX_CELLS)):
            table = left.popleft()
            columns, page = SOURCES[table]
            after, top = moved.get(table, cursors.get(table, 0)), limits.get(table, _I64_MAX)
            sql = f"SELECT id, {columns} FROM {table} WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
            rows = conn.execute(sql, (after, top, page)).fetchall()
            if rows:
                sums.add(table, rows)
                moved[table] = rows[-1][0]
            if len(rows) == page:
                left.append(table)
        _write(conn, sums.cells)
        progress.set_cursors(conn, NAME, moved)
        return bool(left)

    def _damaged(self, rowid: int, reason: str) -> None:
        if self._log is not None and not self._told:
            self._told = True
            self._log.error(
                "a chunk of samples cannot be read and is left out of the rollups, as others like it will be",
                row=f"sample_chunks {rowid}", reason=reason,
            )  # fmt: skip


def _write(conn: sqlite3.Connection, cells: Mapping[tuple[str, int], Cell]) -> None:
    """Merge cells into the table. REPLACE gives a changed row a new id, so that outputs send it again."""
    for window_s in WINDOWS_S:
        coarse: dict[tuple[int, str], Cell] = {}
        for (series, start), cell in cells.items():
            key = window(start, window_s), series
            found = coarse.get(key)
            coarse[key] = cell if found is None else merge(found, cell)
        rows = []
        for (start, series), cell in sorted(coarse.items()):
            stored = conn.execute(
                "SELECT n, sum, min, max, last, last_t_ns FROM rollups WHERE window_s = ? AND t_ns = ? AND series = ?",
                (window_s, start, series),
            ).fetchone()
            rows.append((window_s, start, series, *(merge(Cell(*stored), cell) if stored else cell)))
        conn.executemany(
            "INSERT OR REPLACE INTO rollups (window_s, t_ns, series, n, sum, min, max, last, last_t_ns) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
