"""Control commands on their way from the ctl thread to the thread that owns the connection."""

import os
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from common.errors import RigbusError
from common.thermostats.link import Link, Stopped

MAX_WAITING = 8

Answer = dict[str, Any]


class Job(NamedTuple):
    """run: what is to be done with the connection; None: what waits for the next reading."""

    run: Callable[[Link], Answer] | None
    future: "Future[Answer]"
    deadline: float  # time.monotonic(); not begun by then, it is not begun at all


class Commands:
    """A bounded queue of one device. Each future is completed: by who takes it, tell(), expire() or close()."""

    def __init__(self, device: str, stop_fd: int) -> None:
        self._device, self._stop_fd = device, stop_fd
        self._fd = os.eventfd(0, os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._jobs: list[Job] = []
        self._closed = False

    def put(self, run: Callable[[Link], Answer] | None, patience_s: float) -> "Future[Answer]":
        """Raises RigbusError where too many wait already, or the daemon stops."""
        future: Future[Answer] = Future()
        with self._lock:
            if self._closed:
                raise RigbusError(f"{self._device}: the daemon stops")
            if len(self._jobs) >= MAX_WAITING:
                raise RigbusError(f"{self._device}: {MAX_WAITING} commands wait already")
            self._jobs.append(Job(run, future, time.monotonic() + patience_s))
            if run is not None:
                os.eventfd_write(self._fd, 1)
        return future

    def wait(self, timeout_s: float | None) -> bool:
        """Until a command is there (True) or the time is over. Raises Stopped."""
        poll = select.poll()
        poll.register(self._stop_fd, select.POLLIN)
        poll.register(self._fd, select.POLLIN)
        ready = dict(poll.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000))
        if self._stop_fd in ready:
            raise Stopped("the daemon stops")
        return bool(ready)

    def wait_for_stop(self, timeout_s: float) -> None:
        """Leaves the commands to another thread. Raises Stopped."""
        poll = select.poll()
        poll.register(self._stop_fd, select.POLLIN)
        if poll.poll(timeout_s * 1000):
            raise Stopped("the daemon stops")

    def take(self) -> Job | None:
        """The next one to be run; None: there is none any more, and wait() waits again."""
        with self._lock:
            for job in self._jobs:
                if job.run is not None:
                    self._jobs.remove(job)
                    return job
            try:
                os.eventfd_read(self._fd)
            except BlockingIOError:
                pass
            return None

    def tell(self, answer: Answer) -> None:
        """The next reading, for those that wait for it."""
        for job in self._remove(lambda job: job.run is None):
            job.future.set_result(answer)

    def expire(self) -> None:
        """Ends those that nobody has begun in time."""
        now = time.monotonic()
        self._fail(self._remove(lambda job: now > job.deadline), "nothing was sent in time")

    def close(self) -> None:
        """Ends those that still wait; none is taken any more."""
        self._closed = True
        self._fail(self._remove(lambda job: True), "the daemon stops, nothing was sent")

    def _remove(self, which: Callable[[Job], bool]) -> list[Job]:
        with self._lock:
            found = [job for job in self._jobs if which(job)]
            self._jobs = [job for job in self._jobs if not which(job)]
        return found

    def _fail(self, jobs: list[Job], why: str) -> None:
        for job in jobs:
            job.future.set_exception(RigbusError(f"{self._device}: {why}"))
