"""What leaves the store, and when: raw rows and fine rollups by age and, on a nearly full disk, the oldest first.

Two transactions of a step take at most some 50 ms each. What is kept for ever is in docs/store.md.
"""

import contextlib
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from common import clock
from common.config.schema import SinkConfig
from common.errors import StoreError
from common.log import Log
from common.log_events import LogEvent
from common.store import database, prune, space
from common.store.moves import Follower
from common.store.prune import Kind, Skipped
from common.store.rollups import NO_LIMITS
from common.store.writer import Store

_DAY_NS = 86_400 * 10**9
PASS_S = 60.0  # between two looks for what is too old: rows that go together cost the card less
_STEP_S = 0.03
_DELETING = 0.6  # of a step that makes room; the rest is for giving pages back
JUMP_NS = 3600 * 10**9  # a wall clock that goes ahead by so much may be wrong: what is old by it stays a while
JUMP_PAUSE_S = 3600.0
SUM_S = 600.0  # a loss that goes on is a row of the ledger so often
CALM_S = 3600.0  # without a row deleted early: then a full disk is over, for the log
_MARGIN_BYTES = 1 << 20
LONG_LOG_BYTES = 8 * database.WAL_PAGES * database.PAGE_SIZE  # it is cut to half of that when it begins anew
_MOST_ROWS = 1 << 20  # what its time allows
_FEW_ROWS = 1000
_FINE = Kind("rollups", 60), Kind("rollups", 300)
_BY_AGE = (*(Kind(table) for table in prune.RAW), *_FINE)
# Pulses last: what they count is energy that nothing later makes up for. Rollups of 5 minutes and an hour stay.
_FOR_ROOM = (*(Kind(table) for table in prune.RAW if table != "pulses"), _FINE[0], Kind("pulses"))
_EVERYTHING = 2**63 - 1


