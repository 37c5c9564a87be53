"""The thermostat face's answers: the newest reading, and rows of the wide CSV as JSON."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from common.gateway import tables
from common.store.rows import THERMOSTAT_FIELDS
from common.telemetry.times import MAX_NS, time_ns

MIN_EVERY_S, MAX_EVERY_S = 0.001, 366 * 86_400.0
_NO_NUMBERS = (b"", b"nan", b"inf", b"-inf")


def ns_of(value: str) -> int:
    """Wall ns of epoch ms, as the old program's clients and Grafana send, or of ISO 8601. Raises ValueError."""
    try:
        ms = Decimal(value)
    except InvalidOperation:
        try:
            return time_ns(value)
        except ValueError:
            raise ValueError(f"{value[:40]!r}: neither epoch ms nor ISO 8601") from None
    if not ms.is_finite() or ms.adjusted() > 15 or abs(ms) * 10**6 > MAX_NS:
        raise ValueError(f"{value[:40]}: beyond the calendar")
    return round(ms * 10**6)


def time_of(t_ns: int) -> str:
    """ISO 8601 in UTC, with microseconds and +00:00, as the old program wrote it."""
    s, ns = divmod(t_ns, 10**9)
    return datetime.fromtimestamp(s, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ns // 1000:06d}+00:00"


def report(t_ns: int, readings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A reading as the device gives it, a map a channel, with `time` and `ts` (epoch ms) as the old program added them.

    The device's own `time` is `device_time_s`, as in the store. What is no number is null.
    """
    stamp = {"time": time_of(t_ns), "ts": t_ns // 10**6}
    return [
        {**stamp, **{"device_time_s" if key == "time" else key: finite(value) for key, value in reading.items()}}
        for reading in readings
    ]


def stored_report(path: Path, device: str) -> list[dict[str, Any]]:
    """`report` of the newest poll in the store; [] where there is none. Raises StoreError."""
    columns = ", ".join(("channel", *THERMOSTAT_FIELDS, "device_time_s AS time"))
    newest = "SELECT t_ns, stream_id, frame_seq FROM thermostat_readings WHERE device = ? ORDER BY t_ns DESC LIMIT 1"
    found = tables.ask(path, newest, [device])
    if not found:
        return []
    sql = f"SELECT {columns} FROM thermostat_readings WHERE t_ns = ? AND stream_id = ? AND frame_seq = ? ORDER BY id"
    rows = tables.ask(path, sql, list(found[0].values()))
    return report(found[0]["t_ns"], rows)


def span_ns(path: Path, device: str) -> tuple[int, int] | None:
    """First and last time of a device in the store; None: it has nothing. Raises StoreError."""
    ends = (
        f"SELECT t_ns FROM thermostat_readings WHERE device = ? ORDER BY t_ns {way} LIMIT 1" for way in ("", "DESC")
    )
    found = [row["t_ns"] for sql in ends for row in tables.ask(path, sql, [device])]
    return (found[0], found[1]) if found else None


def finite(value: Any) -> Any:
    """JSON has neither NaN nor infinity: null, also deep within."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value.hex() if isinstance(value, bytes) else value


def as_json(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of a CSV of numbers behind a text, header first, as one JSON list of maps; no row is held."""
    names: list[bytes] = []
    rest, opened = b"", False
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if lines and not names:
            names = [json.dumps(name.decode()).encode() for name in lines.pop(0).split(b",")]
        if lines:
            yield (b",\n" if opened else b"[") + b",\n".join([_object(names, line) for line in lines])
            opened = True
    yield b"]" if opened else b"[]"


def _object(names: list[bytes], line: bytes) -> bytes:
    time, *cells = line.split(b",")
    shown = [b'"%s"' % time, *(b"null" if cell in _NO_NUMBERS else cell for cell in cells)]
    return b"{" + b",".join([b"%s:%s" % pair for pair in zip(names, shown, strict=True)]) + b"}"
