"""Missed polls, told as few losses: the first of an outage at once, then sums of a few seconds, the rest at its end."""

import threading
from collections.abc import Callable
from typing import NamedTuple

from common import clock

TELL_S = 5.0

Lose = Callable[..., None]  # as Runtime.lose


class _Open(NamedTuple):
    polls: int
    from_t: int
    to_t: int
    detail: str


class Losses:
    """Of one device; safe from several threads. Nothing that was missed is left untold after close()."""

    def __init__(self, lose: Lose, device: str) -> None:
        self._lose, self._stream = lose, f"thermostat/{device}/"
        self._lock = threading.Lock()
        self._open: dict[str, _Open] = {}  # by cause: one that comes and goes makes no row each time
        self._told_ns = 0  # CLOCK_BOOTTIME of the last one told, 0: no outage is under way
        self._closed = False
        self.total = 0

    def missed(self, cause: str, count: int, *, from_t: int, to_t: int, detail: str = "") -> None:
        """count polls between two instants of the wall clock, ns."""
        with self._lock:
            if count <= 0 or self._closed:
                return
            self.total += count
            to_t = max(from_t, to_t)  # the wall clock may have been set back meanwhile
            before = self._open.get(cause)
            if before is None:
                self._open[cause] = _Open(count, from_t, to_t, detail)
            else:
                self._open[cause] = before._replace(polls=before.polls + count, to_t=to_t, detail=detail)
            if clock.boot_ns() - self._told_ns >= TELL_S * 1e9:
                self._tell()

    def look(self) -> None:
        """Now and then: tells a sum that has waited long enough."""
        with self._lock:
            if clock.boot_ns() - self._told_ns >= TELL_S * 1e9:
                self._tell()

    def end(self) -> None:
        """The outage is over: what is left of it is told."""
        with self._lock:
            self._tell()
            self._told_ns = 0

    def close(self) -> None:
        """Tells the rest; what comes later is not taken any more."""
        with self._lock:
            self._tell()
            self._closed = True

    def _tell(self) -> None:
        told, self._open = self._open, {}
        for cause, sum_ in told.items():
            self._told_ns = clock.boot_ns()
            self._lose(self._stream, "poll", sum_.polls, cause, from_t=sum_.from_t, to_t=sum_.to_t, detail=sum_.detail)
