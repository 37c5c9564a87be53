"""`rigbus tail --rates`: how fast each topic is, and what it said last."""

import sys
import time
from collections import deque
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from common import topics
from common.cli import tail_text
from common.cli.context import print_json, wide_console
from common.frames import AnyFrame, ArmFeedback, Pulse, Samples, Thermostat

_OVER = 5  # refreshes that a rate is the mean of: topics of one frame a second would jump


class _Topic:
    def __init__(self) -> None:
        self.frames = self.values = 0  # since the last refresh
        self.past: deque[tuple[float, int, int]] = deque(maxlen=_OVER)  # (s, frames, values) of each refresh
        self.last = ""
        self.heard = 0.0  # monotonic s

    def turn(self, took_s: float) -> tuple[float, float]:
        """Frames and values a second."""
        self.past.append((took_s, self.frames, self.values))
        self.frames = self.values = 0
        over_s = sum(s for s, _, _ in self.past) or 1.0
        return sum(n for _, n, _ in self.past) / over_s, sum(n for _, _, n in self.past) / over_s


class Rates:
    """A table on a terminal, in its place; into a pipe one table a second, or one line of JSON."""

    refresh_s = 1.0

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._topics: dict[str, _Topic] = {}
        self._turned = time.monotonic()
        self._live = None
        if not as_json and sys.stdout.isatty():
            self._live = Live(console=wide_console(), auto_refresh=False, vertical_overflow="crop")
            self._live.start()

    def take(self, topic: str, frame: AnyFrame) -> None:
        of = self._topics.setdefault(topic, _Topic())
        of.frames += 1
        of.values += _values(frame)
        of.last, of.heard = tail_text.what(frame), time.monotonic()

    def show(self) -> None:
        now = time.monotonic()
        took_s, self._turned = now - self._turned, now
        if took_s < self.refresh_s / 2:
            return  # the very first: nothing is measured yet
        rates = {name: self._topics[name].turn(took_s) for name in sorted(self._topics)}
        if self._as_json:
            print_json(
                {"t": time.time_ns(), "topics": {name: self._row(name, *rate, now) for name, rate in rates.items()}}
            )
            sys.stdout.flush()
        elif self._live is not None:
            self._live.update(self._table(rates, now), refresh=True)
        else:
            wide_console().print(self._table(rates, now))
            sys.stdout.flush()

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _row(self, name: str, frames: float, values: float, now: float) -> dict[str, Any]:
        of = self._topics[name]
        age_s = round(now - of.heard, 3)
        return {"frames_per_s": round(frames, 3), "values_per_s": round(values, 3), "last": of.last, "age_s": age_s}

    def _table(self, rates: dict[str, tuple[float, float]], now: float) -> Group | Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("topic", no_wrap=True, min_width=max(map(len, rates), default=0))
        for name, width in (("frames/s", 8), ("values/s", 9), ("age", 6)):
            table.add_column(name, justify="right", no_wrap=True, min_width=width)
        table.add_column("last", ratio=1, no_wrap=True, overflow="ellipsis")
        for name, (frames, values) in rates.items():
            of = self._topics[name]
            late = now - of.heard > _late_s(name)
            told = Text(of.last, style="dim") if late else Text(of.last)
            table.add_row(name, f"{frames:,.1f}", f"{values:,.1f}", _age(now - of.heard), told)
        if not rates:
            return Group(table, Text("nothing heard yet", style="dim"))
        return table


def _values(frame: AnyFrame) -> int:
    if isinstance(frame, Samples):
        return frame.n * len(frame.axes)
    if isinstance(frame, Pulse):
        return len(frame.edges)
    if isinstance(frame, Thermostat):
        return sum(isinstance(v, int | float) for reading in frame.readings for v in reading.values())
    if isinstance(frame, ArmFeedback):
        return len(frame.angles) if isinstance(frame.angles, list) else 0
    return 1


def _late_s(topic: str) -> float:
    """Older is stale: three periods of the kind, 10 s where it has none."""
    for row in topics.TOPICS.values():
        if topic.startswith(row.prefix):
            return max(3 * row.period_s, 2.0) if row.period_s else 10.0
    return 10.0


def _age(s: float) -> str:
    return f"{s:.1f} s" if s < 60 else f"{s / 60:.0f} min" if s < 3600 else f"{s / 3600:.0f} h"
