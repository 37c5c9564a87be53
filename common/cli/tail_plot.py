"""`rigbus tail --plot`: numbers as they pass, as a chart in a terminal."""

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from rich.live import Live
from rich.text import Text

from common import topics
from common.cli.context import wide_console
from common.cli.tail_values import Numbering, Numbers
from common.errors import RigbusError
from common.frames import AnyFrame
from common.store.series_columns import Columns, Reducer, plain

_MOST = 6  # series in one chart
# as plotext and as rich name the same ones
_COLOURS = ("blue+", "orange+", "green+", "magenta+", "cyan+", "red+")
_RICH = dict(zip(_COLOURS, ("blue", "yellow", "green", "magenta", "cyan", "red"), strict=True))
_GAP = 3  # periods without a value break the line
_LEAST_COLUMNS, _LEAST_ROWS = 30, 8
_LANE_ROWS = 6


class _Line:
    """The values of one series within the span."""

    def __init__(self, first: Numbers) -> None:
        self.unit, self.step = first.unit, first.step
        self.pieces: deque[Numbers] = deque()
        self.last = 0.0

    def add(self, numbers: Numbers) -> None:
        self.pieces.append(numbers)
        self.last = float(numbers.values[-1])

    def columns(self, from_ns: int, to_ns: int, columns: int) -> Columns:
        """Lowest and highest of each column; what is older goes, but for the value that reaches into the span."""
        while len(self.pieces) > (1 if self.step else 0) and self.pieces[1 if self.step else 0].t_ns[-1] < from_ns:
            self.pieces.popleft()
        reducer = Reducer(from_ns, to_ns, columns)
        for piece in self.pieces:
            reducer.add(plain(piece.t_ns, piece.values))
        return reducer.result()


_Drawn = tuple[_Line, str, Columns]  # with its colour


