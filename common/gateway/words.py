"""Numbers and times as people read them: docs of the page, "Numbers"."""

from datetime import UTC, datetime, timedelta


def count(n: int) -> str:
    return f"{n:,}"


def span(seconds: float) -> str:
    """Two units at most: `0.8 s`, `4 min 12 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for big, small, unit, under in ((60, 1, "min", "s"), (3600, 60, "h", "min"), (86_400, 3600, "d", "h")):
        if big == 86_400 or whole < {60: 3600, 3600: 86_400}[big]:
            rest = whole % big // small
            return f"{whole // big} {unit} {rest} {under}" if rest else f"{whole // big} {unit}"
    raise AssertionError


def time_of_day(t_ns: int, offset_s: int) -> str:
    """By the rig's clock, 24 h."""
    return (datetime.fromtimestamp(t_ns // 10**9, UTC) + timedelta(seconds=offset_s)).strftime("%H:%M:%S")
