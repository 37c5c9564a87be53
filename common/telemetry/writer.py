"""The stand-alone writer: a bounded queue, one thread, batches. No error ends it; what it drops it counts and tells."""

import logging
import os
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from . import bodies
from .database import Database
from .frames import KINDS, Body
from .rows import Row, row_of
from .schema import NAMES

MAX_QUEUED = 100_000  # rows, some 50 MB of them: minutes of a robot's logging
_STEP = 2000  # rows a transaction
_MAX_PAUSE_S = 2.0  # between two tries of a file that refuses
_DEFAULT_DAYS = 7.0
_log = logging.getLogger("rigbus.telemetry")
_parents: list[Database] = []


class FileWriter:
    """record() may be called from any thread and never waits. db_path's folder may come and go."""

    def __init__(self, path: Path, batch_size: int, flush_interval_s: float, max_queued: int = MAX_QUEUED) -> None:
        self.path = path
        self._batch, self._interval_s, self._max = max(1, batch_size), flush_interval_s, max(1, max_queued)
        self._make()

    def _make(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._io = threading.Lock()  # one thread at a time writes: the writer, or flush() while there is none
        self._queue: list[tuple[str, Row]] = []
        self._taken: list[tuple[str, Row]] = []  # off the queue, not yet stored
        self._database = Database(self.path)
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._urgent = False
        self.stored = 0
        self.dropped: Counter[str] = Counter()  # by table: the queue was full
        self.refused: Counter[str] = Counter()  # by table: no table can take such a row
        self._untold = 0
        self.error = ""
        self._old: list[str] = []

    def after_fork(self) -> None:
        """In a child: the parent's queue is the parent's, and its connection must not be closed here."""
        _parents.append(self._database)
        self._make()

    # ---- callers' side

    def record(self, body: Body, t_ns: int, mono_ns: int) -> bool:
        """Queues a row; False where it was dropped, which is counted and logged."""
        table, row = row_of(body, t_ns, mono_ns)
        with self._lock:
            if full := len(self._queue) + len(self._taken) >= self._max:
                self.dropped[table] += 1
                self._untold += 1
            else:
                self._queue.append((table, row))
            if len(self._queue) >= self._batch:
                self._changed.notify_all()
            count = self.dropped.total()
        if full and count & (count - 1) == 0:
            # at 1, 2, 4, 8, …: a long outage must not fill the log as well
            _log.warning("%s: the queue is full, %d rows are lost (%s)", self.path, count, self.error or "too slow")
        return not full

    @property
    def queued(self) -> int:
        """Rows not yet in the file."""
        return len(self._queue) + len(self._taken)

    def account(self) -> dict[str, Any]:
        """stored: rows that are in the file since this was made."""
        lost = {"dropped": self.dropped.total(), "refused": self.refused.total()}
        return {"mode": "file", "stored": self.stored, "queued": self.queued, **lost}

    def open(self) -> None:
        """Makes the file now, so that a path that cannot be is told at once; it is tried again all the same."""
        with self._io:
            try:
                self._database.write([])
                self._database.close()
            except (sqlite3.Error, OSError) as e:
                self._failed(e)

    def start(self) -> None:
        """Starts the writer thread; a second call does nothing."""
        with self._lock:
            if self._thread is not None:
                return
            self._stopping = False
            self._old = list(NAMES) if retention_days() > 0 else []
            self._thread = threading.Thread(target=self._loop, name="telemetry-writer", daemon=True)
            self._thread.start()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until what is queued now is in the file; False where it is not there in time."""
        with self._changed:
            goal = self.stored + self.refused.total() + self.queued
            if self._thread is not None:
                self._urgent = True
                self._changed.notify_all()
                return self._changed.wait_for(lambda: self.stored + self.refused.total() >= goal, timeout_s)
        return self._write_all()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Stores what is queued, tries for timeout_s where the file refuses; whether nothing is left and none lost."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopping = True
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout_s)
        deadline = time.monotonic() + timeout_s
        done = not (thread is not None and thread.is_alive()) and self._write_all()
        while not done and time.monotonic() < deadline:
            time.sleep(0.05)
            done = self._write_all()
        if not done or self.dropped.total() or self.refused.total():
            _log.warning(
                "%s: %d rows stored, %d not stored, %d dropped, %d refused (%s)",
                self.path, self.stored, self.queued, self.dropped.total(), self.refused.total(), self.error,
            )  # fmt: skip
            done = False
        if self._io.acquire(timeout=1.0):
            self._database.close()
            self._io.release()
        return done

    # ---- the writer

    def _loop(self) -> None:
        pause_s = 0.05
        while not self._stopping:
            with self._changed:
                if len(self._queue) < self._batch and not self._urgent and not self._taken and not self._old:
                    self._changed.wait(self._interval_s)
                self._urgent = False
            if self._write_all() and self._retain():
                pause_s = 0.05
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, pause_s)
            pause_s = min(_MAX_PAUSE_S, pause_s * 2)

    def _write_all(self) -> bool:
        """Stores all that is queued; False where the file refuses. Nothing is taken off before it is stored."""
        with self._io:
            while True:
                with self._lock:
                    if not self._taken:
                        self._taken, self._queue = self._queue[:_STEP], self._queue[_STEP:]
                    batch, told = self._taken, self._untold
                if not batch and not told:
                    return True
                notes = [self._note(told)] if told else []
                try:
                    refused = self._database.write([*notes, *batch])
                except (sqlite3.Error, OSError) as e:
                    self._failed(e)
                    return False
                except Exception as e:
                    # a fault of ours must not end the thread either
                    self._failed(e)
                    return False
                with self._changed:
                    self._taken = []
                    self._untold -= told
                    self.stored += len(batch) - len(refused)
                    self.refused.update(table for table, _ in refused)
                    recovered, self.error = bool(self.error), ""
                    self._changed.notify_all()
                for table, reason in refused[:1]:
                    _log.error("%s: %d rows are refused, one of %s: %s", self.path, len(refused), table, reason)
                if recovered:
                    _log.warning("%s: takes rows again", self.path)

    def _note(self, count: int) -> tuple[str, Row]:
        """The loss stands in the file itself."""
        detail = f"{count} rows were dropped: the queue was full"
        body = bodies.event("telemetry_dropped", "telemetry", detail, {"count": count}, None, "warning")
        now = time.time_ns()
        return KINDS[type(body)].table, row_of(body, now, now)[1]

    def _failed(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if not self.error:
            _log.error("%s: cannot be written, rows wait: %s", self.path, text)
        self.error = text

    def _retain(self) -> bool:
        """One step of what the start deletes: rows older than TELEMETRY_RETENTION_DAYS."""
        if not self._old:
            return True
        with self._io:
            try:
                if not self._database.delete_old(self._old[-1], retention_days()):
                    self._old.pop()
            except (sqlite3.Error, OSError) as e:
                self._failed(e)
                return False
        return True


def retention_days() -> float:
    """TELEMETRY_RETENTION_DAYS, 7 where it is not set or no number; 0 keeps rows for ever."""
    text = os.environ.get("TELEMETRY_RETENTION_DAYS", "")
    try:
        return float(text) if text else _DEFAULT_DAYS
    except ValueError:
        _log.warning("TELEMETRY_RETENTION_DAYS=%s is no number, %g is taken", text, _DEFAULT_DAYS)
        return _DEFAULT_DAYS
