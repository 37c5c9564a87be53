"""The thread of one output: pages from the store, by id, into it; cursor moves back to the writer.

It holds one page in memory and no statement open while the output works, so that an output that stalls costs no memory
and delays nobody. A change of state is a line in the log, a try is none.
"""

import random
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence

from common.errors import ConfigError, StoreError
from common.log import Log
from common.log_events import LogEvent
from common.sinks import requeue
from common.sinks.gate import Gate
from common.sinks.output import Feed, NotNow, Output, Row, Written
from common.store import progress, readonly
from common.store.moves import Lost, Mailbox, Move, Refused

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0
_IDLE_S = 1.0
_OPENING_S = 2.0  # until a writer that has just begun has made its log

_NOTHING = Written()


class Consumer:
    """`start`; `wake` after each commit; `stop` and `join`. The attributes are for other threads to read.

    state: "starting", "writing", or "waiting", for what `reason` says. behind: rows not yet delivered, as the writer's
    thread counts them. reach: table → id up to which rows are delivered or in this thread's hands.
    """

    def __init__(self, name: str, output: Output, store: str, gate: Gate, log: Log) -> None:
        self.name, self.mailbox = name, Mailbox(name)
        self.state, self.reason = "starting", ""
        self.behind = self.delivered = self.refused = 0
        self.reach: dict[str, int] = {}
        self.feeds: Sequence[Feed] = list(output.feeds())
        if len({feed.table for feed in self.feeds}) < len(self.feeds):
            raise ConfigError(f"output {name} asks for one table twice: it has one cursor for each")
        self._output, self._store, self._gate, self._log = output, store, gate, log
        self._conn: sqlite3.Connection | None = None
        self._position: dict[str, int] = {}
        self._anew: dict[str, int] = {}  # table → the cursor, while the output reads again what lies before it
        self._again: dict[int, int] = {}  # quarantine id → ticket: sent again, not yet committed
        self._ticket = self._told = 0
        self._pause_s, self._idle_at = _FIRST_PAUSE_S, 0.0
        self.caught_up = True  # at times; others set it back
        self._epoch = self.mailbox.epoch
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
            self._skips.clear()
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

    def position(self, table: str) -> int:
        """Up to which id rows are delivered."""
        return self._position.get(table, 0)

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
                self.caught_up |= not more
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
            self._output.committed()
            self._told = self._ticket
        is_going_back = self._is_going_back()
        more = self._pages() | (not is_going_back and self._send_again())
        if is_going_back and self._gate.limits:
            return more  # what it is to be given again is held back: that is no end
        if not more and (now := time.monotonic()) >= self._idle_at:
            self._idle_at = now + _IDLE_S
            self._tell(Move(self.name), self._output.idle())
        return more

    def _pages(self) -> bool:
        """One page of every feed; where one cannot be taken, all that others have before that is said."""
        blocked: dict[str, NotNow] = {}
        while True:
            more = False
            for feed in self.feeds:
                if self._load_due:
                    return True
                try:
                    more |= feed.table not in blocked and self._page(feed)
                except NotNow as e:
                    if not e.of_table:
                        raise
                    blocked[feed.table] = e
            if not blocked:
                return more
            if not more or self._stop_at is not None:
                raise next(iter(blocked.values()))

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
        refused = _checked(written.refused, table, rows)
        self._position[table] = end
        self.delivered += len(rows) - len(refused)
        self._tell(Move(self.name, {table: end}, refused=refused), written)
        return bool(end < top)

    def _tell(self, move: Move, written: Written = _NOTHING) -> None:
        move = move._replace(files=dict(written.files))
        if move == Move(self.name):
            return
        self.refused += len(move.refused)
        self._ticket = self.mailbox.add(move, self._epoch)
        while self.mailbox.is_full() and not self._load_due and self._stop_at is None:
            with self._lock:
                self._lock.wait(0.2)  # each refused row is kept: no more of them than commits can take

    def _top(self, feed: Feed) -> int:
        found = self._db().execute(f"SELECT max(id) FROM {feed.table}").fetchone()[0] or 0
        return int(min(found, self._gate.limits.get(feed.table, found)))

    def _send_again(self) -> bool:
        """Quarantined rows that somebody asked to send again; whether there may be more."""
        self._again = {row: ticket for row, ticket in self._again.items() if not self.mailbox.is_committed(ticket)}
        asked = requeue.asked_for(self._db(), self.name, self.feeds, len(self._again))
        asked = [row for row in asked if row.id not in self._again]
        for feed in self.feeds:
            ids = {row.row_id: row.id for row in asked if row.table == feed.table}
            if ids:
                rows = requeue.rows_of(self._db(), feed, list(ids))
                written = self._output.write(feed.table, rows) if rows else Written()
                move = requeue.outcome(self.name, ids, rows, _checked(written.refused, feed.table, rows))
                self._tell(move, written)
                self._again |= dict.fromkeys(ids.values(), self._ticket)
        return len(asked) >= requeue.AT_ONCE

    def _load(self) -> None:
        """Where the store says that this output is; what has gone meanwhile is a loss of rows."""
        with self._lock:
            self._load_due = False
            self._epoch = self.mailbox.epoch
        try:
            self._disconnect()
            conn = self._db()
            cursors = progress.cursors(conn, self.name)
            begin = self._begin(conn, cursors)
            back = self._output.restore(cursors, progress.files(conn, self.name))
        except BaseException:
            self._load_due = True
            raise
        self._tell(begin)
        self._position = {feed.table: back.get(feed.table, cursors.get(feed.table, 0)) for feed in self.feeds}
        self.reach = dict(cursors)
        self._anew = {table: cursors[table] for table in back if table in cursors}

    def _is_going_back(self) -> bool:
        """Whether the output is given again what it had: a row out of turn would stand there twice."""
        self._anew = {table: to for table, to in self._anew.items() if self._position[table] < to}
        return bool(self._anew)

    def _begin(self, conn: sqlite3.Connection, cursors: Mapping[str, int]) -> Move:
        """An output that was switched off holds nothing back: rows that retention took meanwhile are counted.

        Ids are dense, so what is not there is gone. Up to where that was counted is a cursor too.
        """
        set_to: dict[str, int] = {}
        lost: list[Lost] = []
        for feed in self.feeds:
            counted, found = f"{feed.table}{progress.COUNTED}", cursors.get(feed.table)
            seq = conn.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (feed.table,)).fetchone()
            last = int(seq[0]) if seq else 0
            if found is None:  # new: what went before it was there is no loss to it
                set_to |= {feed.table: 0, counted: last}
            elif feed.retained and (base := max(found, cursors.get(counted, 0))) < last:
                there = conn.execute(f"SELECT count(*) FROM {feed.table} WHERE id > ?", (base,)).fetchone()[0]
                set_to[counted] = last
                if gone := last - base - there:
                    detail = "deleted before the output had them" + (", of all rows" if feed.where else "")
                    lost.append(Lost(feed.table, gone, "pruned", detail=detail))
        return Move(self.name, set_to, lost=lost)

    # ---- waiting, state, log

    def _pause(self, reason: str, after_s: float | None, *, mending: bool = False) -> bool:
        """Waits before the next try; False when it is to end."""
        if (self.state, self.reason) != ("waiting", reason):
            self.state, self.reason = "waiting", reason
            log = self._log.error if mending else self._log.warning
            log(f"{self.name}: {reason}", event=LogEvent.OUTPUT_AWAY, also={"output": self.name, "reason": reason})
        seconds = after_s
        if seconds is None:  # an answer that says when is no reason to wait longer the next time
            seconds = self._pause_s * random.uniform(0.5, 1.0)
            self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)
        end = time.monotonic() + seconds
        with self._lock:
            while (left := end - time.monotonic()) > 0 and self._stop_at is None and not self._interrupted:
                self._lock.wait(left)
            self._interrupted = False
        return self._stop_at is None

    def _wait_for_news(self) -> bool:
        """False when it is to end: all is delivered."""
        with self._lock:
            if not self._news and self._stop_at is None:
                self._lock.wait(_IDLE_S)
            return self._news or self._stop_at is None

    def _well(self) -> None:
        self._pause_s = _FIRST_PAUSE_S
        if self.state == "waiting":
            self._log.info(f"{self.name}: goes on", event=LogEvent.OUTPUT_BACK, also={"output": self.name})
        self.state, self.reason = "writing", ""

    # ---- the store

    def _db(self) -> sqlite3.Connection:
        if self._conn is None:
            conn, is_frozen = readonly.connect(self._store)
            end = time.monotonic() + _OPENING_S
            while is_frozen:  # its writer is just opening it: this connection would never see what comes
                conn.close()
                if time.monotonic() > end:
                    raise StoreError("nobody writes to it")
                time.sleep(0.05)
                conn, is_frozen = readonly.connect(self._store)
            self._conn = conn
        return self._conn

    def _disconnect(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


def _checked(refused: Sequence[Refused], table: str, rows: Sequence[Row]) -> list[Refused]:
    """What an output says, as the store can take it. TypeError where it speaks of rows that it was not given."""
    ids = {row[0] for row in rows}
    for one in refused:
        if one.table != table or one.row_id not in ids:
            raise TypeError(f"refused {one.table} {one.row_id!r}, which is not of this page")
    return [one._replace(reason=str(one.reason).encode(errors="backslashreplace").decode()) for one in refused]
