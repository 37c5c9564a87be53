"""Rollups of series, into columns: some hundred thousand windows in one question, found by the index one by one.

Measured (x86-64, busy; a year of 55 series in windows of 3,600 s, three of them asked for, warm, ms of CPU): the whole
range of the index with `series IN` 120 and more; windows by a recursive CTE and each series looked up in them 110; the
names from the first to the last scanned in them 85; the rows handed over as JSON and not as Python objects 70. An index
by series first would write some 300 pages more at each step of the rollups (2.5 GB a day), to make reading faster.
"""

import json
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from common.store.readonly import StoreFile
from common.store.series_columns import Columns, Floats, Reducer, Times, Values
from common.store.series_kinds import OfPulses, Series
from common.store.series_raw import TooMuch

WINDOWS_S = (60, 300, 3600)
MOST_WINDOWS = 2_000_000  # of all series of a question: some seconds
_AT_ONCE = 60_000  # of these in one statement: 10 MB
_BACK = 500  # windows before the range, looked through for the newest edge of a meter before it
_BIGGEST = 1.7976931348623157e308
_numbers = msgspec.json.Decoder(list[float]).decode
_WINDOWS = "WITH RECURSIVE windows(t) AS (VALUES (?2) UNION ALL SELECT t + ?4 FROM windows WHERE t + ?4 < ?3) "


class SummedSeries:
    """Rollups that have a part in from_ns ≤ t < to_ns."""

    def __init__(self, file: StoreFile, window_s: int, from_ns: int, to_ns: int, columns: int) -> None:
        self._file, self._window_s, self._window_ns = file, window_s, window_s * 10**9
        self._first_ns = from_ns - from_ns % self._window_ns  # of the window that holds from_ns
        self._from_ns, self._to_ns, self._columns = from_ns, to_ns, columns

    def get(self, wanted: Sequence[Series]) -> dict[str, Columns]:
        """By name. Raises TooMuch, StoreError."""
        meters = [s.name for s in wanted if isinstance(s.raw, OfPulses) and s.raw.watts]
        counts = {s.name for s in wanted if isinstance(s.raw, OfPulses) and not s.raw.watts}
        others = [s.name for s in wanted if s.name not in meters]
        reducers = {s.name: Reducer(self._from_ns, self._to_ns, self._columns) for s in wanted}
        for name, start_ns, rows in self._rows(others, ("t_ns - ?2", "n", "sum", "min", "max")):
            at, n, low, high = start_ns + rows[0].astype(np.int64), rows[1], rows[3], rows[4]
            # of lifetime counts the sum is the number of edges
            total = (low + high) / 2 * n if name in counts else rows[2]
            reducers[name].add(Values(at, low, high, total, n, n.astype(np.int64)))
        ends = dict[str, int]()  # the last edge of a meter so far
        for name, start_ns, rows in self._rows(meters, ("last_t_ns - ?2", "n", "sum")):
            reducers[name].add(self._power(name, start_ns + rows[0].astype(np.int64), rows, ends))
        return {name: reducer.result() for name, reducer in reducers.items()}

    def _rows(self, names: Sequence[str], columns: Sequence[str]) -> Iterator[tuple[str, int, Floats]]:
        """(name, ?2, the columns of its windows (columns, n) in the order of time), piece by piece."""
        if not names:
            return
        names = sorted(names)
        which = " ".join(f"WHEN ?{i + 5} THEN {i}" for i in range(len(names)))
        each = ", ".join(f"?{i + 5}" for i in range(len(names)))
        arrays = ", ".join(f"json_group_array({column})" for column in (f"CASE series {which} END", *columns))
        # one look into the index a window, from the first name to the last: cheaper than one for each name
        sql = (
            f"{_WINDOWS} SELECT {arrays} FROM windows CROSS JOIN rollups ON window_s = ?1 "
            f"AND t_ns = windows.t AND series >= ?5 AND series <= ?{len(names) + 4} AND +series IN ({each})"
        )
        span_ns = _AT_ONCE // len(names) * self._window_ns
        start_ns, found = self._next(self._first_ns), 0
        while start_ns is not None:
            end_ns = min(start_ns + span_ns, self._to_ns)
            values = (self._window_s, start_ns, end_ns, self._window_ns, *names)
            rows = np.array([_floats(text) for text in self._file.all(sql, values)[0]])
            found += rows.shape[1]
            if found > MOST_WINDOWS:
                raise TooMuch(f"over {MOST_WINDOWS:,} windows of {self._window_s} s: ask for longer ones, or less")
            for i, name in enumerate(names):
                of_name = rows[1:, rows[0] == i]
                if of_name.size:
                    yield name, start_ns, of_name
            start_ns = self._next(end_ns)

    def _next(self, from_ns: int) -> int | None:
        """The next window that there is, in the range: a gap of years costs nothing."""
        sql = "SELECT min(t_ns) FROM rollups WHERE window_s = ? AND t_ns >= ? AND t_ns < ?"
        found = self._file.all(sql, (self._window_s, from_ns, self._to_ns))[0][0]
        return None if found is None else int(found)

    def _power(self, name: str, ends: Times, rows: Floats, last: dict[str, int]) -> Values:
        """W from the last edge of a window to that of the next that has one: exact, however few edges a window has.

        Of the oldest window that has edges nothing is known: nobody knows since when they were counted.
        """
        before = last[name] if name in last else self._edge_before(name)
        last[name] = int(ends[-1])
        begins = np.concatenate(([ends[0] if before is None else before], ends[:-1]))
        took_s = (ends - begins) / 1e9
        good = took_s > 0
        begins, took_s, n, joules = begins[good], took_s[good], rows[1][good], rows[2][good] * 3.6e6
        watts = joules / took_s
        return Values(begins, watts, watts, joules, took_s, n.astype(np.int64))

    def _edge_before(self, name: str) -> int | None:
        sql = (
            "SELECT last_t_ns FROM rollups WHERE window_s = ? AND t_ns < ? AND t_ns >= ? AND series = ? "
            "ORDER BY t_ns DESC LIMIT 1"
        )
        oldest = self._first_ns - _BACK * self._window_ns
        found = self._file.all(sql, (self._window_s, self._first_ns, oldest, name))
        return int(found[0][0]) if found else None


def _floats(text: str) -> Floats:
    """A JSON list of numbers."""
    try:
        return np.array(_numbers(text), np.float64)
    except msgspec.DecodeError:  # the greatest float, with the digits that SQLite gives it, is beyond it
        return np.clip(np.array(json.loads(text), np.float64), -_BIGGEST, _BIGGEST)


def oldest_ns(file: StoreFile, window_s: int) -> int | None:
    """The start of the oldest window of that length; None: there is none."""
    found = file.all("SELECT min(t_ns) FROM rollups WHERE window_s = ?", (window_s,))[0][0]
    return None if found is None else int(found)
