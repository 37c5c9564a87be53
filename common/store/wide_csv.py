"""Thermostat readings as the wide CSV of the old program: `time,ts,temperature_ch0,temperature_ch1,i_tec_ch0,…`.

A row a poll, an empty cell where nothing is known; numbers are the shortest text that gives the same float again.
Measured (x86-64, two channels, a row of 450 bytes): 9 µs a row, of which 6 are SQLite's reading and the making of its
floats; cells by msgspec, as repr alone would take 20.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from common.store.query import TelemetryQuery
from common.store.readonly import StoreFile
from common.store.rows import THERMOSTAT_FIELDS as FIELDS

_FIRST_NS, _LAST_NS = -(2**63), 2**63 - 1
_PAGE = 500  # rows of the table read at once, 0.1 MB of CSV; 4000 fall out of the processor's cache: 1.4 times as long
_ENDS = 1000  # rows at both ends of the range that tell how many channels there are
_LEAST, _MOST = 2, 16  # channels
_S = 10**9
_MINUTE_NS = 60 * _S
_SECONDS = [f"{s:02d}." for s in range(60)]
_COLUMNS = ", ".join(FIELDS)
_encode = msgspec.json.Encoder().encode
Cells = tuple[Any, ...]


def wide_rows(
    query: TelemetryQuery,
    device: str,
    from_ns: int | None = None,
    to_ns: int | None = None,
    every_s: float | None = None,
) -> Iterator[bytes]:
    """The header and then the rows of from_ns ≤ t < to_ns (None: open), oldest first, in pieces of up to about 0.2 MB.

    every_s: a row for each so many seconds since 1970 that have readings: `time` is where they begin, each number the
    mean of theirs (of a flag: the part of the readings in which it was set). None or 0: every poll.
    Memory does not grow with the range, and no statement is held open between two pieces. Rows that come while it runs
    may be in it or not. A channel beyond those of the first and last thousand rows has no column. Raises StoreError.
    """
    file = query.file
    begin = _FIRST_NS if from_ns is None else from_ns
    end = _LAST_NS if to_ns is None else to_ns
    width = _width(file, device, begin, end)
    names = (f"{field}_ch{channel}" for field in FIELDS for channel in range(width))
    yield (",".join(("time", "ts", *names)) + "\n").encode()
    pages = (
        _means(file, device, begin, end, max(1, round(every_s * 1e9))) if every_s else _polls(file, device, begin, end)
    )
    for rows in pages:
        if rows:
            yield _block(rows, width)


def _width(file: StoreFile, device: str, begin: int, end: int) -> int:
    most = 0
    for way in ("", "DESC"):
        some = (
            "SELECT channel FROM thermostat_readings WHERE device = ? AND t_ns >= ? AND t_ns < ? "
            f"ORDER BY t_ns {way} LIMIT {_ENDS}"
        )
        most = max(most, file.all(f"SELECT max(channel) FROM ({some})", (device, begin, end))[0][0] or 0)
    return min(max(_LEAST, most + 1), _MOST)


def _polls(file: StoreFile, device: str, begin: int, end: int) -> Iterator[list[Any]]:
    """Pages of rows (id, poll, t_ns, channel, fields…); a poll never goes over a page's end."""
    sql = (
        f"SELECT id, (stream_id << 40) + frame_seq, t_ns, channel, {_COLUMNS} FROM thermostat_readings "
        "WHERE t_ns >= ?1 AND t_ns < ?2 AND (t_ns > ?1 OR id > ?3) AND device = ?4 ORDER BY t_ns, id LIMIT ?5"
    )
    at, after = begin, _FIRST_NS
    while True:
        rows = file.all(sql, (at, end, after, device, _PAGE))
        whole = len(rows)
        if whole == _PAGE:
            poll = rows[-1][1]
            while whole and rows[whole - 1][1] == poll:
                whole -= 1
            whole = whole or _PAGE  # a poll of so many rows is none
        yield rows[:whole]
        if len(rows) < _PAGE:
            return
        after, _, at = rows[whole - 1][:3]


def _means(file: StoreFile, device: str, begin: int, end: int, step: int) -> Iterator[list[Any]]:
    """As _polls, where a "poll" is a step; a page is the steps of some thousand rows."""
    means = ", ".join(f"avg({field})" for field in FIELDS)
    floor = "t_ns - ((t_ns % ?1) + ?1) % ?1"
    sql = (
        f"SELECT 0, {floor} AS at, {floor}, channel, {means} FROM thermostat_readings "
        "WHERE t_ns >= ?2 AND t_ns < ?3 AND device = ?4 GROUP BY at, channel ORDER BY at, channel"
    )
    ahead = (
        "SELECT min(t_ns), max(t_ns) FROM (SELECT t_ns FROM thermostat_readings "
        f"WHERE t_ns >= ? AND t_ns < ? AND device = ? ORDER BY t_ns LIMIT {_PAGE})"
    )
    at = begin
    while True:
        first, last = file.all(ahead, (at, end, device))[0]
        if first is None:
            return
        to = min(end, last - last % step + step, _LAST_NS)  # the whole of its last step
        yield file.all(sql, (step, max(at, first), to, device))
        at = to


def _block(rows: list[Any], width: int) -> bytes:
    """rows: id, poll, t_ns, channel, fields…, those of a poll beside each other."""
    _, polls, times, channels, *fields = zip(*rows, strict=True)
    if width == 2 and channels == (0, 1) * (len(rows) // 2) and polls[0::2] == polls[1::2]:
        times = times[0::2]
        cells = [half for field in fields for half in (field[0::2], field[1::2])]
    else:
        times, cells = _gathered(rows, width)
    stamps = [f"{_minute(t // _MINUTE_NS)}{_SECONDS[t // _S % 60]}{t // 1000 % 1_000_000:06d}+00:00" for t in times]
    lines: bytes = _encode(list(zip(stamps, [t // 1_000_000 for t in times], *cells, strict=True)))
    text = lines[2:-2].replace(b"],[", b"\n").replace(b"null", b"").replace(b'"', b"")
    return text + b"\n"


def _gathered(rows: list[Any], width: int) -> tuple[Cells, list[Cells]]:
    """Times and columns where polls have other channels than 0 and 1; a channel without a column is left out."""
    times, lines = [], []
    for _, of_poll in groupby(rows, key=itemgetter(1)):
        together = list(of_poll)
        line: list[Any] = [None] * (width * len(FIELDS))
        for _, _, _, channel, *values in together:
            if isinstance(channel, int) and 0 <= channel < width:
                line[channel::width] = values
        times.append(together[0][2])
        lines.append(line)
    return tuple(times), list(zip(*lines, strict=True))


@lru_cache(maxsize=64)
def _minute(number: int) -> str:
    return datetime.fromtimestamp(number * 60, UTC).strftime("%Y-%m-%dT%H:%M:")
