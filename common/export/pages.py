"""Rows of a database by pages, in the order of their ids, up to the last there was at the start.

Between two pages nothing is held, neither a statement nor a snapshot, however slow the reader of the pages.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from common.errors import RigbusError, StoreError
from common.store import chunks
from common.store.readonly import StoreFile
from common.store.results import ALL, Range

SAMPLES, CHUNKS = "samples", "sample_chunks"  # the former: the latter, decoded
_ROWS, _ROWS_WITH_BYTES, _CHUNKS = 10_000, 200, 32  # of a page: some 10 MB at most
_LONG_FRAME_NS = 3600 * 10**9  # as in common/store/reader.py


class Column(NamedTuple):
    """kind: as declared (INTEGER, REAL, TEXT, BLOB; '' none), though SQLite may hold another. unit: of samples, which
    are numbers or None for sure.
    """

    name: str
    kind: str
    unit: str | None = None


class Page(NamedTuple):
    """name: of the file it belongs to, without its ending; columns are the same for all pages of a file."""

    name: str
    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]


class Span(NamedTuple):
    """from_id < id ≤ to_id."""

    from_id: int
    to_id: int


Progress = Callable[[int, int], None]  # ids done, of so many


def tables(file: StoreFile) -> list[str]:
    """Names of the tables, `samples` for the one of chunks."""
    sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
    return [SAMPLES if name == CHUNKS else name for (name,) in file.all(sql)]


def pages(file: StoreFile, table: str, range: Range, progress: Progress) -> Iterator[Page]:
    """range: of t_ns or ts; its `last` counts rows, of samples those of each sensor. A table without a time is whole.

    Raises StoreError, also where the database was replaced meanwhile.
    """
    replaced = file.replaced
    for page in (_samples if table == SAMPLES else _rows)(file, table, range, progress):
        _check_same(file, replaced)
        yield page
    _check_same(file, replaced)


def _check_same(file: StoreFile, replaced: int) -> None:
    if file.replaced != replaced:
        raise StoreError(f"{file.path}: was replaced by another database meanwhile: begin again")


def _rows(file: StoreFile, table: str, range: Range, progress: Progress) -> Iterator[Page]:
    columns = tuple(Column(row[1], row[2].upper()) for row in file.all(f'PRAGMA table_info("{table}")'))
    names = ", ".join(f'"{column.name}"' for column in columns)
    in_time, values = _in_time({column.name for column in columns}, range)
    span = _span(file, table, in_time, values, range.last)
    size = _ROWS_WITH_BYTES if any(column.kind in ("BLOB", "") for column in columns) else _ROWS
    within = f"rowid > ? AND rowid <= ?{_unindexed(in_time)}"
    sql = f'SELECT rowid, {names} FROM "{table}" WHERE {within} ORDER BY rowid LIMIT {size}'
    at = span.from_id
    yield Page(table, columns, [])  # an empty table is a file with its columns
    while rows := file.all(sql, [at, span.to_id, *values]):
        at = rows[-1][0]
        yield Page(table, columns, [row[1:] for row in rows])
        progress(at - span.from_id, span.to_id - span.from_id)


def _in_time(names: set[str], range: Range) -> tuple[str, list[float]]:
    """A condition on the table's time, if any, and its values."""
    if range[:2] == ALL[:2]:
        return "", []
    if "t_ns" in names:
        return " AND t_ns >= ? AND t_ns < ?", [range.from_ns, range.to_ns]
    return (" AND ts >= ? AND ts < ?", [range.from_ns / 1e9, range.to_ns / 1e9]) if "ts" in names else ("", [])


def _unindexed(in_time: str) -> str:
    """The same, by rowid: by the index of the time SQLite would fetch all rows for each page, and sort them."""
    return in_time.replace("AND t", "AND +t")


