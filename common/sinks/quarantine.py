"""Rows that an output could not take: looked at, sent again, or given up. docs/outputs.md, docs/ctl.md.

Only the store's writer changes them: the sink's main thread, through a Desk, or the command of a stopped rig.
"""

import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import msgspec

from common import clock
from common.errors import RigbusError, StoreError
from common.sinks.outputs import Outputs
from common.store.rows import INSERT
from common.store.writer import Store

STEP = 5000  # rows of one transaction, over in some 50 ms
_MAX_WAITING = 16
STORE = "store"  # not an output: frames that no table could take


class Entry(NamedTuple):
    """A row of `quarantine`. output: `store` for a frame that could not be stored, with its number as row."""

    id: int
    output: str
    table: str
    row: int
    reason: str
    t_ns: int
    requeued: bool
    line: bytes | None


class Which(msgspec.Struct):
    """Of these ids, or all; output "": of any."""

    ids: list[int] = []
    all: bool = False
    output: str = ""


class Done(NamedTuple):
    """How many were changed, and how many are left to do: ask again."""

    done: int
    left: int


def entries(conn: sqlite3.Connection, output: str, limit: int) -> list[Entry]:
    """The newest, oldest first. output "": of any."""
    rows = conn.execute(
        "SELECT id, output, table_name, row_id, reason, t_ns, requeued, line FROM quarantine "
        "WHERE ?1 IN ('', output) ORDER BY id DESC LIMIT ?2",
        (output, limit),
    ).fetchall()
    return [Entry(*row)._replace(requeued=bool(row[6])) for row in reversed(rows)]


def count(conn: sqlite3.Connection, output: str) -> int:
    return int(conn.execute("SELECT count(*) FROM quarantine WHERE ? IN ('', output)", (output,)).fetchone()[0])


def requeue(conn: sqlite3.Connection, which: Which) -> Done:
    """Marks rows, so that their outputs send them again; at most STEP. Raises RigbusError: nothing is done."""
    if which.output == STORE or any(output == STORE for _, output, _ in _named(conn, which)):
        raise RigbusError(
            "frames that no table could take cannot be sent again; they are in the ledger as lost (drop removes them)"
        )
    found = _some(conn, which, "requeued = 0 AND output != 'store'")
    conn.executemany("UPDATE quarantine SET requeued = 1 WHERE id = ?", [(row[0],) for row in found])
    return Done(len(found), len(_some(conn, which, "requeued = 0 AND output != 'store'")))


def drop(conn: sqlite3.Connection, which: Which) -> Done:
    """Gives rows up, and says so in the ledger; at most STEP. Raises RigbusError: nothing is done.

    The loss of frames that no table could take is in the ledger already.
    """
    _named(conn, which)
    found = _some(conn, which, "true")
    conn.executemany("DELETE FROM quarantine WHERE id = ?", [(row[0],) for row in found])
    counts: dict[str, int] = {}
    for _, output, table in found:
        if output != STORE:
            counts[f"{output}/{table}"] = counts.get(f"{output}/{table}", 0) + 1
    now, nothing = clock.wall_ns(), (None, None, None, None)
    rows = [
        (now, None, stream, "row", n, "quarantine_dropped", *nothing, "dropped by command", None)
        for stream, n in counts.items()
    ]
    conn.executemany(INSERT["ledger"], rows)
    return Done(len(found), len(_some(conn, which, "true")))


CHANGES: dict[str, Callable[[sqlite3.Connection, Which], Done]] = {"requeue": requeue, "drop": drop}


def _some(conn: sqlite3.Connection, which: Which, condition: str) -> list[tuple[int, str, str]]:
    """At most STEP rows of those that are meant: id, output, table."""
    sql = f"SELECT id, output, table_name FROM quarantine WHERE {condition} AND ?1 IN ('', output)"
    if which.all:
        return conn.execute(f"{sql} ORDER BY id LIMIT {STEP}", (which.output,)).fetchall()
    found = []
    for row_id in sorted(set(which.ids)):
        found += conn.execute(f"{sql} AND id = ?2", (which.output, row_id)).fetchall()
    return found


def _named(conn: sqlite3.Connection, which: Which) -> list[tuple[int, str, str]]:
    """The rows of `ids`. Raises RigbusError where one is not there, or there are too many."""
    if which.all == bool(which.ids):
        raise RigbusError("either ids or all is needed")
    if which.all:
        return []
    if len(which.ids) > STEP:
        raise RigbusError(f"at most {STEP} ids at once")
    found = _some(conn, which, "true")
    if missing := sorted(set(which.ids) - {row[0] for row in found}):
        of = f" of {which.output}" if which.output else ""
        raise RigbusError(f"not in quarantine{of}: {', '.join(map(str, missing[:10]))}")
    return found


class Desk:
    """Takes the requests in the ctl thread; `work` carries them out in the writer's."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, Which, Future[dict[str, Any]]]] = deque()
        self._closed = False

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], "Future[dict[str, Any]]"]]:
        return {op: lambda request, op=op: self._take(op, request) for op in CHANGES}  # type: ignore[misc]

    def _take(self, op: str, request: dict[str, Any]) -> "Future[dict[str, Any]]":
        which = msgspec.convert(request, Which)
        if len(self._waiting) >= _MAX_WAITING:
            raise RigbusError(f"{_MAX_WAITING} requests wait already")
        future: Future[dict[str, Any]] = Future()
        self._waiting.append((op, which, future))
        if self._closed:
            self.close()
        return future

    def work(self, store: Store, outputs: Outputs) -> None:
        """One request, a transaction of its own."""
        if not self._waiting:
            return
        op, which, future = self._waiting.popleft()
        try:
            done = store.work(lambda conn: CHANGES[op](conn, which))
        except (RigbusError, OverflowError) as e:
            future.set_exception(e if isinstance(e, RigbusError) else StoreError(str(e)))
            return
        future.set_result(done._asdict())
        if op == "requeue":
            outputs.retry(which.output)

    def close(self) -> None:
        """Whoever still waits is told so."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft()[2].set_exception(RigbusError("stopping: the daemon ends"))
