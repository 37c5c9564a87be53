"""Values of a series reduced to columns of a chart, so that lowest and highest survive. Pure numpy.

A column is an equal part of the range, in whole ns; what lies before the range (a value that reaches into it) belongs
to the first.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
_HELD = 16_384  # values are kept as they are up to here: 0.8 MB a series


class Columns(NamedTuple):
    """Arrays of one length, in the order of time. t_ns int64: where the column's values begin; n int64: how many."""

    t_ns: Times
    min: Floats
    max: Floats
    mean: Floats
    n: Times


class Values(NamedTuple):
    """Arrays of one length. A value stands for n of weight in all, whose lowest, highest and weighted sum it has."""

    t_ns: Times
    min: Floats
    max: Floats
    total: Floats
    weight: Floats
    n: Times

    def at(self, which: npt.NDArray[Any]) -> "Values":
        """Those of a mask, or in the order of indices."""
        return Values(
            self.t_ns[which], self.min[which], self.max[which], self.total[which], self.weight[which], self.n[which]
        )


def plain(t_ns: Times, values: Floats) -> Values:
    """Values that stand for themselves; those that are not finite are left out."""
    finite = np.isfinite(values)
    if not finite.all():
        t_ns, values = t_ns[finite], values[finite]
    return Values(t_ns, values, values, values, np.ones(len(values)), np.ones(len(values), np.int64))


class Reducer:
    """Takes values piece by piece, in any order; memory is bounded however many they are.

    from_ns < to_ns: the range. columns: at most so many; with fewer values each is a column of its own.
    """

    def __init__(self, from_ns: int, to_ns: int, columns: int) -> None:
        self._from_ns, self._columns = from_ns, columns
        self._width_ns = -(-(to_ns - from_ns) // columns)
        self._held: list[Values] = []
        self._held_n = 0
        self._sums: Values | None = None  # a row a column; n 0: nothing in it

    def add(self, values: Values) -> None:
        if len(values.t_ns):
            self._held.append(values)
            self._held_n += len(values.t_ns)
            if self._held_n > _HELD:
                self._merge()

    def result(self) -> Columns:
        """All that was added."""
        if self._sums is None and self._held_n <= self._columns:
            return _finished(_by_time(_joined(self._held)))
        sums = self._merge()
        return _finished(sums.at(sums.n > 0))

    def _merge(self) -> Values:
        """What is held, into the columns."""
        if self._sums is None:
            self._sums = _nothing(self._columns)
        held, sums = _joined(self._held), self._sums
        self._held, self._held_n = [], 0
        if not len(held.t_ns):
            return sums
        into = np.clip((held.t_ns - self._from_ns) // self._width_ns, 0, self._columns - 1)
        # runs of one column; where times go back a column has several
        starts = np.concatenate(([0], np.flatnonzero(np.diff(into)) + 1))
        at = into[starts]
        with np.errstate(over="ignore", invalid="ignore"):
            np.minimum.at(sums.t_ns, at, np.minimum.reduceat(held.t_ns, starts))
            np.minimum.at(sums.min, at, np.minimum.reduceat(held.min, starts))
            np.maximum.at(sums.max, at, np.maximum.reduceat(held.max, starts))
            np.add.at(sums.total, at, np.add.reduceat(held.total, starts))
            np.add.at(sums.weight, at, np.add.reduceat(held.weight, starts))
        np.add.at(sums.n, at, np.add.reduceat(held.n, starts))
        return sums


def _nothing(columns: int) -> Values:
    latest = np.full(columns, np.iinfo(np.int64).max)
    low, high = np.full(columns, np.inf), np.full(columns, -np.inf)
    return Values(latest, low, high, np.zeros(columns), np.zeros(columns), np.zeros(columns, np.int64))


def _joined(pieces: list[Values]) -> Values:
    if not pieces:
        no_ints, no_floats = np.empty(0, np.int64), np.empty(0)
        return Values(no_ints, no_floats, no_floats, no_floats, no_floats, no_ints)
    if len(pieces) == 1:
        return pieces[0]
    t_ns, low, high, total, weight, n = zip(*pieces, strict=True)
    join = np.concatenate
    return Values(join(t_ns), join(low), join(high), join(total), join(weight), join(n))


def _by_time(values: Values) -> Values:
    if not (np.diff(values.t_ns) < 0).any():
        return values
    return values.at(np.argsort(values.t_ns, kind="stable"))


def _finished(values: Values) -> Columns:
    """A mean lies between lowest and highest, also where the sum is beyond what a float can hold."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mean = values.total / values.weight
    mean = np.where(np.isfinite(mean), mean, values.min / 2 + values.max / 2)
    return Columns(values.t_ns, values.min, values.max, np.clip(mean, values.min, values.max), values.n)