def _span(file: StoreFile, table: str, in_time: str, values: list[float], last: int | None = None) -> Span:
    """Where the rows of a time begin and end, by the index of the time where there is one."""
    if in_time:
        [(low, high)] = file.all(f'SELECT min(rowid), max(rowid) FROM "{table}" WHERE true{in_time}', values)
    else:  # each by itself is found without a scan
        [(low, high)] = file.all(f'SELECT (SELECT min(rowid) FROM "{table}"), (SELECT max(rowid) FROM "{table}")')
    if low is None:
        return Span(0, 0)
    if last is None:
        return Span(low - 1, high)
    before = f'SELECT rowid FROM "{table}" WHERE rowid <= ?{_unindexed(in_time)} ORDER BY rowid DESC LIMIT 1 OFFSET ?'
    found = file.all(before, [high, *values, last])
    return Span(found[0][0] if found else low - 1, high)


def _samples(file: StoreFile, table: str, range: Range, progress: Progress) -> Iterator[Page]:
    """t_ns and a column an axis, in the chunk's unit: a file a sensor, and another where its axes or unit change."""
    if range.last == 0:
        return
    reach = max(ALL.from_ns, range.from_ns - _LONG_FRAME_NS)  # a chunk that began before may reach into the range
    in_time, values = _in_time({"t_ns"}, range._replace(from_ns=reach))
    span = _span(file, CHUNKS, in_time, values)
    first = _newest(file, range, span.to_id)
    begin = span.from_id if first is None else max(span.from_id, min(first.values(), default=(span.to_id, 0))[0] - 1)
    within = f"id > ? AND id <= ?{_unindexed(in_time)}"
    sql = f"SELECT id, {chunks.COLUMNS} FROM {CHUNKS} WHERE {within} ORDER BY id LIMIT {_CHUNKS}"
    names: dict[tuple[Any, ...], str] = {}
    at = begin
    while rows := file.all(sql, [at, span.to_id, *values]):
        at = rows[-1][0]
        for row in rows:
            if first is not None and row[0] < first.get(row[2], (0, 0))[0]:
                continue
            found = _unpacked(row)
            page = _page(found, range, names)
            if first is not None and row[0] == first.get(found.sensor, (0, 0))[0]:
                page = page._replace(rows=page.rows[first[found.sensor][1] :])
            if page.rows:
                yield page
        progress(at - begin, span.to_id - begin)


def _unpacked(row: tuple[Any, ...]) -> chunks.Unpacked:
    try:
        return chunks.unpack(row[1:])
    except chunks.BadChunk as e:
        raise RigbusError(f"{CHUNKS} {row[0]}: {e}") from None


def _page(found: chunks.Unpacked, range: Range, names: dict[tuple[Any, ...], str]) -> Page:
    key = (found.sensor, found.axes, found.unit)
    if key not in names:
        n = sum(sensor == found.sensor for sensor, *_ in names)
        names[key] = f"{SAMPLES}-{found.sensor}{f'-{n + 1}' if n else ''}"
    inside = (found.t_ns >= range.from_ns) & (found.t_ns < range.to_ns)
    values = found.counts[inside].astype(np.float64) * found.scale
    columns = (Column("t_ns", "INTEGER", "ns"), *[Column(axis, "REAL", found.unit) for axis in found.axes])
    by_axis: list[list[float | None]] = values.T.tolist()
    if np.isnan(values).any():
        by_axis = [[None if value != value else value for value in axis] for axis in by_axis]
    return Page(names[key], columns, list(zip(found.t_ns[inside].tolist(), *by_axis, strict=True)))


def _newest(file: StoreFile, range: Range, to_id: int) -> dict[str, tuple[int, int]] | None:
    """Of each sensor, the chunk with which its newest `last` samples begin, and how many of its samples come before."""
    if range.last is None:
        return None
    if range[:2] != ALL[:2]:
        raise RigbusError("samples: the newest N of a time are not to be had: give a time, or N alone")
    first: dict[str, tuple[int, int]] = {}
    have: dict[str, int] = {}
    at = to_id + 1
    while rows := file.all(f"SELECT id, sensor, n FROM {CHUNKS} WHERE id < ? ORDER BY id DESC LIMIT 1000", [at]):
        at = rows[-1][0]
        for rowid, sensor, n in rows:
            if (before := have.get(sensor, 0)) < range.last:
                have[sensor] = before + n
                first[sensor] = (rowid, max(0, before + n - range.last))
        if all(n >= range.last for n in have.values()):
            break
    return first
