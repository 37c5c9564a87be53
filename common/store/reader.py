"""What is in the store: for commands, the gateway and pages. Works while the sink writes, and on a stopped rig.

Times are wall ns; rows come in the order of time.
"""

import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any, Self

import numpy as np

from common.errors import StoreError
from common.store import chunks
from common.store.assemble import MAX_SPAN_NS
from common.store.readonly import StoreFile
from common.store.results import (
    ALL,
    Block,
    EventRow,
    LedgerRow,
    PowerRow,
    PulseRow,
    Range,
    RollupRow,
    SampleSeries,
    Stats,
    StreamRow,
)

_PAGE = 500  # chunks looked at at once
_LONG_FRAME_NS = 3600 * 10**9  # a chunk of one slow frame is found if it began at most so long before the range


class AxesChange(ValueError):
    """Of the samples of one answer not all have the same axes and unit."""

    def __init__(self, sensor: str, t_ns: int) -> None:
        super().__init__(f"{sensor}: axes or unit change at {t_ns} ns: ask for the time before or after")


class Reader:
    """Made by `open_reader`; belongs to one thread. Every method raises StoreError where the database refuses."""

    def __init__(self, file: StoreFile) -> None:
        self.path, self._file = file.path, file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def pulses(self, range: Range = ALL, channel: str | None = None) -> list[PulseRow]:
        """One row an accepted edge."""
        where, values = ("AND channel = ?", [channel]) if channel is not None else ("", [])
        rows = self._newest("t_ns, channel, total FROM pulses", range, where, values)
        return [PulseRow(*row) for row in rows]

    def power(self, imp_per_kwh: Mapping[str, float], range: Range = ALL, channel: str | None = None) -> list[PowerRow]:
        """Power from the time between consecutive edges of a channel: P = 3.6e6 · pulses / (imp_per_kwh · Δt) W.

        pulses is what the lifetime total grew by: 1, or more where frames between were lost; then P is their mean.
        None where edges were lost meanwhile: nobody knows how many there were.
        """
        rows = self.pulses(range, channel)
        found = []
        for name in {row.channel for row in rows}:
            of_channel = [row for row in rows if row.channel == name]
            imp, is_lost = imp_per_kwh.get(name), self._lost_edges(name)
            for before, row in pairwise([self._edge_before(of_channel[0]), *of_channel]):
                assert row is not None
                watts = None if before and is_lost(before.t_ns, row.t_ns) else _watts(before, row, imp)
                found.append(PowerRow(*row, watts, row.total / imp if imp else None))
        return sorted(found)

    def blocks(self, sensor: str, range: Range = ALL) -> Iterator[Block]:
        """The chunks of a sensor that may reach into the range, oldest first, decoded; not cut to the range."""
        for rowid in reversed(self._picked(sensor, range)):
            yield from self._block(rowid)

    def samples(self, sensor: str, range: Range = ALL) -> SampleSeries:
        """The samples of a sensor within the range. AxesChange where axes or unit change in it."""
        times, values, axes, unit = [np.empty(0, np.int64)], [], None, ""
        for block in self.blocks(sensor, range):
            inside = (block.t_ns >= range.from_ns) & (block.t_ns < range.to_ns)
            if not inside.any():
                continue
            if axes is not None and (block.axes, block.unit) != (axes, unit):
                raise AxesChange(sensor, int(block.t_ns[0]))
            axes, unit = block.axes, block.unit
            times.append(block.t_ns[inside])
            values.append(block.counts[inside].astype(np.float64) * block.scale)
        t_ns = np.concatenate(times)
        joined = np.concatenate(values) if values else np.empty((0, 0))
        if range.last is not None:
            t_ns, joined = t_ns[max(0, len(t_ns) - range.last) :], joined[max(0, len(joined) - range.last) :]
        return SampleSeries(t_ns, joined, axes or [], unit)

    def sample_span(self, sensor: str, range: Range = ALL) -> tuple[int, int]:
        """When the first and the last sample within the range were, about (of its first and last chunk); (0, -1): none.

        No sample of the range is outside, but for those of a wall clock that went back.
        """
        ids = self._picked(sensor, range)
        ends = [block.t_ns for rowid in (ids[-1:] + ids[:1]) for block in self._block(rowid)]
        if len(ends) < 2:
            return 0, -1
        return max(range.from_ns, int(ends[0].min())), min(range.to_ns - 1, int(ends[1].max()))

    def sensors(self) -> list[str]:
        """Names of the sensors of the newest 1,000 chunks (all of a week would take seconds)."""
        newest = "(SELECT sensor FROM sample_chunks ORDER BY id DESC LIMIT 1000)"
        return [name for (name,) in self._all(f"SELECT DISTINCT sensor FROM {newest} ORDER BY sensor")]

    def rollups(self, window_s: int, series: str | None = None, range: Range = ALL) -> list[RollupRow]:
        """Sums of one series, or of all, in windows of 60, 300 or 3,600 s that begin within the range.

        watts: of energy, the window's mean; None of the newest window, which may go on.
        """
        where, values = ("AND series = ?", [series]) if series is not None else ("", [])
        newest = f"(SELECT max(t_ns) FROM rollups WHERE window_s = {int(window_s)})"  # asked once, as it needs no row
        watts = f"iif(series LIKE 'energy/%' AND t_ns < {newest}, sum * 3.6e6 / window_s, NULL)"
        columns = f"t_ns, window_s, series, n, sum, min, max, last, last_t_ns, {watts}"
        rows = self._newest(f"{columns} FROM rollups", range, f"AND window_s = ? {where}", [window_s, *values])
        return [RollupRow(*row) for row in rows]

    def streams(self) -> list[StreamRow]:
        """Every run of every source, in the order they were first seen."""
        return [StreamRow(*row) for row in self._all(f"SELECT {', '.join(StreamRow._fields)} FROM streams ORDER BY id")]

    def ledger(self, range: Range = ALL) -> list[LedgerRow]:
        """What is known to be lost."""
        columns = (
            "t_ns, stream_id, node, src, run, stream, unit, count, cause, from_seq, to_seq, from_t_ns, to_t_ns, detail"
        )
        joined = "(SELECT ledger.*, node, src, run FROM ledger LEFT JOIN streams ON streams.id = stream_id)"
        return [LedgerRow(*row) for row in self._newest(f"{columns} FROM {joined}", range)]

    def events(self, range: Range = ALL) -> list[EventRow]:
        """What happened, of all that is not data: losses, settings of the clock, events that daemons sent."""
        merged = """(
            SELECT t_ns, 'ledger' AS origin, cause AS what, stream AS source, id,
                   coalesce(count, 'an unknown number of') || ' ' || unit || iif(count = 1, '', 's')
                   || iif(detail = '', '', ': ' || detail) AS detail FROM ledger
            UNION ALL SELECT t_ns, 'clock_steps', 'clock_step', boot_id, id,
                   step_ns || ' ns' || iif(detail = '', '', ': ' || detail) FROM clock_steps
            UNION ALL SELECT CAST(ts * 1e9 AS INTEGER), 'system_events', event_type, source, id,
                   level || iif(coalesce(detail, '') = '', '', ': ' || detail) FROM system_events)"""
        return [EventRow(*row) for row in self._newest(f"t_ns, origin, what, source, detail FROM {merged}", range)]

    def dbstats(self) -> Stats:
        """Rows of every table, and the size of the files."""
        names = self._all(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        )
        tables = {name: int(self._all(f'SELECT count(*) FROM "{name}"')[0][0]) for (name,) in names}
        free = self._all("SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size")[0][0]
        return Stats(tables, _size(self.path), int(free), _size(f"{self.path}-wal"))

    def _edge_before(self, row: PulseRow) -> PulseRow | None:
        before = "channel = ? AND t_ns < ? ORDER BY t_ns DESC, id DESC LIMIT 1"
        found = self._all(f"SELECT t_ns, channel, total FROM pulses WHERE {before}", [row.channel, row.t_ns])
        return PulseRow(*found[0]) if found else None

    def _lost_edges(self, channel: str) -> Callable[[int, int], bool]:
        """(from, to) → whether edges of a channel were lost between these times, wall ns."""
        sql = (
            "SELECT from_t_ns, to_t_ns FROM ledger WHERE stream = ? AND unit = 'edge' AND to_t_ns > from_t_ns "
            "ORDER BY from_t_ns"
        )
        lost = self._all(sql, [f"pulse/{channel}/"])
        starts, ends = [start for start, _ in lost], list(accumulate((end for _, end in lost), max))

        def is_lost(from_ns: int, to_ns: int) -> bool:
            begun = bisect_left(starts, to_ns)
            return begun > 0 and ends[begun - 1] > from_ns

        return is_lost

    def _block(self, rowid: int) -> Iterator[Block]:
        yield from map(_block, self._all(f"{_A_BLOCK} WHERE id = ?", [rowid]))

    def _picked(self, sensor: str, range: Range) -> list[int]:
        """ids of the chunks of a range, newest first; also of those that began before it and may reach into it."""
        chunk_before, frame_before = (max(ALL.from_ns, range.from_ns - ns) for ns in (MAX_SPAN_NS, _LONG_FRAME_NS))
        values = [sensor, range.to_ns, chunk_before, range.from_ns, frame_before]
        sql = (
            "SELECT id, n, t_ns FROM sample_chunks WHERE sensor = ?1 AND t_ns < ?2 AND t_ns >= min(?3, coalesce("
            "(SELECT max(t_ns) FROM sample_chunks WHERE sensor = ?1 AND t_ns <= ?4 AND t_ns >= ?5), ?3))"
        )
        order = "ORDER BY t_ns DESC, id DESC"
        if range.last is None:
            return [rowid for rowid, _, _ in self._all(f"{sql} {order}", values)]
        # Range.last counts samples: from the newest backwards, until there are enough
        page = f"{sql} AND (t_ns, id) < (?6, ?7) {order} LIMIT {_PAGE}"
        picked: list[int] = []
        have, before = 0, (range.to_ns, 0)
        while have < range.last and (rows := self._all(page, [*values, *before])):
            for rowid, n, t_ns in rows:
                before = t_ns, rowid
                if have >= range.last:
                    break
                have += n if picked else 0  # the newest may reach beyond the range: not counted
                picked.append(rowid)
        return picked

    def _newest(self, what: str, range: Range, where: str = "", values: list[Any] | None = None) -> list[Any]:
        limit = -1 if range.last is None else range.last
        rows = self._all(
            f"SELECT {what} WHERE t_ns >= ? AND t_ns < ? {where} ORDER BY t_ns DESC, id DESC LIMIT ?",
            [range.from_ns, range.to_ns, *(values or []), limit],
        )
        rows.reverse()
        return rows

    def _all(self, sql: str, values: list[Any] | None = None) -> list[Any]:
        return self._file.all(sql, values or [])


def open_reader(path: str | os.PathLike[str]) -> Reader:
    """FileNotFoundError: there is no database. StoreError: it cannot be read, or is none of ours."""
    return Reader(StoreFile(path))


_A_BLOCK = f"SELECT id, rate_hz, {chunks.COLUMNS} FROM sample_chunks"


def _block(row: tuple[Any, ...]) -> Block:
    """row: id, rate_hz and the columns of a chunk."""
    rowid, rate_hz = row[:2]
    try:
        found = chunks.unpack(row[2:])
    except chunks.BadChunk as e:
        raise StoreError(f"sample_chunks {rowid}: {e}") from e
    return Block(found.t_ns, found.counts, list(found.axes), found.unit, found.scale, rate_hz)


def _watts(before: PulseRow | None, row: PulseRow, imp_per_kwh: float | None) -> float | None:
    if before is None or not imp_per_kwh or row.t_ns <= before.t_ns or row.total <= before.total:
        return None
    return 3.6e6 * (row.total - before.total) / (imp_per_kwh * (row.t_ns - before.t_ns) * 1e-9)


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
