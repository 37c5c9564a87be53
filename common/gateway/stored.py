"""Questions to the store: a few threads, each with a connection of its own; what waits and how long is bounded."""

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from common.errors import RigbusError, StoreError
from common.log import Log

if TYPE_CHECKING:
    from common.store.query import TelemetryQuery

T = TypeVar("T")
_WORKERS = 3
_STREAMS = 2  # workers that may be held by clients who take their time; the others answer questions
_WAITING = 16
_LIMIT_S = 10.0
_NEVER = float("inf")
_AHEAD = 4  # pieces of a stream that are made before the client has taken them


class Busy(RigbusError):
    """Too many questions wait: 503, Retry-After 1."""


class TooLong(RigbusError):
    """The question took more than 10 s: 503."""


class NothingStored(RigbusError):
    """There is no database yet: 503."""


class Stored:
    """Made once; `close` ends it whatever is under way."""

    def __init__(self, path: Path, log: Log) -> None:
        self._path, self._log = path, log
        self._jobs: deque[Callable[[_Worker], None]] = deque()
        self._streams: deque[Callable[[_Worker], None]] = deque()
        self._streaming = 0
        self._there = threading.Condition()
        self._closed = False
        self._workers = [_Worker(self, n) for n in range(_WORKERS)]
        threading.Thread(target=self._watch, name="stored-watch", daemon=True).start()

    async def run(self, fn: "Callable[[TelemetryQuery], T]", *, limit_s: float = _LIMIT_S) -> T:
        """fn(query) in a worker. Raises NothingStored, Busy, TooLong; StoreError where the database refuses."""
        future: Future[T] = Future()

        def job(worker: "_Worker") -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(worker.ask(fn, limit_s))
            except BaseException as e:
                future.set_exception(e)

        self._put(job, self._jobs)
        return await asyncio.wrap_future(future)

    async def stream(self, fn: "Callable[[TelemetryQuery], Iterator[bytes]]") -> AsyncIterator[bytes]:
        """The pieces of a generator that runs in a worker, no faster than they are taken.

        A client that goes away ends it (close the iterator), and the worker is free again. Raises as `run` does,
        before the first piece.
        """
        pipe = _Pipe(asyncio.get_running_loop())

        def job(worker: "_Worker") -> None:
            try:
                if pipe.abandoned:
                    return
                worker.ask(lambda query: pipe.fill(fn(query)), None)
                pipe.end(None)
            except BaseException as e:
                pipe.end(e)
            finally:
                with self._there:
                    self._streaming -= 1
                    self._there.notify()

        self._put(job, self._streams)
        try:
            try:
                async with asyncio.timeout(_LIMIT_S):
                    piece = await pipe.get()
            except TimeoutError:
                raise Busy("too many clients take their time: ask again") from None
            while piece is not None:
                yield piece
                piece = await pipe.get()
        finally:
            pipe.abandon()

    def _put(self, job: Callable[["_Worker"], None], jobs: deque[Callable[["_Worker"], None]]) -> None:
        if not self._path.exists():
            raise NothingStored("nothing is stored yet")
        with self._there:
            if self._closed or len(jobs) >= _WAITING:
                raise Busy("too many questions to the store wait: ask again")
            jobs.append(job)
            self._there.notify()

    def take(self) -> Callable[["_Worker"], None] | None:
        """The next job, for a worker; None: it is to end."""
        with self._there:
            while not self._closed:
                if self._jobs:
                    return self._jobs.popleft()
                if self._streams and self._streaming < _STREAMS:
                    self._streaming += 1
                    return self._streams.popleft()
                self._there.wait()
            return None

    def _watch(self) -> None:
        """Ends what is over its time; again and again, as a question may be many statements."""
        while not self._closed:
            time.sleep(0.2)
            for worker in self._workers:
                worker.look(time.monotonic())

    @property
    def path(self) -> Path:
        return self._path

    def close(self) -> None:
        with self._there:
            self._closed = True
            self._there.notify_all()
        for worker in self._workers:
            worker.interrupt()


class _Worker:
    """A thread and its connection, opened at the first question, and again where the database had refused."""

    def __init__(self, stored: Stored, number: int) -> None:
        self._stored = stored
        self._query: TelemetryQuery | None = None
        self.deadline = _NEVER  # monotonic s
        self._late = False
        self._asking = threading.Lock()  # what is too late for one question must not end the next
        self.busy = False
        self._thread = threading.Thread(target=self._work, name=f"stored-{number}", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self._stored.take()) is not None:
            self.busy = True
            job(self)
            self.busy = False
        self._forget()

    def ask(self, fn: "Callable[[TelemetryQuery], T]", limit_s: float | None) -> T:
        if self._query is None:
            self._query = _open(self._stored.path)
        try:
            with self._asking:
                self.deadline, self._late = time.monotonic() + limit_s if limit_s is not None else _NEVER, False
            return fn(self._query)
        except (StoreError, sqlite3.Error) as e:
            if self._late:
                raise TooLong(f"the question took more than {limit_s:g} s: ask for less") from None
            if isinstance(e, StoreError) and not isinstance(e.__cause__, sqlite3.Error):
                raise  # a wrong question; the connection is good
            self._forget()
            raise e if isinstance(e, StoreError) else StoreError(f"{self._stored.path}: {e}") from None
        finally:
            with self._asking:
                self.deadline = _NEVER

    def look(self, now: float) -> None:
        """Ends the statement that runs where its question is over its time. now: monotonic s."""
        with self._asking:
            if now >= self.deadline:
                self._late = True
                self.interrupt()

    def interrupt(self) -> None:
        """From any thread: ends the statement that runs."""
        query = self._query
        if query is not None:
            query.interrupt()

    def _forget(self) -> None:
        query, self._query = self._query, None
        if query is not None:
            query.close()


class _Pipe:
    """Pieces from a worker to the loop: at most _AHEAD are made before they are taken."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._room = threading.Semaphore(_AHEAD)
        self._pieces: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        self.abandoned = False

    def fill(self, pieces: Iterator[bytes]) -> None:
        """In the worker."""
        for piece in pieces:
            while not self._room.acquire(timeout=0.5):
                if self.abandoned:
                    break
            if self.abandoned:
                break
            self._tell(piece)
        close = getattr(pieces, "close", None)
        if close is not None:
            close()

    def end(self, fault: BaseException | None) -> None:
        self._tell(fault)

    def _tell(self, item: bytes | BaseException | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, item)
        except RuntimeError:
            self.abandoned = True  # the loop has ended

    async def get(self) -> bytes | None:
        """The next piece; None: that was all."""
        item = await self._pieces.get()
        if isinstance(item, BaseException):
            raise item
        self._room.release()
        return item

    def abandon(self) -> None:
        self.abandoned = True
        self._room.release()


def _open(path: Path) -> "TelemetryQuery":
    from common.store.query import TelemetryQuery  # here: numpy is for those who ask

    try:
        return TelemetryQuery(path)
    except FileNotFoundError:
        raise NothingStored("nothing is stored yet") from None
