"""Losses that come often, as few rows of the ledger: their sum is exact, and nothing is left out."""

from collections.abc import Callable
from dataclasses import dataclass

WINDOW_NS = 10_000_000_000


@dataclass
class _Window:
    """What has come since the last row of a cause; from_t, to_t: wall ns."""

    end_ns: int
    times: int = 0
    count: int = 0
    from_t: int = 0
    to_t: int = 0
    detail: str = ""


class LossSums:
    """The first loss of a cause is told at once, those of the ten seconds after it in one row. Times: CLOCK_MONOTONIC.

    A row's range is from the first to the last of them; what came between was not lost.
    """

    def __init__(self, tell: Callable[[int | None, str, int, int, str], None]) -> None:
        """tell(count, cause, from_t, to_t, detail)."""
        self._tell = tell
        self._windows: dict[tuple[str, bool], _Window] = {}

    def add(self, count: int | None, cause: str, from_t: int, to_t: int, detail: str, now_ns: int) -> None:
        """One loss; count None: unknown, summed for itself."""
        self.look(now_ns)
        key = cause, count is None
        window = self._windows.get(key)
        if window is None:
            self._windows[key] = _Window(now_ns + WINDOW_NS)
            self._tell(count, cause, from_t, to_t, detail)
            return
        if not window.times:
            window.from_t = window.to_t = from_t
        window.times += 1
        window.count += count or 0
        # the wall clock may have been set back meanwhile
        window.from_t, window.to_t, window.detail = min(window.from_t, from_t), max(window.to_t, to_t), detail

    def look(self, now_ns: int, *, last: bool = False) -> None:
        """Tells the sums whose time has come; last: all."""
        for (cause, unknown), window in list(self._windows.items()):
            if now_ns < window.end_ns and not last:
                continue
            del self._windows[cause, unknown]
            if not window.times:
                continue
            self._windows[cause, unknown] = _Window(now_ns + WINDOW_NS)
            detail = window.detail
            if window.times > 1:
                detail = f"{window.times} times, the last: {detail}" if detail else f"{window.times} times"
            self._tell(None if unknown else window.count, cause, window.from_t, window.to_t, detail)
