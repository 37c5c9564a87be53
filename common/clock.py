"""The clocks of a rig: CLOCK_BOOTTIME for capture stamps (counts suspend), wall time derived, boot id for identity."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Protocol

RELEASED_S = 1_793_491_200  # 2026-11-01: a clock that shows an earlier time has not been set
_TIME_ERROR = 5  # what adjtimex(2) returns for a clock that is not synchronised
_TIMESYNCD = "run/systemd/timesync/synchronized"


class Clock(Protocol):
    """The clocks of a machine, as this module has them: what judges stamps takes one, so that it can be tried."""

    def wall_ns(self) -> int: ...
    def boot_ns(self) -> int: ...
    def boot_id(self) -> str: ...
    def is_sane(self) -> bool: ...


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


def kernel_synchronised() -> bool:
    """Whether the kernel calls its clock synchronised (NTP, PTP or GPS set it)."""
    import ctypes  # here: few ask

    timex = ctypes.create_string_buffer(512)  # struct timex, zeroed: modes 0 only reads
    return ctypes.CDLL(None).adjtimex(timex) not in (-1, _TIME_ERROR)


def is_synchronised(root: Path = Path("/"), kernel: Callable[[], bool] = kernel_synchronised) -> bool:
    """Whether the kernel calls its clock synchronised, or systemd-timesyncd has set it. root: where /run is."""
    return kernel() or (root / _TIMESYNCD).exists()


def is_sane(root: Path = Path("/"), kernel: Callable[[], bool] = kernel_synchronised) -> bool:
    """Whether the wall clock has been set: it is synchronised, or came from a hardware clock that goes right.

    Such a one is later than the release, and so is the wall clock: it may not have been read. root: where /run and
    /sys are.
    """
    if is_synchronised(root, kernel):
        return True
    return wall_ns() >= RELEASED_S * 10**9 and any(
        _seconds(path) >= RELEASED_S for path in (root / "sys/class/rtc").glob("rtc*/since_epoch")
    )


def _seconds(path: Path) -> int:
    """0 for a clock that cannot be read: its battery is empty, or it has never been set."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
