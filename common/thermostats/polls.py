"""The account of polls: each deadline becomes a reading, or a poll lost with its cause."""

import threading
import time

from common import clock
from common.thermostats.losses import TELL_S, Losses
from common.thermostats.pacing import Grid


class Polls:
    """Safe from several threads: the daemon's own tells what passes while the device's thread waits."""

    def __init__(self, losses: Losses, period_s: float) -> None:
        """The first is due at once."""
        self._losses, self._period_s = losses, period_s
        self._lock = threading.Lock()
        self._grid = Grid(period_s, time.monotonic_ns())
        self._began_t: int | None = None  # wall ns, of the poll that is under way

    @property
    def due_ns(self) -> int:
        """The next deadline, CLOCK_MONOTONIC."""
        return self._grid.due_ns

    @property
    def total(self) -> int:
        """Deadlines that have passed."""
        return self._grid.total

    def begin(self, why_late: str) -> bool:
        """A poll begins, for the last deadline that has passed; False: none is due. why_late: of those before it."""
        with self._lock:
            n = self._grid.passed(time.monotonic_ns())
            if not n:
                return False
            now_t = clock.wall_ns()
            self._late(n - 1, now_t - self._span_ns(n - 1), why_late)
            self._began_t = now_t
            return True

    def answered(self) -> None:
        """The poll brought a reading, or a repeat. What was due meanwhile is lost, and never made up for."""
        with self._lock:
            if self._began_t is not None:
                self._losses.end()
                self._late(self._grid.passed(time.monotonic_ns()), self._began_t, "the device was slow to answer")
                self._began_t = None

    def failed(self, cause: str, detail: str) -> None:
        """The poll that is under way brought nothing, and with it what was due meanwhile. None is: nothing is lost."""
        with self._lock:
            if self._began_t is not None:
                n = 1 + self._grid.passed(time.monotonic_ns())
                self._losses.missed(cause, n, from_t=self._began_t, to_t=clock.wall_ns(), detail=detail)
                self._began_t = None

    def look(self) -> None:
        """Now and then: what has been overdue for long is told before the answer comes, as the daemon may be killed."""
        with self._lock:
            now_ns = time.monotonic_ns()
            overdue_ns = now_ns - self._grid.due_ns
            if overdue_ns >= TELL_S * 1e9:
                why = "the daemon was kept from running" if self._began_t is None else "the answer is still waited for"
                self._late(self._grid.passed(now_ns), clock.wall_ns() - overdue_ns, why)

    def stopped(self, why: str = "the daemon stopped before the answer") -> None:
        """It ends here: what is under way, and what has become due meanwhile, is lost."""
        with self._lock:
            n = self._grid.passed(time.monotonic_ns()) + (self._began_t is not None)
            self._late(n, self._began_t or clock.wall_ns() - self._span_ns(n), why)
            self._began_t = None

    def _late(self, n: int, from_t: int, detail: str) -> None:
        self._losses.missed("late", n, from_t=from_t, to_t=clock.wall_ns(), detail=detail)

    def _span_ns(self, n: int) -> int:
        return round(n * self._period_s * 1e9)
