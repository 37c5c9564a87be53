"""Commands on their way from the ctl thread to the thread that owns the connection."""

import os
import select
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from common import clock
from common.errors import RigbusError
from common.thermostats.link import Link, Stopped

MAX_WAITING = 8
# As docs/ctl.md tells clients. On CLOCK_BOOTTIME: neither a stopped process nor a suspended host makes it longer.
PATIENCE_S = 2.0
_TOO_LATE = "nothing was sent in time"

Answer = dict[str, Any]


class Job(NamedTuple):
    """run(link, not_after_ns): what is to be done with the connection; None: what waits for the next reading."""

    run: Callable[[Link, int], Answer] | None
    future: "Future[Answer]"
    not_after_ns: int  # CLOCK_BOOTTIME; not sent by then, it is never sent


class Commands:
    """A bounded queue of one device. Each future is completed: by who takes it, or by one of the methods below."""

    def __init__(self, device: str, stop_fd: int) -> None:
        self._device, self._stop_fd = device, stop_fd
        self._fd = os.eventfd(0, os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._jobs: list[Job] = []
        self._closed = False

    def put(self, run: Callable[[Link, int], Answer] | None, patience_s: float = PATIENCE_S) -> "Future[Answer]":
        """Raises RigbusError where too many wait already, or the daemon stops."""
        future: Future[Answer] = Future()
        with self._lock:
            if self._closed:
                raise RigbusError(f"{self._device}: the daemon stops")
            if len(self._jobs) >= MAX_WAITING:
                raise RigbusError(f"{self._device}: {MAX_WAITING} commands wait already")
            self._jobs.append(Job(run, future, clock.boot_ns() + round(patience_s * 1e9)))
            os.eventfd_write(self._fd, 1)
        return future

    @property
    def to_run(self) -> bool:
        """Whether a command waits that needs the connection."""
        return any(job.run is not None for job in self._jobs)

    @property
    def reading_wanted(self) -> bool:
        """Whether somebody waits for the next reading."""
        return any(job.run is None for job in self._jobs)

    def wait(self, timeout_s: float, link: Link | None = None) -> None:
        """Until something is put, the link has something, or the time is over. Raises Stopped."""
        poll = select.poll()
        poll.register(self._stop_fd, select.POLLIN)
        poll.register(self._fd, select.POLLIN)
        if link is not None:
            poll.register(link.fileno(), select.POLLIN)
        ready = dict(poll.poll(max(0.0, timeout_s) * 1000))
        if self._stop_fd in ready:
            raise Stopped("the daemon stops")
        if self._fd in ready:
            os.eventfd_read(self._fd)

    def wait_for_stop(self, timeout_s: float) -> None:
        """Leaves the commands waiting. Raises Stopped."""
        poll = select.poll()
        poll.register(self._stop_fd, select.POLLIN)
        if poll.poll(timeout_s * 1000):
            raise Stopped("the daemon stops")

    def take(self) -> Job | None:
        """The next one to be run; None: there is none. One that is too late is not among them."""
        self.expire()
        with self._lock:
            for job in self._jobs:
                if job.run is not None:
                    self._jobs.remove(job)
                    return job
            return None

    def tell(self, answer: Answer) -> None:
        """The next reading, for those that wait for it."""
        for job in self._remove(lambda job: job.run is None):
            job.future.set_result(answer)

    def disappoint(self, why: str) -> None:
        """Ends those that wait for a reading: there is none to come."""
        self._fail(self._remove(lambda job: job.run is None), why)

    def expire(self) -> None:
        """Ends those that nobody has begun in time."""
        now_ns = clock.boot_ns()
        late = self._remove(lambda job: now_ns > job.not_after_ns)
        self._fail([job for job in late if job.run is not None], _TOO_LATE)
        self._fail([job for job in late if job.run is None], "no new reading in time")

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
