"""What the sections need of the store, the account and the disk: one thread looks, with a connection of its own."""

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from common import clock
from common.audit import Account, audit
from common.config.schema import Config
from common.gateway.seen import Edge, Seen
from common.gateway.written import Written
from common.log import Log
from common.paths import Folders
from common.runtime import CLEAN_STOP
from common.store.readonly import connect

_LOOK_S = 1.0
_AUDIT_S = 2.0
_COST = 20  # a look is at most so many times as seldom as it is long: 5 % of a core
_LEDGER = 20
_NEW_NS = 24 * 3600 * 10**9
_MIDNIGHT_S = 600.0  # so long after midnight the day's first total may still come in late


class Behind(Struct):
    """An output by the store. oldest_t: of the first row that it has not got; None: it has all. rows: of rollups."""

    oldest_t: int | None = None
    rows: int = 0


class Books(Struct):
    """One look; replaced whole. None: not known."""

    day_t: int = 0  # wall ns of the rig's midnight
    day_totals: dict[str, int] = {}  # channel → lifetime count at midnight
    pumped: dict[str, tuple[float | None, int]] = {}  # pump → mL and runs today
    ledger: list[dict[str, Any]] = field(default_factory=list)
    unknown_t: int | None = None  # of the newest loss of which nobody knows the count
    quarantine: dict[str, int] = {}  # output → rows
    quarantine_new: dict[str, int] = {}  # of these, those of the last 24 h
    behind: dict[str, Behind] = {}
    account: Account | None = None
    storage: dict[str, Any] | None = None


