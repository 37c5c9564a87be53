"""Samples of any length in a few columns: what is lowest and highest in each, so that a peak survives."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from common.store.reader import AxesChange, Reader
from common.store.results import Range

MOST = 1_000_000  # columns: memory for all of them is taken at once


class Envelope(NamedTuple):
    """Of m columns that are not empty: t_ns int64 (m,), where each begins; min, max float64 (m, axes); n int64 (m,)."""

    t_ns: npt.NDArray[np.int64]
    min: npt.NDArray[np.float64]
    max: npt.NDArray[np.float64]
    n: npt.NDArray[np.int64]
    axes: list[str]
    unit: str


def envelope(reader: Reader, sensor: str, range: Range, columns: int) -> Envelope:
    """All samples of a sensor in the range, a chunk at a time. NaN is passed over; a column of NaN alone has NaN.

    The columns divide the time from the first to the last of these samples. AxesChange where axes or unit do;
    ValueError for more columns than MOST.
    """
    if columns > MOST:
        raise ValueError(f"columns {columns}: at most {MOST:,}")
    start, end = reader.sample_span(sensor, range)
    if end < start:
        return Envelope(np.empty(0, np.int64), np.empty((0, 0)), np.empty((0, 0)), np.empty(0, np.int64), [], "")
    step = max(1, -(-(end - start + 1) // columns))  # ns a column, rounded up
    axes, unit = None, ""
    low = high = np.empty((0, 0))
    n = np.zeros(columns, np.int64)
    for block in reader.blocks(sensor, range):
        inside = (block.t_ns >= start) & (block.t_ns <= end)
        if not inside.any():
            continue
        if axes is None:
            axes, unit = block.axes, block.unit
            low, high = np.full((columns, len(axes)), np.inf), np.full((columns, len(axes)), -np.inf)
        elif (block.axes, block.unit) != (axes, unit):
            raise AxesChange(sensor, int(block.t_ns[0]))
        at = (block.t_ns[inside] - start) // step
        values = block.counts[inside].astype(np.float64) * block.scale
        np.add.at(n, at, 1)
        np.fmin.at(low, at, values)
        np.fmax.at(high, at, values)
    some = n > 0
    nothing = low > high
    low[nothing] = high[nothing] = np.nan
    begins = start + step * np.flatnonzero(some)
    return Envelope(begins, low[some], high[some], n[some], axes or [], unit)
