"""What a stepper driver is: the three lines of one motor, counted steps, and nothing of doses or bounds."""

import threading
import time
from collections.abc import Callable
from typing import Protocol, Self

from common.errors import RigbusError

SETTLE_S = 0.005  # from EN to the first step: the chip's charge pump and the coils' current
STALL_S = 0.15  # a process that was away for so long never goes on with the run that it was in
_LOOK_S = 0.01  # a slow step waits in pieces of this: release() is seen soon


class Stalled(RigbusError):
    """The stepping was kept from running for longer than STALL_S."""


class Count(Protocol):
    """One number at index 0, for instance a cell of a memory-mapped file, so that it outlives the process."""

    def __getitem__(self, index: int, /) -> int: ...

    def __setitem__(self, index: int, value: int, /) -> None: ...


class Stepper(Protocol):
    """One motor. Made with EN inactive and STEP low. One thread enables and trains; release() may come from any.

    max_hz: the fastest train that this driver keeps exact; above it a command is refused.
    """

    max_hz: float

    def enable(self, forward: bool, count: Count) -> None:
        """DIR, then EN active. From now on count[0] is how many steps were sent. Raises DeviceMissing."""
        ...

    def train(self, steps: int, hz: float) -> None:
        """Sends that many steps and returns when they are sent, or at once after release().

        A driver with a queue of its own returns while at most 50 ms of them are left. Whoever stops calling stops the
        motor. Raises DeviceMissing; Stalled where the process was away for STALL_S.
        """
        ...

    def release(self) -> None:
        """EN inactive, now; at any time, again and again; never waits longer than 50 ms. Raises DeviceMissing."""
        ...

    def finish(self) -> None:
        """After the last train: waits until what is in the driver's own queue is sent, so that the count is exact."""
        ...

    def close(self) -> None:
        """EN inactive; gives the lines back."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Pacer:
    """Steps by the clock for drivers that set lines themselves.

    Never faster than asked: what is late moves the rest back, so that a delay does not end in a burst.
    """

    def __init__(self, emit: Callable[[int, int, int], None], set_en: Callable[[bool], None], tick_s: float = 0.0):
        """emit(n, first_ns, period_ns) makes n steps. tick_s: steps that are due are made together, so often."""
        self._emit, self._set_en, self._tick_ns = emit, set_en, round(tick_s * 1e9)
        # a step that is under way and EN never cross: no step is counted that the motor did not see
        self._lock = threading.Lock()
        self._count: Count = [0]
        self._released = True
        self._next_ns = self._seen_ns = 0

    def enable(self, count: Count) -> None:
        self._count, self._released = count, False
        self._set_en(True)
        self._seen_ns = time.monotonic_ns()
        self._next_ns = self._seen_ns

    def train(self, steps: int, hz: float) -> None:
        period_ns = round(1e9 / hz)
        slack_ns = 4 * self._tick_ns if self._tick_ns else period_ns // 2
        while steps > 0:
            now = self._wait(self._next_ns)
            if now is None:
                return
            # later than the slack: move the schedule, never make up for it
            first = max(self._next_ns, now - slack_ns)
            n = min(steps, 1 + (now - first) // period_ns) if self._tick_ns else 1
            with self._lock:
                if self._released:
                    return
                self._emit(n, first, period_ns)
                self._count[0] += n
            self._next_ns = first + n * period_ns
            if not self._tick_ns:
                # with real-time priority it must leave room for others, also where a step costs a period
                self._next_ns = max(self._next_ns, time.monotonic_ns() + period_ns // 4)
            steps -= n

    def _wait(self, until_ns: int) -> int | None:
        """Now, when it is time for the next step; None after release()."""
        until_ns = max(until_ns, self._seen_ns + self._tick_ns)
        while not self._released:
            now = time.monotonic_ns()
            if now - self._seen_ns > STALL_S * 1e9:
                raise Stalled(f"the stepping stood still for {(now - self._seen_ns) / 1e9:.2f} s")
            self._seen_ns = now
            if now >= until_ns:
                return now
            time.sleep(min(_LOOK_S, (until_ns - now) / 1e9))
        return None

    def release(self) -> None:
        self._released = True
        # a step that hangs in the kernel must not keep EN from being released
        held = self._lock.acquire(timeout=0.05)
        try:
            self._set_en(False)
        finally:
            if held:
                self._lock.release()
