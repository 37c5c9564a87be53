"""The numbers in rows of the store, by series and minute: what rollups are made of. Pure: it touches no database.

A series has the name of its kind, device and field; docs/store.md lists them. Values that are NULL, NaN or infinite are
left out.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from common.store import chunks
from common.store.rows import THERMOSTAT_FIELDS

Row = tuple[Any, ...]
FINEST_S = 60  # every other window is a multiple of it
_FINEST_NS = FINEST_S * 10**9
_I64_MIN, _I64_MAX = -(2**63), 2**63 - 1
_BIGGEST = 1.7976931348623157e308


class Cell(NamedTuple):
    """A series in a window. last: the value of the latest time, last_t_ns; of two at that time the greater one."""

    n: int
    sum: float
    min: float
    max: float
    last: float
    last_t_ns: int


def merge(a: Cell, b: Cell) -> Cell:
    """Both together, whichever came first; a sum beyond what a float can hold stays at the greatest float."""
    newer = a if (a.last_t_ns, a.last) > (b.last_t_ns, b.last) else b
    total = max(-_BIGGEST, min(a.sum + b.sum, _BIGGEST))
    return Cell(a.n + b.n, total, min(a.min, b.min), max(a.max, b.max), newer.last, newer.last_t_ns)


class Source(NamedTuple):
    """What is read of a table, behind the id, and at most how many rows at once."""

    columns: str
    page: int


_READING = (*THERMOSTAT_FIELDS, "device_time_s")
_ANGLES = tuple(f"angle{i}" for i in range(7))
_SMOOTHER = ("target", "current", "sent", "step_size")
_CAMERA = {"fps": "actual_fps", "target_fps": "target_fps", "drops": "drop_count", "motion": "motion_score"}
_OUTCOMES = ("done", "stopped")  # of a pump's run: what it really delivered
SOURCES: Mapping[str, Source] = {
    "pulses": Source("t_ns, channel, total", 500),
    "sample_chunks": Source(chunks.COLUMNS, 4),
    "thermostat_readings": Source(f"t_ns, device, channel, {', '.join(_READING)}", 50),
    "dds_feedback": Source(f"ts, funcode, {', '.join(_ANGLES)}", 100),
    "dds_commands": Source("ts, joint_id, target_value", 500),
    "smoother_state": Source(f"ts, joint_id, {', '.join(_SMOOTHER)}", 500),
    "camera_health": Source(f"ts, camera_id, {', '.join(_CAMERA.values())}", 500),
    "pump_events": Source("t_ns, pump, event, ml, steps", 500),
    "web_requests": Source("ts, endpoint, response_ms", 500),
}


class Sums:
    """Adds up rows. `cells`: (series, start of the minute in ns) → Cell.

    imp_per_kwh: of the channels that are meters of energy. damaged: told the id of a chunk that cannot be unpacked, and
    why; it is left out.
    """

    def __init__(self, imp_per_kwh: Mapping[str, float], damaged: Callable[[int, str], None]) -> None:
        self.cells: dict[tuple[str, int], Cell] = {}
        self._imp_per_kwh, self._damaged = imp_per_kwh, damaged
        self._add: dict[str, Callable[[Row], None]] = {
            "pulses": self._pulse,
            "sample_chunks": self._chunk,
            "thermostat_readings": self._thermostat,
            "dds_feedback": self._arm,
            "dds_commands": self._command,
            "pump_events": self._pump,
            "smoother_state": self._smoother,
            "camera_health": self._camera,
            "web_requests": self._web,
        }

    def add(self, table: str, rows: Sequence[Row]) -> None:
        """rows: id and the columns of SOURCES[table]."""
        add = self._add[table]
        for row in rows:
            add(row)

    def _put(self, series: str, start: int, cell: Cell) -> None:
        key = series, start
        found = self.cells.get(key)
        self.cells[key] = cell if found is None else merge(found, cell)

    def _one(self, series: str, t_ns: int, value: Any) -> None:
        if isinstance(value, int | float) and math.isfinite(value):
            number = float(value)
            self._put(series, window(t_ns), Cell(1, number, number, number, number, t_ns))

    def _pulse(self, row: Row) -> None:
        _, t_ns, channel, total = row
        start = window(t_ns)
        count = float(total)
        self._put(f"pulse/{channel}", start, Cell(1, 1.0, count, count, count, t_ns))
        if imp := self._imp_per_kwh.get(channel):
            kwh = total / imp
            self._put(f"energy/{channel}", start, Cell(1, 1 / imp, kwh, kwh, kwh, t_ns))

    def _thermostat(self, row: Row) -> None:
        _, t_ns, device, channel, *values = row
        place = f"thermostat/{device}/{'' if channel is None else channel}"
        for name, value in zip(_READING, values, strict=True):
            if value is not None:
                self._one(f"{place}/{name}", t_ns, value)

    def _arm(self, row: Row) -> None:
        _, ts, funcode, *angles = row
        if funcode == 1:
            for i, angle in enumerate(angles):
                self._one(f"arm/joint{i}", _ns(ts), angle)

    def _smoother(self, row: Row) -> None:
        _, ts, joint, *values = row
        for name, value in zip(_SMOOTHER, values, strict=True):
            self._one(f"smoother/{joint}/{name}", _ns(ts), value)

    def _command(self, row: Row) -> None:
        _, ts, joint, target = row
        if joint is not None:
            self._one(f"arm/joint{joint}/target", _ns(ts), target)

    def _pump(self, row: Row) -> None:
        _, t_ns, pump, event, ml, steps = row
        if event in _OUTCOMES:
            self._one(f"pump/{pump}/ml", t_ns, ml)
            self._one(f"pump/{pump}/steps", t_ns, steps)

    def _camera(self, row: Row) -> None:
        _, ts, camera, *values = row
        for name, value in zip(_CAMERA, values, strict=True):
            self._one(f"camera/{camera}/{name}", _ns(ts), value)

    def _web(self, row: Row) -> None:
        _, ts, endpoint, response_ms = row
        self._one(f"web/{endpoint}/response_ms", _ns(ts), response_ms)

    def _chunk(self, row: Row) -> None:
        try:
            sensor, times, counts, axes, _, scale = chunks.unpack(row[1:])
        except chunks.BadChunk as e:
            self._damaged(row[0], str(e))
            return
        if not len(times):
            return
        series, values = _by_series(axes, counts, scale)
        names = [f"samples/{sensor}/{name}" for name in series]
        if window(int(times.min())) == window(int(times.max())):
            self._samples(names, values, times)
            return
        starts = times // _FINEST_NS
        for start in np.unique(starts):
            inside = starts == start
            self._samples(names, values[:, inside], times[inside])

    def _samples(self, names: list[str], values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]) -> None:
        """values: (series, n) of one minute; times (n,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            sums = values.sum(axis=1)
        if not np.isfinite(sums).all():
            self._with_holes(names, values, times)
            return
        n = len(times)
        at = n - 1 - int(times[::-1].argmax())
        last_t_ns = int(times[at])
        columns = (sums, values.min(axis=1), values.max(axis=1), values[:, at])
        for name, total, low, high, last in zip(names, *(c.tolist() for c in columns), strict=True):
            self._put(name, window(last_t_ns), Cell(n, total, low, high, last, last_t_ns))

    def _with_holes(self, names: list[str], values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]) -> None:
        """As `_samples`, where some are NaN or infinite, or the sum is."""
        for name, of_series in zip(names, values, strict=True):
            finite = np.isfinite(of_series)
            if not finite.any():
                continue
            good, at = of_series[finite], times[finite]
            newest = len(at) - 1 - int(at[::-1].argmax())
            with np.errstate(over="ignore"):
                total = max(-_BIGGEST, min(float(good.sum()), _BIGGEST))
            cell = Cell(len(good), total, float(good.min()), float(good.max()), float(good[newest]), int(at[newest]))
            self._put(name, window(cell.last_t_ns), cell)


def window(t_ns: int, window_s: int = FINEST_S) -> int:
    """The start of the window that holds t_ns, ns."""
    return max(_I64_MIN, t_ns - t_ns % (window_s * 10**9))


def _ns(ts: float) -> int:
    return max(_I64_MIN, min(round(ts * 1e9), _I64_MAX))


def _by_series(
    axes: Sequence[str], counts: npt.NDArray[Any], scale: float
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Names and float64 (series, n): each axis in its unit and, of several, the length of their vector."""
    names = list(axes)
    magnitude = len(axes) > 1 and "magnitude" not in axes
    values = np.empty((len(axes) + magnitude, len(counts)))
    by_axis = values[: len(axes)]
    with np.errstate(over="ignore", invalid="ignore"):
        by_axis[:] = counts.T
        by_axis *= scale
        if magnitude:
            names.append("magnitude")
            np.sqrt(np.einsum("ij,ij->j", by_axis, by_axis), out=values[-1])
    return names, values
