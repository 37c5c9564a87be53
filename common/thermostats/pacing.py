"""When to poll, and when to try again: absolute deadlines, and a back-off with jitter. No I/O."""

import random

LONGEST_S = 10.0
_FIRST_S = 0.5


class Grid:
    """Deadlines period_s apart on CLOCK_MONOTONIC (ns), the first at once. What has passed is never made up for."""

    def __init__(self, period_s: float, now_ns: int) -> None:
        self._period_ns = round(period_s * 1e9)
        self.due_ns = now_ns
        self.total = 0  # deadlines that have passed

    def passed(self, now_ns: int) -> int:
        """Moves on to the first deadline after now; returns how many were passed over."""
        n = max(0, (now_ns - self.due_ns) // self._period_ns + 1)
        self.due_ns += n * self._period_ns
        self.total += n
        return n


class Backoff:
    """At once after the first failure, then 0.5 s, 1 s, 2 s … 10 s, each times 0.5 to 1.5, so that many never meet."""

    def __init__(self) -> None:
        self._failures = 0
        self.ready_ns = 0  # CLOCK_MONOTONIC

    def failed(self, now_ns: int) -> None:
        delay_s = 0.0 if not self._failures else min(LONGEST_S, _FIRST_S * 2 ** min(self._failures - 1, 10))
        self._failures += 1
        self.ready_ns = now_ns + round(delay_s * random.uniform(0.5, 1.5) * 1e9)

    def succeeded(self) -> None:
        self._failures = self.ready_ns = 0