class Plot:
    """chosen: prefixes of topics, which show what matters most of them, or of series. span_s: how much time.

    RigbusError where plotext is missing.
    """

    refresh_s = 0.2

    def __init__(self, chosen: Sequence[str], imp_per_kwh: Mapping[str, float], span_s: float) -> None:
        self._figure, self._marker = _plotext()
        self._chosen, self._span_s = chosen, max(0.1, span_s)
        self._numbering = Numbering(imp_per_kwh)
        self._lines: dict[str, _Line] = {}
        self._more: set[str] = set()  # series that have no place
        self._console = wide_console()
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._live.start()

    @property
    def topics(self) -> list[str]:
        """What to subscribe to: whole kinds, as a series' name need not begin as its topic does."""
        found: list[str] = []
        for name in self._chosen:
            first = name.split("/")[0]
            heads = {"energy": ("pulse/",), "smoother": ("app/smoother/",), "camera": ("app/camera/",)}
            heads |= {"web": ("app/web_request/",), "arm": ("arm/",)}
            known = [row.prefix for row in topics.TOPICS.values() if row.prefix.startswith(f"{first}/")]
            found += heads.get(first, known) or [name]
        return sorted(set(found))

    def take(self, topic: str, frame: AnyFrame) -> None:
        for numbers in self._numbering.of(frame):
            if not len(numbers.values) or not any(_wanted(name, topic, numbers) for name in self._chosen):
                continue
            line = self._lines.get(numbers.series)
            if line is None:
                if len(self._lines) >= _MOST:
                    self._more.add(numbers.series)
                    continue
                line = self._lines[numbers.series] = _Line(numbers)
            line.add(numbers)

    def show(self) -> None:
        width, height = self._console.size
        to_ns = time.time_ns()
        from_ns = to_ns - round(self._span_s * 1e9)
        head = self._head(width)
        rows = height - len(head.split("\n", allow_blank=True))
        if width < _LEAST_COLUMNS or rows < _LEAST_ROWS:
            self._live.update(Text("the terminal is too small for a chart"), refresh=True)
            return
        chart = self._chart(width, rows, from_ns, to_ns)
        self._live.update(Text("\n").join([head, Text.from_ansi(chart, no_wrap=True)]), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def _head(self, width: int) -> Text:
        """What is drawn, in which colour, and its newest value: a line, or more where that is too long."""
        if not self._lines:
            return Text(f"waiting for {', '.join(self._chosen)} · Ctrl-C ends", style="dim", overflow="ellipsis")
        parts = []
        for (name, line), colour in zip(sorted(self._lines.items()), _COLOURS, strict=False):
            unit = f" {line.unit}" if line.unit else ""
            parts.append(
                Text.assemble(("━━ ", f"bright_{_RICH[colour]}"), name, " ", (f"{_short(line.last)}{unit}", "bold"))
            )
        if self._more:
            parts.append(Text(f"and {len(self._more)} more: name them", style="dim"))
        parts.append(Text(f"{_duration(self._span_s)} · Ctrl-C ends", style="dim"))
        head, at = Text(), 0
        for part in parts:
            if at and at + 3 + part.cell_len > width:
                head, at = head.append("\n"), 0
            head = head.append("   " if at else "").append_text(part)
            at += (3 if at else 0) + part.cell_len
        return head

    def _chart(self, width: int, height: int, from_ns: int, to_ns: int) -> str:
        """Lanes of one scale each, above each other, and the time below."""
        drawn: list[_Drawn] = [
            (line, colour, line.columns(from_ns, to_ns, 2 * width))
            for (_, line), colour in zip(sorted(self._lines.items()), _COLOURS, strict=False)
        ]
        lanes = _lanes(drawn, height)
        heights = [height // len(lanes)] * len(lanes)
        heights[-1] += height % len(lanes)
        scales = [_scale(*_ends(lane), max(2, rows // 5)) for lane, rows in zip(lanes, heights, strict=True)]
        labels = [_labels(ticks) for _, _, ticks in scales]
        widest = max(len(label) for of_lane in labels for label in of_lane)
        parts = []
        for lane, rows, (low, high, ticks), told in zip(lanes, heights, scales, labels, strict=True):
            figure = self._empty(width, rows, last=lane is lanes[-1])
            figure.ruler("y").lim(low, high)
            figure.ruler("y").ticks(ticks, [label.rjust(widest) for label in told])
            for line, colour, columns in lane:
                for x, y in _strokes(columns, line.step, from_ns, to_ns):
                    figure.draw(figure.signal(x, y, marker=self._marker("braille", colour)).lines(True))
            parts.append(str(figure.build()).rstrip("\n"))
        return "\n".join(parts)

    def _empty(self, width: int, height: int, *, last: bool) -> Any:
        """A figure with the axis of time; only the last lane's has times at it."""
        figure = self._figure
        figure.clear()
        figure.theme("colorless")  # a frame in the terminal's own colours, light or dark
        figure.plot_size(width, height)
        figure.axes(False, axis="x", side="upper")
        figure.axes(False, axis="y", side="right")
        figure.ruler("x").lim(-self._span_s, 0)
        marks = [-self._span_s * part / 4 for part in (4, 3, 2, 1, 0)]
        if last:
            figure.ruler("x").ticks(marks, [*(f"{mark:g} s" for mark in marks[:-1]), "now"])
        else:
            figure.axes(False, axis="x", side="lower")
            figure.ruler("x").ticks([], [])
        return figure


def _wanted(chosen: str, topic: str, numbers: Numbers) -> bool:
    """Of a topic what matters most; of a series' name, or what it begins with, all."""
    if chosen.endswith("/") and topic.startswith(chosen):
        return numbers.main
    return numbers.series.startswith(chosen)


def _strokes(columns: Columns, step: bool, from_ns: int, to_ns: int) -> Iterator[tuple[list[float], list[float]]]:
    """x (s before now) and y of each unbroken part: lowest and highest of a column, one after the other."""
    x = ((columns.t_ns - to_ns) / 1e9).tolist()
    low, high = columns.min.tolist(), columns.max.tolist()
    if step:
        corners = [(t, y) for (a, y), (b, _) in pairwise([*zip(x, high, strict=True), (0.0, 0.0)]) for t in (a, b)]
        if corners:
            left = (from_ns - to_ns) / 1e9
            yield [max(left, t) for t, _ in corners], [y for _, y in corners]
        return
    if not x:
        return
    longest = _GAP * float(np.median(np.diff(x))) if len(x) > 2 else math.inf
    ends = [i for i in range(1, len(x)) if x[i] - x[i - 1] > longest]
    for begin, end in pairwise([0, *ends, len(x)]):
        points = [(x[i], y) for i in range(begin, end) for y in ((low[i], high[i]) if low[i] < high[i] else (low[i],))]
        yield [t for t, _ in points], [y for _, y in points]


def _lanes(drawn: Sequence[_Drawn], height: int) -> list[list[_Drawn]]:
    """One for each series, but for steps of one unit; where there is no room for that, one for each unit."""
    by_unit: dict[str, list[_Drawn]] = {}
    for one in drawn:
        by_unit.setdefault(one[0].unit, []).append(one)
    units = list(by_unit.values())
    each = [lane for of in units for lane in ([of] if all(line.step for line, _, _ in of) else [[one] for one in of])]
    for lanes in (each, units):
        if lanes and height >= _LANE_ROWS * len(lanes):
            return lanes
    return [list(drawn)]


def _ends(lane: Sequence[_Drawn]) -> tuple[float, float]:
    """The lowest and the highest value; power is seen against zero."""
    low = min((float(c.min.min()) for _, _, c in lane if len(c.n)), default=0.0)
    high = max((float(c.max.max()) for _, _, c in lane if len(c.n)), default=1.0)
    return (min(low, 0.0), max(high, 0.0)) if any(line.unit == "W" for line, _, _ in lane) else (low, high)


def _scale(low: float, high: float, most: int) -> tuple[float, float, list[float]]:
    """Limits and ticks in steps of 1, 2 or 5 around the data."""
    if not high > low:
        spare = abs(low) * 0.01 or 1.0
        low, high = low - spare, high + spare
    raw = (high - low) / most
    if not 0 < raw < math.inf:
        return low, high, [low, high]
    power = 10.0 ** math.floor(math.log10(raw))
    size = next((factor * power for factor in (1, 2, 5, 10) if factor * power >= raw), 10 * power)
    first, last = math.floor(low / size), math.ceil(high / size)
    if last - first > 100:  # finer than floats are
        return low, high, [low, high]
    return first * size, last * size, [round(i * size, 12) for i in range(first, last + 1)]


def _labels(ticks: Sequence[float]) -> list[str]:
    """With as many decimals as tell them apart."""
    step = ticks[1] - ticks[0]
    if not 1e-6 < step < 1e12:
        return [f"{tick:.9g}" for tick in ticks]
    return [f"{tick:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}" for tick in ticks]


def _short(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.5g}"


def _duration(s: float) -> str:
    return f"last {s:g} s" if s < 120 else f"last {s / 60:g} min"


def _plotext() -> tuple[Any, Any]:
    try:
        import plotext
    except ImportError:
        raise RigbusError("--plot needs plotext: .venv/bin/pip install -e '.[plot]'") from None
    return plotext.figure, plotext.marker
