"""Times and numbers in questions: what is none of these is a ValueError of one line."""

import math
import re
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any

Time = float | Decimal | str  # epoch seconds, as a number or as text, or ISO 8601
TimeRange = tuple[Time | None, Time | None]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_NS = 2**63 - 1
_DATE = re.compile(r"(19|20)\d{6}", re.ASCII)  # eight digits that look like one


def time_ns(value: Time, zone: tzinfo | None = UTC) -> int:
    """Wall ns, exact for text and Decimal with nine decimals. zone: of ISO text that names none; None: local time."""
    if isinstance(value, str) and _DATE.fullmatch(value.strip()):
        raise ValueError(
            f"{value}: a date is written {value[:4]}-{value[4:6]}-{value[6:8]}; as epoch seconds it is in 1970"
        )
    number = _number(value)
    ns = _iso_ns(value, zone) if number is None else round(number * 10**9)
    if abs(ns) > MAX_NS:
        raise ValueError(f"{value}: beyond the calendar")
    return ns


def time_s(value: Time) -> float:
    """Wall seconds as the column ts has them: a float stays the one it is."""
    ns = time_ns(value)
    return ns / 1e9 if isinstance(value, str) else float(value)


def _number(value: Any) -> Decimal | None:
    try:
        number = None if isinstance(value, bool) else Decimal(value)
    except (InvalidOperation, ValueError, TypeError):
        return None
    if number is None or not number.is_finite():
        return None
    if number.adjusted() > 12:  # before it is written out
        raise ValueError(f"{value}: beyond the calendar")
    return number


def _iso_ns(value: Any, zone: tzinfo | None) -> int:
    try:
        moment = datetime.fromisoformat(value)
        since = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC) - _EPOCH
    except (ValueError, OverflowError, TypeError):
        raise ValueError(f"{value}: neither epoch seconds nor ISO 8601") from None
    return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000


def span_ns(time_range: TimeRange | None) -> tuple[int | None, int | None]:
    """The first and the last ns of a range; None: open on that side."""
    start, end = _ends(time_range)
    return None if start is None else time_ns(start), None if end is None else time_ns(end)


def span_s(time_range: TimeRange | None) -> tuple[float | None, float | None]:
    """As span_ns, in seconds."""
    start, end = _ends(time_range)
    return None if start is None else time_s(start), None if end is None else time_s(end)


def _ends(time_range: TimeRange | None) -> TimeRange:
    if time_range is None:
        return None, None
    if isinstance(time_range, str) or len(time_range) != 2:
        raise ValueError(f"time_range {time_range!r}: not (from, to)")
    start, end = time_range
    if start is not None and end is not None and time_ns(start) > time_ns(end):
        raise ValueError(f"time_range: from {start} is after to {end}")
    return start, end


def checked_limit(limit: int | None) -> int:
    """As SQLite's LIMIT takes it; None: all."""
    if limit is None:
        return -1
    return min(_whole("limit", limit, 0), MAX_NS)


def checked_count(name: str, value: int) -> int:
    """A whole number over 0."""
    return min(_whole(name, value, 1), MAX_NS)


def checked_joint(joint: int) -> int:
    if not 0 <= _whole("joint", joint, None) <= 6:
        raise ValueError(f"joint {joint}: there are 0 to 5, and 6, the gripper")
    return int(joint)


def checked_seconds(name: str, value: float, *, positive: bool = False) -> float:
    """A finite number; positive: over 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} {value!r}: not a number of seconds")
    if positive and value <= 0:
        raise ValueError(f"{name} {value}: not over 0")
    return float(value)


def _whole(name: str, value: Any, least: int | None) -> int:
    try:
        if isinstance(value, bool) or int(value) != value:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} {value!r}: not a whole number") from None
    if least is not None and value < least:
        raise ValueError(f"{name} {value}: at least {least}")
    return int(value)