class Bookkeeper:
    """pids: of the daemons that were heard lately."""

    def __init__(self, config: Config, folders: Folders, seen: Seen, pids: Callable[[], list[int]], log: Log) -> None:
        self.config, self._folders, self._seen, self._log = config, folders, seen, log
        self.books = Books()
        self._written = Written(folders.data, folders.run, pids)
        self._conn: sqlite3.Connection | None = None
        self._immutable = False
        self._file: tuple[int, int] | None = None
        self._day_from: tuple[int, float] = (0, 0.0)  # midnight, monotonic s of the look at its totals
        self._audited: tuple[Account | None, float] = (None, 0.0)  # and when the next is due
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="books", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        conn = self._conn
        if conn is not None:
            try:
                conn.interrupt()
            except sqlite3.ProgrammingError:
                pass
        self._thread.join(2.0)

    def _work(self) -> None:
        first = True
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._connect()
                if first and self._conn is not None:
                    self._last_values(self._conn)
                    first = False
                self.books = self._look()
            except Exception as e:  # of the store, a process that has just gone …: the next look may do
                self._forget()
                if not self._stopping.is_set():
                    self._log.seldom("books", "the store cannot be looked at", reason=e)
            took = time.monotonic() - began
            self._stopping.wait(max(_LOOK_S, took * _COST))
        self._forget()

    def _connect(self) -> None:
        """Opens the store, again where it was replaced, or was opened as one that nobody writes to."""
        path = str(self._folders.store)
        try:
            found = os.stat(path)
        except FileNotFoundError:
            self._forget()
            return
        file = found.st_dev, found.st_ino
        if self._conn is not None and (file != self._file or (self._immutable and os.path.exists(f"{path}-wal"))):
            self._forget()
        if self._conn is None:
            self._conn, self._immutable = connect(path)
            self._file = file
            self._day_from = (0, 0.0)

    def _forget(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()

    def _look(self) -> Books:
        made = Books(day_t=midnight_ns())
        if self._conn is not None:
            conn = self._conn
            made.day_totals = self._day_totals(conn, made.day_t)
            made.pumped = _pumped(conn, made.day_t)
            made.ledger = _ledger(conn)
            made.unknown_t = _one(conn, _UNKNOWN)
            made.quarantine = dict(conn.execute("SELECT output, count(*) FROM quarantine GROUP BY output"))
            made.quarantine_new = _quarantined_since(conn, clock.wall_ns() - _NEW_NS)
            made.behind = _behind(conn)
        made.account = self._audit()
        made.storage = self._written.storage(self._folders.store, made.day_t)
        return made

    def _audit(self) -> Account | None:
        account, due = self._audited
        began = time.monotonic()
        if began >= due:
            account = audit(self.config, self._folders, allow_unknown=True)
            took = time.monotonic() - began
            self._audited = account, time.monotonic() + max(_AUDIT_S, took * _COST)
        return account

    def _day_totals(self, conn: sqlite3.Connection, day_t: int) -> dict[str, int]:
        """Looked up again for a while after midnight: the last pulses of the day before may come late."""
        at, looked = self._day_from
        now = time.monotonic()
        young = clock.wall_ns() - day_t < _MIDNIGHT_S * 1e9
        known = self.books.day_totals if at == day_t else {}
        names = {channel.name for channel in self.config.pulse.channel} if self.config.pulse else set()
        fresh = at == day_t and not (young and now - looked > 10.0) and now - looked < 3600.0
        if fresh and all(name in known or name not in self._seen.edges for name in names):
            return known
        self._day_from = (day_t, now)
        found = {}
        for name in names:
            total = _total_at(conn, name, day_t)
            if total is not None:
                found[name] = total
        return found

    def _last_values(self, conn: sqlite3.Connection) -> None:
        """At the start: a meter may be silent for an hour, and its last power is known."""
        if self.config.pulse is None:
            return
        for channel in self.config.pulse.channel:
            rows = conn.execute(
                "SELECT t_ns, total FROM pulses WHERE channel = ? ORDER BY t_ns DESC, id DESC LIMIT 2", (channel.name,)
            ).fetchall()
            if not rows or channel.name in self._seen.edges:
                continue
            (t, total), before = rows[0], rows[1] if len(rows) > 1 else None
            known = before is not None and t > before[0] and total > before[1]
            gap_s, pulses = ((t - before[0]) / 1e9, total - before[1]) if known and before else (None, 0)
            self._seen.edges.setdefault(channel.name, Edge(total, t, gap_s, pulses))
        fields = ("t", "pump", "event", "action", "direction", "ml", "seconds", "command_id", "reason")
        columns = "t_ns, pump, event, action, direction, ml, seconds, command_id, reason"
        rows = conn.execute(f"SELECT {columns} FROM pump_events ORDER BY id DESC LIMIT 8").fetchall()
        live = list(self._seen.pump_events)
        stored = [dict(zip(fields, row, strict=True)) for row in reversed(rows)]
        newer = [event for event in live if event not in stored]
        self._seen.pump_events = deque([*stored, *newer], maxlen=8)


# what somebody stopped is no surprise
_UNKNOWN = (
    "SELECT max(t_ns) FROM ledger WHERE count IS NULL AND cause NOT IN ('stopped', 'paused') "
    f"AND (cause, detail) <> ('down', '{CLEAN_STOP}')"
)


def midnight_ns() -> int:
    """The rig's last midnight, wall ns."""
    now = datetime.now().astimezone()
    naive = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return round(naive.timestamp()) * 10**9


def _one(conn: sqlite3.Connection, sql: str, *values: Any) -> Any:
    row = conn.execute(sql, values).fetchone()
    return row[0] if row else None


def _total_at(conn: sqlite3.Connection, channel: str, t_ns: int) -> int | None:
    """A meter's lifetime count at a time: that of the edge before, else one less than that of the first edge after."""
    before = _one(
        conn, "SELECT total FROM pulses WHERE channel = ? AND t_ns < ? ORDER BY t_ns DESC, id DESC LIMIT 1",
        channel, t_ns,
    )  # fmt: skip
    if before is not None:
        return int(before)
    after = _one(
        conn, "SELECT total FROM pulses WHERE channel = ? AND t_ns >= ? ORDER BY t_ns, id LIMIT 1", channel, t_ns
    )
    return None if after is None else int(after) - 1


def _pumped(conn: sqlite3.Connection, day_t: int) -> dict[str, tuple[float | None, int]]:
    """What ended today, by pump: mL (None: of no run is it known), runs."""
    sql = (
        "SELECT pump, sum(ml), count(*) FROM pump_events WHERE t_ns >= ? AND event IN ('done', 'stopped') "
        "AND id > (SELECT coalesce(max(id), 0) - 20000 FROM pump_events) GROUP BY pump"
    )
    return {pump: (ml, runs) for pump, ml, runs in conn.execute(sql, (day_t,))}


def _ledger(conn: sqlite3.Connection) -> list[dict[str, Any]]:
    names = ("t", "from_t", "to_t", "stream", "unit", "count", "cause", "detail")
    columns = "t_ns, from_t_ns, to_t_ns, stream, unit, count, cause, detail"
    rows = conn.execute(f"SELECT {columns} FROM ledger ORDER BY id DESC LIMIT {_LEDGER}").fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]


def _quarantined_since(conn: sqlite3.Connection, t_ns: int) -> dict[str, int]:
    return dict(conn.execute("SELECT output, count(*) FROM quarantine WHERE t_ns >= ? GROUP BY output", (t_ns,)))


def _behind(conn: sqlite3.Connection) -> dict[str, Behind]:
    """By output: the oldest row that its cursors have not passed, and how many rows lie behind them."""
    out: dict[str, Behind] = {}
    for output, table, last_id in conn.execute("SELECT output, table_name, last_id FROM output_cursors").fetchall():
        if "/" in table:
            continue  # a mark of the output's own, no table
        found = out.setdefault(output, Behind())
        column = _TIMES.get(table, "t_ns")
        with closing(conn.cursor()) as cursor:
            row = cursor.execute(
                f'SELECT {column} FROM "{table}" WHERE id > ? ORDER BY id LIMIT 1', (last_id,)
            ).fetchone()
            if row is None:
                continue
            found.rows += max(0, cursor.execute(f'SELECT max(id) FROM "{table}"').fetchone()[0] - last_id)
        t = round(row[0] * 1e9) if column == "ts" else row[0]
        found.oldest_t = t if found.oldest_t is None else min(found.oldest_t, t)
    return out


_TIMES = dict.fromkeys(
    ("dds_commands", "dds_feedback", "smoother_state", "web_requests", "camera_health", "system_events"), "ts"
)