class Retention:
    """`step` after each commit, `refused` where one failed, `finish` at a clean stop.

    full: the disk is nearly full, and rows go before their time; deleted_early: so many so far.
    """

    def __init__(self, cfg: SinkConfig, data: Path, log: Log) -> None:
        self.full = False
        self.deleted_early = 0
        self._cfg, self._data, self._log = cfg, data, log
        self._left: list[Kind] = []  # of the pass by age that goes on
        self._pass_at = 0.0
        self._vacuuming = self._refused = self._nothing_left = False
        self._rows = _MOST_ROWS  # of a step that makes room: fewer where even the log finds no room
        self._told_at: float | None = None  # the log has been told of a full disk; when a row last went early
        self._sum_at = 0.0
        self._log_is_short = self._log_is_long = False
        self._losses = True  # sums may wait for the ledger: of an earlier process too
        self._offset_ns = clock.wall_minus_boot_ns()
        self._pause_until = 0.0

    def take(self, cfg: SinkConfig) -> None:
        """Other bounds; how long rows stay is looked at anew."""
        self._cfg, self._pass_at = cfg, 0.0

    def step(
        self,
        store: Store,
        consumers: Sequence[Follower],
        limits: Mapping[str, int] = NO_LIMITS,
        *,
        aging: bool = True,
    ) -> bool:
        """Some deletions, where they are due; whether there is more to do at once.

        consumers: of the outputs that are enabled. limits: table → id beyond which no row goes by age (the clock's
        gate). aging: whether any may (rows that are still to be re-timed have no age yet). Raises StoreError: nothing
        of this step is done.
        """
        self._watch_clock()
        try:
            free = space.free_bytes(self._data) - store.owed_bytes()
            floor = space.floor_bytes(self._data, self._cfg.min_free_mb)
        except OSError as e:
            raise StoreError(f"{self._data}: {e.strerror}") from e
        # where others have filled the disk, half of what is left is for rows: else each would go as soon as it came
        floor = min(floor, (free + space.size(store.path)) // 2)
        target = floor + min(max(floor // 10, _MARGIN_BYTES), floor // 2)
        self.full = self._refused or free < (target if self.full else floor)
        if self.full:
            return self._make_room(store, consumers, target - free, urgent=self._refused or free < floor // 2)
        self._recover(store)
        self._watch_log(store.path)
        return aging and self._by_age(store, consumers, limits)

    def _watch_log(self, path: str) -> None:
        """A reader that holds a transaction open keeps the log from being used anew."""
        is_long = space.size(f"{path}-wal") > LONG_LOG_BYTES
        if is_long and not self._log_is_long:
            self._log.warning(
                "somebody reads the database in one long transaction: its log grows", mb=LONG_LOG_BYTES >> 20
            )
        elif self._log_is_long and not is_long:
            self._log.info("the database's log is short again")
        self._log_is_long = is_long

    def refused(self, error: StoreError) -> None:
        """A commit failed. Where that was for want of room, the next step makes some, whatever the disk says."""
        cause = error.__cause__
        self._refused |= isinstance(cause, sqlite3.Error) and database.primary_code(cause) == sqlite3.SQLITE_FULL

    def finish(self, store: Store) -> None:
        """Bring what is summed into the ledger. Raises StoreError."""
        if self._losses:
            store.work(prune.close_losses)
            self._losses = False

    # ---- by age

    def _by_age(self, store: Store, consumers: Sequence[Follower], limits: Mapping[str, int]) -> bool:
        now = time.monotonic()
        if not self._left:
            if self._vacuuming:
                self._vacuuming = store.work(lambda conn: _shrink(conn, now + _STEP_S))
                return self._vacuuming
            if now < max(self._pass_at, self._pause_until):
                return False
            self._pass_at, self._left = now + PASS_S, list(_BY_AGE)
        done = store.work(lambda conn: self._delete_old(conn, consumers, limits, now + _STEP_S))
        self._left = self._left[done:]
        if not self._left:
            self._vacuuming = store.work(lambda conn: space.too_many_free(conn, space.SHARE_ABOVE))
        return bool(self._left) or self._vacuuming

    def _delete_old(
        self, conn: sqlite3.Connection, consumers: Sequence[Follower], limits: Mapping[str, int], end: float
    ) -> int:
        """How many kinds are done."""
        for done, kind in enumerate(self._left):
            days = self._days(kind)
            if not days:
                continue
            top = prune.held_from(conn, kind.table, consumers, limits)
            if not prune.by_age(conn, kind, clock.wall_ns() - int(days * _DAY_NS), top, end):
                return done
        return len(self._left)

    def _days(self, kind: Kind) -> float:
        """0: for ever."""
        by_window = {0: self._cfg.retention_days, 60: self._cfg.rollup_1m_days, 300: self._cfg.rollup_5m_days}
        return by_window[kind.window_s]

    def _watch_clock(self) -> None:
        """What was stored before a step ahead is suddenly old: it stays until somebody could mend a wrong clock."""
        offset = clock.wall_minus_boot_ns()
        if offset - self._offset_ns > JUMP_NS:
            self._pause_until = time.monotonic() + JUMP_PAUSE_S
            self._left = []
        self._offset_ns = offset

    # ---- for room

    def _make_room(self, store: Store, consumers: Sequence[Follower], missing: int, *, urgent: bool) -> bool:
        skipped: list[Skipped] = []
        start = time.monotonic()
        close = start >= self._sum_at

        def job(conn: sqlite3.Connection) -> tuple[int, bool, bool]:
            # each commit is to be in the file, which only then shrinks; and the log is not to grow
            conn.execute("PRAGMA wal_autocheckpoint = 1").fetchall()
            self._log_is_short = True
            deleted, left = self._delete_oldest(store.path, conn, consumers, missing, skipped, urgent=urgent)
            if close:
                prune.close_losses(conn)
            return deleted, left, space.give_back(conn, start + _STEP_S)

        try:
            deleted, left, more = store.work(job)
        except StoreError as e:
            self.refused(e)
            if not self._refused:
                raise
            self._rows = max(1, min(self._rows, _FEW_ROWS) // 4)  # no room for so large a step in the log
            with contextlib.suppress(StoreError):
                store.work(_checkpoint)
            return False
        for consumer, table, to_id in skipped:
            consumer.skip(table, to_id)
        if close and deleted:
            self._sum_at = start + SUM_S
        self._rows = min(_MOST_ROWS, self._rows * 2)
        self._losses |= bool(deleted)
        self.deleted_early += deleted
        self._tell(deleted, left=left)
        self._refused = False
        return more or (deleted > 0 and left)

    def _delete_oldest(
        self,
        path: str,
        conn: sqlite3.Connection,
        consumers: Sequence[Follower],
        missing: int,
        skipped: list[Skipped],
        *,
        urgent: bool,
    ) -> tuple[int, bool]:
        """Rows deleted, and whether any are left that may be."""
        end = time.monotonic() + _STEP_S * _DELETING
        deleted = 0
        for kind in _FOR_ROOM:
            days = self._days(kind)
            early_ns = clock.wall_ns() - int(days * _DAY_NS) if days else -_EVERYTHING
            while True:
                least = prune.BATCH_BYTES if self._refused and not deleted else 0
                wanted = max(missing - space.coming_bytes(conn, path), least)
                if wanted <= 0 or deleted >= self._rows or time.monotonic() >= end:
                    return deleted, True
                # an output that gets on, and the rollups, are only passed when there is no time left
                top = _EVERYTHING if urgent else prune.delivered_to(conn, kind.table, consumers)
                found, told = prune.oldest(conn, kind, top, consumers, early_ns, self._rows - deleted, wanted)
                deleted += found
                skipped += told
                if not found:
                    if not urgent and prune.any_left(conn, kind):
                        return deleted, True
                    break
        return deleted, False

    def _tell(self, deleted: int, *, left: bool) -> None:
        now = time.monotonic()
        if self._told_at is None:
            self._log.warning(
                "the disk is nearly full: the oldest data goes",
                event=LogEvent.DISK_FULL, min_free_mb=self._floor_mb(),
            )  # fmt: skip
        if deleted or self._told_at is None:
            self._told_at = now
        if self._refused and not left and not self._nothing_left:
            self._log.error("the disk is full, and no data is left that may go", event=LogEvent.DISK_FULL)
            self._nothing_left = True

    def _recover(self, store: Store) -> None:
        """After a full disk."""
        self._nothing_left = False
        now = time.monotonic()
        if self._losses and now >= self._sum_at:
            self._sum_at = now + SUM_S if self._told_at is not None else 0.0
            self.finish(store)
        if self._log_is_short:
            store.work(lambda conn: conn.execute(f"PRAGMA wal_autocheckpoint = {database.WAL_PAGES}").fetchall())
            self._log_is_short = False
        if self._told_at is not None and now - self._told_at >= CALM_S:
            self._told_at = None
            self._log.info(
                "there is room on the disk again", event=LogEvent.DISK_OK, rows_deleted_early=self.deleted_early
            )

    def _floor_mb(self) -> int:
        return round(space.floor_bytes(self._data, self._cfg.min_free_mb) / 1e6)


def _checkpoint(conn: sqlite3.Connection) -> None:
    """Make room in the log, without which not even a deletion can be written: not within a transaction."""
    conn.execute("COMMIT")
    conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    conn.execute("BEGIN IMMEDIATE")


def _shrink(conn: sqlite3.Connection, end: float) -> bool:
    """Whether to go on."""
    space.give_back(conn, end)
    return space.too_many_free(conn, space.SHARE_DOWN_TO)
