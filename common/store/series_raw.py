"""Raw values of a series, out of their tables, into columns. Damaged chunks are left out: a chart shows the rest."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from common.errors import RigbusError
from common.store import chunks
from common.store.assemble import MAX_SPAN_NS
from common.store.readonly import StoreFile
from common.store.series_columns import Columns, Floats, Reducer, Times, plain
from common.store.series_kinds import OfPulses, OfRows, OfSamples, Series

MOST_SAMPLES = 20_000_000  # of all sensors in a question: some seconds
MOST_ROWS = 500_000  # of a series
_CHUNKS_AT_ONCE = 50
_AROUND_ROWS = 20_000  # of all channels, looked through for what a channel had next to the range
_LONG_FRAME_NS = 3600 * 10**9  # a chunk of one slow frame is found if it began at most so long before the range


class TooMuch(RigbusError):
    """The question would take too long; the message says what would not."""


class Raw(NamedTuple):
    """period_s: between two values; None: none, or not known. unit "": none, or not known."""

    columns: Columns
    unit: str
    period_s: float | None


class RawSeries:
    """Raw values of from_ns ≤ t < to_ns. imp_per_kwh: of the channels that are meters of energy."""

    def __init__(
        self, file: StoreFile, imp_per_kwh: Mapping[str, float], from_ns: int, to_ns: int, columns: int
    ) -> None:
        self._file, self._imp_per_kwh = file, imp_per_kwh
        self._from_ns, self._to_ns, self._columns = from_ns, to_ns, columns

    def get(self, wanted: Sequence[Series]) -> dict[str, Raw]:
        """By name. Raises TooMuch, StoreError."""
        found: dict[str, Raw] = {}
        by_sensor: dict[str, list[Series]] = {}
        for series in wanted:
            if isinstance(series.raw, OfSamples):
                by_sensor.setdefault(series.raw.sensor, []).append(series)
            elif isinstance(series.raw, OfPulses):
                found[series.name] = self._pulses(series.raw)
            else:
                found[series.name] = self._rows(series, series.raw)
        ids = {sensor: self._chunk_ids(sensor) for sensor in by_sensor}
        total = sum(n for of_sensor in ids.values() for _, n in of_sensor)
        if total > MOST_SAMPLES:
            raise TooMuch(f"{total:,} samples in this range: ask for less of it, or for sums (source=60)")
        for sensor, wanted_of in by_sensor.items():
            found |= self._samples([rowid for rowid, _ in ids[sensor]], wanted_of)
        return found

    def _reducer(self) -> Reducer:
        return Reducer(self._from_ns, self._to_ns, self._columns)

    # ---- samples

    def _samples(self, ids: Sequence[int], wanted: Sequence[Series]) -> dict[str, Raw]:
        reducers = {series.name: self._reducer() for series in wanted}
        axes_of = {series.name: series.raw.axis for series in wanted if isinstance(series.raw, OfSamples)}
        unit, period_s = "", None
        for rate_hz, *row in self._chunks(ids):
            try:
                chunk = chunks.unpack(tuple(row))
            except chunks.BadChunk:
                continue
            inside: Any = slice(None)
            times = chunk.t_ns
            if not len(times):
                continue
            if times[0] < self._from_ns or times[-1] >= self._to_ns or (np.diff(times) < 0).any():
                inside = (times >= self._from_ns) & (times < self._to_ns)
                times = times[inside]
            unit, period_s = chunk.unit, 1 / rate_hz if rate_hz > 0 else period_s
            counts = chunk.counts[inside]
            for name, axis in axes_of.items():
                values = _axis(axis, chunk.axes, counts, chunk.scale)
                if values is not None:
                    reducers[name].add(plain(times, values))
        return {name: Raw(reducer.result(), unit, period_s) for name, reducer in reducers.items()}

    def _chunk_ids(self, sensor: str) -> list[tuple[int, int]]:
        """id and n of the chunks that reach into the range, also of those that began before it."""
        sql = (
            "SELECT id, n FROM sample_chunks WHERE sensor = ?1 AND t_ns < ?2 AND t_ns >= min(?3, coalesce((SELECT "
            "max(t_ns) FROM sample_chunks WHERE sensor = ?1 AND t_ns <= ?4 AND t_ns >= ?5), ?3)) ORDER BY t_ns, id"
        )
        before = self._from_ns - MAX_SPAN_NS, self._from_ns, self._from_ns - _LONG_FRAME_NS
        return self._file.all(sql, (sensor, self._to_ns, *before))

    def _chunks(self, ids: Sequence[int]) -> Iterator[Any]:
        """rate_hz and chunks.COLUMNS of each."""
        for i in range(0, len(ids), _CHUNKS_AT_ONCE):
            some = ids[i : i + _CHUNKS_AT_ONCE]
            places = ", ".join("?" * len(some))
            sql = f"SELECT rate_hz, {chunks.COLUMNS} FROM sample_chunks WHERE id IN ({places}) ORDER BY t_ns, id"
            yield from self._file.all(sql, some)

    # ---- pulses

    def _pulses(self, of: OfPulses) -> Raw:
        times, totals = self._edges(of.channel)
        if not of.watts:
            inside = times < self._to_ns
            return self._steps(times[inside], totals[inside].astype(np.float64), None)
        imp = self._imp_per_kwh.get(of.channel)
        if not imp or len(times) < 2:
            return self._steps(times[:0], np.empty(0), None)
        took, grew = np.diff(times), np.diff(totals)
        good = (took > 0) & (grew > 0)
        took, grew = took[good], grew[good]
        watts = 3.6e6 * grew / (imp * took * 1e-9)
        return self._steps(times[:-1][good], watts, took.astype(np.float64))

    def _steps(self, t_ns: Times, values: Floats, weight: Floats | None) -> Raw:
        """weight: for how long each value held; None: all alike."""
        reducer = self._reducer()
        found = plain(t_ns, values)
        reducer.add(found if weight is None else found._replace(total=found.total * weight, weight=weight))
        return Raw(reducer.result(), "", None)

    def _edges(self, channel: str) -> tuple[Times, Times]:
        """Time and lifetime count of a channel's edges in the range, of the one before and of the one after it."""
        edges = OfRows("pulses", "t_ns", "total", "channel = ?", (channel,))
        first = self._nearest(edges, "< ? ORDER BY t_ns DESC, id DESC", self._from_ns)
        last = self._nearest(edges, ">= ? ORDER BY t_ns, id", self._to_ns)
        sql = "SELECT t_ns, total FROM pulses WHERE t_ns >= ? AND t_ns < ? AND channel = ? ORDER BY t_ns, id LIMIT ?"
        rows = self._limited(sql, (self._from_ns, self._to_ns, channel))
        both = np.array([*first, *rows, *last], np.int64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    # ---- rows

    def _rows(self, series: Series, of: OfRows) -> Raw:
        in_s = of.time == "ts"
        # a little more of what is in seconds: which ns that is, is decided below
        bounds = (self._from_ns / 1e9 - 1e-6, self._to_ns / 1e9 + 1e-6) if in_s else (self._from_ns, self._to_ns)
        number = f"typeof({of.column}) IN ('real', 'integer')"
        sql = (
            f"SELECT {of.time}, {of.column} FROM {of.table} WHERE {of.time} >= ? AND {of.time} < ? "
            f"AND {number} AND {of.where} ORDER BY {of.time}, id LIMIT ?"
        )
        rows = self._limited(sql, (*bounds, *of.values))
        if series.kind == "step" and not series.periodic:
            rows = [*self._nearest(of, "< ? ORDER BY ts DESC, id DESC", bounds[0]), *rows]
        t_ns = np.array([round(t * 1e9) for t, _ in rows] if in_s else [t for t, _ in rows], np.int64)
        values = np.array([value for _, value in rows], np.float64)
        inside = t_ns < self._to_ns
        if series.periodic:
            inside &= t_ns >= self._from_ns
        t_ns, values = t_ns[inside], values[inside]
        reducer = self._reducer()
        reducer.add(plain(t_ns, values))
        steps = np.diff(t_ns)
        period_s = float(np.median(steps)) / 1e9 if series.periodic and len(steps) else None
        return Raw(reducer.result(), "", period_s)

    def _nearest(self, of: OfRows, side: str, border: float) -> list[Any]:
        """The row next to a border, if it is among the nearest rows of the table."""
        nearest = f"SELECT * FROM {of.table} WHERE {of.time} {side} LIMIT {_AROUND_ROWS}"
        sql = f"SELECT {of.time}, {of.column} FROM ({nearest}) WHERE {of.where} LIMIT 1"
        return self._file.all(sql, (border, *of.values))

    def _limited(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        rows = self._file.all(sql, (*values, MOST_ROWS + 1))
        if len(rows) > MOST_ROWS:
            raise TooMuch(f"over {MOST_ROWS:,} raw values in this range: ask for less of it, or for sums (source=60)")
        return rows


def _axis(axis: str, axes: Sequence[str], counts: Any, scale: float) -> Floats | None:
    """One axis in its unit, or the length of the vector of several; None where there is no such axis."""
    with np.errstate(over="ignore", invalid="ignore"):
        if axis in axes:
            values: Floats = counts[:, axes.index(axis)] * np.float64(scale)
            return values
        if axis == "magnitude" and len(axes) > 1:
            scaled = counts * np.float64(scale)
            length: Floats = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
            return length
    return None
