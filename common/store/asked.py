"""What was asked, from the text of options: a time range, a limit, numbers."""

import math
import re
from collections.abc import Collection, Mapping
from datetime import tzinfo
from decimal import Decimal
from typing import NamedTuple, Self

from common.errors import UsageError
from common.store.results import ALL, Range
from common.telemetry.times import TimeRange, time_ns

NEWEST = 100  # rows where no range and no limit is given
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}


class WrongOption(UsageError):
    """Its message begins with the option's name."""


class Asked(NamedTuple):
    """options: as given. range: of their times, its `last` the limit."""

    options: Mapping[str, str]
    range: Range
    imp_per_kwh: Mapping[str, float]

    @classmethod
    def parse(
        cls,
        options: Mapping[str, str],
        known: Collection[str],
        imp_per_kwh: Mapping[str, float],
        zone: tzinfo | None,
        now_ns: int,
    ) -> Self:
        """known: the options that the verb takes. Raises WrongOption."""
        asked = range_of(options, zone, now_ns)
        if "limit" not in known and asked.last is not None:
            if "last" in options and options["last"].isdecimal():
                raise WrongOption(f"last {options['last']}: here it is a time: 30s, 5m, 2h, 1d")
            asked = asked._replace(last=None)
        return cls(options, asked, imp_per_kwh)

    @property
    def limit(self) -> int | None:
        return self.range.last

    @property
    def span(self) -> TimeRange:
        """For tables in ns: both ends included."""
        start, end = self.range.from_ns, self.range.to_ns - 1
        return (
            None if start == ALL.from_ns else Decimal(start).scaleb(-9),
            None if self.range.to_ns == ALL.to_ns else Decimal(end).scaleb(-9),
        )

    @property
    def span_s(self) -> TimeRange:
        """For tables in seconds: both ends included."""
        start, end = self.range.from_ns, self.range.to_ns
        return (
            None if start == ALL.from_ns else start / 1e9,
            None if end == ALL.to_ns else math.nextafter(end / 1e9, -math.inf),
        )

    def text(self, name: str) -> str | None:
        return self.options.get(name)

    def whole(self, name: str) -> int | None:
        """None: not given."""
        text = self.options.get(name)
        if text is None:
            return None
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise WrongOption(f"{name} {text}: not a whole number")
        return int(text)

    def number(self, name: str, *, positive: bool = True) -> float | None:
        """None: not given."""
        text = self.options.get(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (positive and value <= 0):
            raise WrongOption(f"{name} {text}: not a number{' over 0' if positive else ''}")
        return value


def range_of(options: Mapping[str, str], zone: tzinfo | None, now_ns: int) -> Range:
    """last, from, to and limit. WrongOption for what is none of these, or contradicts."""
    limit = _count("limit", options["limit"]) if "limit" in options else None
    start, end = (_time(name, options[name], zone) if name in options else None for name in ("from", "to"))
    last = options.get("last")
    if last is not None:
        if start is not None:
            raise WrongOption("last and from: give one of them")
        if last.isdecimal():
            newest = _count("last", last)
            limit = newest if limit is None else min(limit, newest)
        else:
            start = (now_ns if end is None else end) - _duration("last", last)
    elif start is None and end is None and limit is None:
        limit = NEWEST
    if start is not None and end is not None and start > end:
        raise WrongOption(f"from {options.get('from', last)}: after to {options['to']}")
    low, high = ALL.from_ns, ALL.to_ns
    return Range(
        low if start is None else max(low, min(start, high)), high if end is None else max(low, min(end, high)), limit
    )


def _count(option: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise WrongOption(f"{option} {text}: not a number of rows")
    return min(int(text[:30]), ALL.to_ns)


def _duration(option: str, text: str) -> int:
    """ns of `30s`, `1.5m`, `2h`, `1d`, `200ms`."""
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ms|s|m|h|d)", text)
    if not found:
        raise WrongOption(f"{option} {text}: neither a duration (30s, 5m, 2h, 1d) nor a number of rows")
    return int(Decimal(found[1]) * _SECONDS[found[2]] * 10**9)


def _time(option: str, text: str, zone: tzinfo | None) -> int:
    try:
        return time_ns(text, zone)
    except ValueError as e:
        raise WrongOption(f"{option} {e}") from None
