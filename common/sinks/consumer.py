"""The thread of one output: pages from the store, by id, into it; cursor moves back to the writer.

It holds one page in memory and no statement open while the output works, so that an output that stalls costs no memory
and delays nobody. A change of state is logged, and while rows pile up the queue's size: never a line a try.
"""

import random
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence

from common.errors import StoreError
from common.log import Log
from common.sinks.output import Feed, NotNow, Output, Written
from common.store import progress, readonly
from common.store.moves import Lost, Mailbox

QUEUE_LOG_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0
_IDLE_S = 1.0
_REQUEUED = 500  # quarantined rows sent again in one go


class Gate:
    """Up to which id rows may be handed to outputs, by table (not named: all). Set by the writer's thread."""

    def __init__(self) -> None:
        self.limits: Mapping[str, int] = {}
        self.reason = ""

    def hold(self, limits: Mapping[str, int], reason: str) -> None:
        self.limits, self.reason = limits, reason

    def open(self) -> None:
        self.limits, self.reason = {}, ""


class Consumer:
    """`start`; `wake` after each commit; `stop` and `join`. The attributes are for other threads to read.

    state: "starting", "writing", or "waiting", for what `reason` says. behind: rows not yet delivered. reach: table →
    id up to which rows are delivered or in this thread's hands.
    """

    def __init__(self, name: str, output: Output, store: str, gate: Gate, log: Log) -> None:
        self.name, self.mailbox = name, Mailbox(name)
        self.state, self.reason = "starting", ""
        self.behind = self.delivered = self.refused = 0
        self.reach: dict[str, int] = {}
        self.feeds: Sequence[Feed] = list(output.feeds())
        self._output, self._store, self._gate, self._log = output, store, gate, log
        self._conn: sqlite3.Connection | None = None
        self._position: dict[str, int] = {}
        self._anew: dict[str, int] = {}  # table → the cursor, while the output reads again what lies before it
        self._again: dict[int, int] = {}  # quarantine id → ticket: sent again, not yet committed
        self._ticket = self._told = 0
        self._pause_s, self._idle_at = _FIRST_PAUSE_S, 0.0
        self._queue_at, self._queued = time.monotonic() + QUEUE_LOG_S, False
        self._lock = threading.Condition()
        self._news = self._load_due = True
        self._interrupted = False  # a pause is to end now
        self._skips: dict[str, int] = {}
        self._stop_at: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"output-{name}", daemon=True)

    # ---- for other threads

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There are new rows, or moves were committed."""
        with self._lock:
            self._news = True
            self._lock.notify()

    def restart(self) -> None:
        """The store is another one: go on from what it says of this output."""
        self.mailbox.reset()
        with self._lock:
            self._load_due = self._news = self._interrupted = True
            self._lock.notify()

    def retry(self) -> None:
        """Try now what is being waited for."""
        with self._lock:
            self._interrupted = True
            self._lock.notify()

    def skip(self, table: str, to_id: int) -> None:
        """The writer gave up rows up to there, and has accounted for those beyond the cursor."""
        with self._lock:
            self._skips[table] = max(self._skips.get(table, 0), to_id)

    def stop(self, timeout_s: float) -> None:
        """Deliver what there is, within so long, then end; see `join`."""
        with self._lock:
            self._stop_at = time.monotonic() + timeout_s
            self._lock.notify()

    def join(self, timeout_s: float) -> bool:
        """Whether the thread has ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # ---- its own thread

    def _run(self) -> None:
        while True:
            with self._lock:
                self._news = False
            try:
                more = self._pass()
            except NotNow as e:
                if not self._pause(str(e), e.after_s, mending=e.needs_mending):
                    break
            except (sqlite3.Error, StoreError, FileNotFoundError) as e:
                self._disconnect()
                if not self._pause(f"the store cannot be read: {e}", 1.0):
                    break
            except Exception as e:  # a fault in one output must not end the sink
                if not self._pause(f"{type(e).__name__}: {e}", None, mending=True):
                    break
            else:
                self._well()
                if not more and not self._wait_for_news():
                    break
            if self._stop_at is not None and time.monotonic() >= self._stop_at:
                break
        self._disconnect()
        try:
            self._output.close()
        except Exception as e:
            self._log.warning(f"{self.name}: not closed cleanly", reason=e)

    def _pass(self) -> bool:
        """One page of every feed; whether any has more."""
        if self._load_due:
            self._load()
        if self._ticket > self._told and self.mailbox.is_committed(self._ticket):
            self._told = self._ticket
            self._output.committed()
        more = not self._is_going_back() and self._send_again()
        for feed in self.feeds:
            more |= self._page(feed)
        if not more and (now := time.monotonic()) >= self._idle_at:
            self._idle_at = now + _IDLE_S
            self._tell(self._output.idle())
        return more

    def _page(self, feed: Feed) -> bool:
        table = feed.table
        with self._lock:
            position = self._position[table] = max(self._position[table], self._skips.get(table, 0))
        top = self._top(feed)
        if position >= top:
            return False
        where = f"AND ({feed.where})" if feed.where else ""
        rows = self._db().execute(
            f"SELECT id, {feed.columns} FROM {table} WHERE id > ? AND id <= ? {where} ORDER BY id LIMIT ?",
            (position, top, feed.limit),
        ).fetchall()  # fmt: skip
        end = rows[-1][0] if len(rows) == feed.limit else top
        self.reach[table] = end
        written = self._output.write(table, rows) if rows else Written()
        self._position[table] = end
        self.delivered += len(rows)
        self._tell(written, {table: end})
        self._watch_queue()
        return bool(end < top)

    def _tell(self, written: Written, cursors: dict[str, int] | None = None) -> None:
        if not (cursors or written.refused or written.files):
            return
        self.refused += len(written.refused)
        self._ticket = self.mailbox.add(cursors, dict(written.files), list(written.refused))
        while self.mailbox.is_full() and not self._load_due and self._stop_at is None:
            with self._lock:
                self._lock.wait(0.2)  # each refused row is kept: no more of them than commits can take

    def _top(self, feed: Feed) -> int:
        found = self._db().execute(f"SELECT max(id) FROM {feed.table}").fetchone()[0] or 0
        return int(min(found, self._gate.limits.get(feed.table, found)))

    def _send_again(self) -> bool:
        """Quarantined rows that somebody asked to send again; whether there may be more."""
        self._again = {row: ticket for row, ticket in self._again.items() if not self.mailbox.is_committed(ticket)}
        tables = [feed.table for feed in self.feeds]  # a row of another one waits until the output reads that again
        asked = self._db().execute(
            "SELECT id, table_name, row_id FROM quarantine WHERE output = ? AND requeued = 1 "
            f"AND table_name IN ({', '.join('?' * len(tables))}) ORDER BY id LIMIT ?",
            (self.name, *tables, _REQUEUED + len(self._again)),
        ).fetchall()  # fmt: skip
        asked = [row for row in asked if row[0] not in self._again]
        for feed in self.feeds:
            ids = {row_id: quarantined for quarantined, table, row_id in asked if table == feed.table}
            if not ids:
                continue
            marks = ", ".join("?" * len(ids))
            sql = f"SELECT id, {feed.columns} FROM {feed.table} WHERE id IN ({marks}) ORDER BY id"
            rows = self._db().execute(sql, list(ids)).fetchall()
            written = self._output.write(feed.table, rows) if rows else Written()
            kept = {refused.row_id: refused.reason for refused in written.refused}
            kept |= dict.fromkeys(ids.keys() - {row[0] for row in rows}, "the row is no longer in the store")
            settled = [quarantined for row_id, quarantined in ids.items() if row_id not in kept]
            still = [(ids[row_id], reason) for row_id, reason in kept.items()]
            self._ticket = self.mailbox.add(files=dict(written.files), settled=settled, kept=still)
            self._again |= dict.fromkeys(ids.values(), self._ticket)
        return len(asked) >= _REQUEUED

    def _load(self) -> None:
        """Where the store says that this output is; what has gone meanwhile is a loss of rows."""
        with self._lock:
            self._load_due = False
        try:
            self._disconnect()
            conn = self._db()
            cursors = progress.cursors(conn, self.name)
            for feed in self.feeds:
                self._skip_what_is_gone(conn, feed, cursors)
            back = self._output.restore(cursors, progress.files(conn, self.name))
        except BaseException:
            self._load_due = True
            raise
        self._position = {feed.table: back.get(feed.table, cursors.get(feed.table, 0)) for feed in self.feeds}
        self.reach = dict(cursors)
        self._anew = {table: cursors[table] for table in back if table in cursors}

    def _is_going_back(self) -> bool:
        """Whether the output is given again what it had: a row out of turn would stand there twice."""
        self._anew = {table: to for table, to in self._anew.items() if self._position[table] < to}
        return bool(self._anew)

    def _skip_what_is_gone(self, conn: sqlite3.Connection, feed: Feed, cursors: dict[str, int]) -> None:
        """An output that was switched off holds nothing back: what retention took meanwhile is counted."""
        if not feed.retained or feed.table not in cursors:
            return
        after_all = "(SELECT seq + 1 FROM sqlite_sequence WHERE name = ?)"
        sql = f"SELECT coalesce((SELECT min(id) FROM {feed.table}), {after_all})"
        first = conn.execute(sql, (feed.table,)).fetchone()[0]
        gone = (first or 0) - 1 - cursors[feed.table]
        if gone > 0:
            cursors[feed.table] += gone
            lost = Lost(feed.table, gone, "pruned", detail="deleted before the output had them")
            self._ticket = self.mailbox.add({feed.table: cursors[feed.table]}, lost=[lost])

    # ---- waiting, state, log

    def _pause(self, reason: str, after_s: float | None, *, mending: bool = False) -> bool:
        """Waits before the next try; False when it is to end."""
        if (self.state, self.reason) != ("waiting", reason):
            self.state, self.reason = "waiting", reason
            log = self._log.error if mending else self._log.warning
            log(f"{self.name}: {reason}", rows_behind=self._count_behind())
        seconds = after_s
        if seconds is None:  # an answer that says when is no reason to wait longer the next time
            seconds = self._pause_s * random.uniform(0.5, 1.0)
            self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self._stop_at is None:
            with self._lock:
                if not self._interrupted:
                    self._lock.wait(min(left, 1.0))
                if self._interrupted:
                    break
            self._watch_queue()
        self._interrupted = False
        return self._stop_at is None

    def _wait_for_news(self) -> bool:
        """False when it is to end: all is delivered."""
        self.behind = 0
        self._watch_queue()
        with self._lock:
            if not self._news and self._stop_at is None:
                self._lock.wait(_IDLE_S)
            return self._news or self._stop_at is None

    def _well(self) -> None:
        self._pause_s = _FIRST_PAUSE_S
        if self.state == "waiting":
            self._log.info(f"{self.name}: goes on", rows_behind=self._count_behind())
        self.state, self.reason = "writing", ""

    def _watch_queue(self) -> None:
        """The queue's size in the log, every few seconds while there is one."""
        now = time.monotonic()
        if self.state == "writing" and now < self._queue_at and self._queued:
            return
        if not self._count_behind():
            if self._queued:
                self._log.info(f"{self.name}: nothing is behind")
            self._queued, self._queue_at = False, now + QUEUE_LOG_S
        elif now >= self._queue_at:
            self._log.info(f"{self.name}: queue", rows=self.behind)
            self._queued, self._queue_at = True, now + QUEUE_LOG_S

    def _count_behind(self) -> int:
        try:
            tops = [(feed.table, self._top(feed)) for feed in self.feeds]
        except (sqlite3.Error, StoreError, FileNotFoundError):
            return self.behind  # as it was
        self.behind = sum(max(0, top - self._position.get(table, 0)) for table, top in tops)
        return self.behind

    # ---- the store

    def _db(self) -> sqlite3.Connection:
        if self._conn is None:
            self._conn, _ = readonly.connect(self._store)
        return self._conn

    def _disconnect(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None
