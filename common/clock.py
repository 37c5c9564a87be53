"""The clocks of a rig: CLOCK_BOOTTIME for capture stamps (counts suspend), wall time derived, boot id for identity."""

import os
import time
from functools import cache

_TIME_ERROR = 5  # what adjtimex(2) returns for a clock that is not synchronised
_TIMESYNCD = "/run/systemd/timesync/synchronized"


def boot_ns() -> int:
    """Now on CLOCK_BOOTTIME, ns: the `mono` of every frame."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def wall_ns() -> int:
    """Now on CLOCK_REALTIME, ns since 1970."""
    return time.time_ns()


def wall_minus_boot_ns() -> int:
    """Offset that turns a BOOTTIME stamp into wall time; it changes only when the wall clock is set or slewed."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_minus_monotonic_ns() -> int:
    """Offset that turns a kernel MONOTONIC stamp into BOOTTIME (differs by the time spent suspended).

    Sampled as the middle of two readings, so that the error is under half a system call.
    """
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    offset = boot - (before + after) // 2
    return 0 if abs(offset) < 50_000 else offset  # never suspended: the two clocks are one, do not add jitter


class WallOffset:
    """wall − boot without the jitter of reading two clocks: it moves only when they have moved apart by 50 µs.

    So the stamps of evenly spaced samples are evenly spaced, and a stored second of them needs one step, not 800.
    """

    def __init__(self) -> None:
        self._ns = wall_minus_boot_ns()

    def ns(self) -> int:
        now = wall_minus_boot_ns()
        if abs(now - self._ns) > 50_000:
            self._ns = now
        return self._ns


@cache
def boot_id() -> str:
    """32 hex digits, new at each boot of the kernel."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        return f.read().strip().replace("-", "")


def is_synchronised() -> bool:
    """Whether the kernel calls its clock synchronised (NTP, PTP or GPS set it), or systemd-timesyncd has set it."""
    import ctypes  # here: few ask

    timex = ctypes.create_string_buffer(512)  # struct timex, zeroed: modes 0 only reads
    return ctypes.CDLL(None).adjtimex(timex) not in (-1, _TIME_ERROR) or os.path.exists(_TIMESYNCD)
