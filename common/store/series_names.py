"""Which series there are, since when and until when; kept, as the rollups' index is by time and not by name."""

import threading
import time
from typing import NamedTuple

from common.store.readonly import StoreFile

_HOUR_NS = 3600 * 10**9
_STEP_NS = 30 * 24 * _HOUR_NS  # looked at in one go: 10 to 20 ms with 55 series


class Span(NamedTuple):
    """ns of the first and the last value; the first as fine as the shortest rollups that still have it."""

    first_ns: int
    last_ns: int


class SeriesNames:
    """Any thread may ask, with a file of its own. It learns from the oldest hour on, a little at each question.

    Methods raise StoreError.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._hours: dict[str, tuple[int, int]] = {}  # the first and the last hour of each name
        self._first: dict[str, int] = {}
        self._next_ns: int | None = -(2**63)  # from there on hours are to be looked at; None: all are known
        self._top = 0  # rows up to this id are known, or will be when all hours are

    def learn(self, file: StoreFile, budget_s: float = 0.02) -> bool:
        """Look at what is new, and on from where it stood for so long; whether all is known."""
        end = time.monotonic() + budget_s
        with self._lock:
            top = file.all("SELECT coalesce(max(id), 0) FROM rollups")[0][0]
            if top < self._top:
                self._forget()  # another database by now
            elif self._top or self._next_ns is None:
                hours = "FROM rollups WHERE id > ? AND +window_s = 3600"  # +: found by id, not by window
                self._see(file.all(f"SELECT series, min(t_ns), max(t_ns) {hours} GROUP BY series", (self._top,)))
            self._top = top
            while self._next_ns is not None and time.monotonic() < end:
                self._step(file, self._next_ns)
            return self._next_ns is None

    def span(self, file: StoreFile, name: str) -> Span | None:
        """None: there is none of that name, or it is not known yet."""
        with self._lock:
            if name not in self._hours:
                return None
            first, last = self._hours[name]
            if name not in self._first:
                self._first[name] = _finer(file, name, first)
            row = "SELECT last_t_ns FROM rollups WHERE window_s = 3600 AND t_ns = ? AND series = ?"
            found = file.all(row, (last, name))
            return Span(self._first[name], found[0][0] if found else last)

    def knows(self, name: str) -> bool:
        return name in self._hours

    def all(self) -> list[str]:
        """Every name that is known by now."""
        with self._lock:
            return sorted(self._hours)

    def _step(self, file: StoreFile, from_ns: int) -> None:
        oldest = "SELECT min(t_ns) FROM rollups WHERE window_s = 3600 AND t_ns >= ?"
        start = file.all(oldest, (from_ns,))[0][0]
        if start is None:
            self._next_ns = None
            return
        self._next_ns = start + _STEP_NS
        some = (
            "SELECT series, min(t_ns), max(t_ns) FROM rollups WHERE window_s = 3600 AND t_ns >= ? AND t_ns < ? "
            "GROUP BY series"
        )
        self._see(file.all(some, (start, self._next_ns)))

    def _see(self, rows: list[tuple[str, int, int]]) -> None:
        for name, first, last in rows:
            known_first, known_last = self._hours.get(name, (first, last))
            if first <= known_first:
                self._first.pop(name, None)
            self._hours[name] = min(first, known_first), max(last, known_last)


def _finer(file: StoreFile, name: str, hour_ns: int) -> int:
    """The start of the first shorter window of that hour; where there is none any more, the hour's."""
    sql = "SELECT min(t_ns) FROM rollups WHERE window_s = ? AND t_ns >= ? AND t_ns < ? AND series = ?"
    for window_s in (60, 300):
        found = file.all(sql, (window_s, hour_ns, hour_ns + _HOUR_NS, name))[0][0]
        if found is not None:
            return int(found)
    return hour_ns
