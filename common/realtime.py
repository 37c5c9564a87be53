"""Timing: affinity, real-time priority, locked memory, and a paced loop. All of it falls back with one log line."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence

from common.frames import Lateness
from common.log import Log

_GIVEN = os.sched_getaffinity(0)  # the CPUs that the process may use by its start
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def pin(cpu: str | int | Sequence[int], src: str, log: Log) -> list[int]:
    """Applies the config's `cpu` to this process (call before threads start); returns the CPUs, [] where unpinned.

    "auto" pins nothing below 4 cores; from there on `highspeed` gets the last core and the others stay off it.
    """
    wanted = _wanted(cpu, src)
    if not wanted:
        return []
    import psutil  # here: a daemon that is not pinned does without it

    try:
        psutil.Process().cpu_affinity(wanted)
    except (ValueError, OSError, psutil.Error):
        log.warning("not pinned: no such CPU here", cpu=wanted, cpus=os.cpu_count())
        return []
    return wanted


def pin_again(cpu: str | int | Sequence[int], src: str, log: Log) -> None:
    """The same for a process that runs, with all its threads; where it is not to be pinned it gets back what it had."""
    wanted = _wanted(cpu, src) or sorted(_GIVEN)
    try:
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.sched_setaffinity(int(thread), wanted)
    except (ValueError, OSError):
        log.warning("not pinned: no such CPU here", cpu=wanted, cpus=os.cpu_count())


def _wanted(cpu: str | int | Sequence[int], src: str) -> list[int]:
    """[]: unpinned."""
    have = os.cpu_count() or 1
    if cpu == "none" or (cpu == "auto" and have < 4):
        return []
    if cpu == "auto":
        return [have - 1] if src == "highspeed" else list(range(have - 1))
    assert not isinstance(cpu, str)
    return [cpu] if isinstance(cpu, int) else list(cpu)


def set_fifo(priority: int, log: Log) -> bool:
    """SCHED_FIFO for the calling thread only. 0: leave it as it is."""
    if priority <= 0:
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except (PermissionError, OSError) as e:
        log.warning("no real-time priority, the loop may be late", reason=e.strerror)
        return False
    return True


def lock_memory(log: Log) -> bool:
    """Keeps pages in RAM once touched (MCL_ONFAULT: untouched ones cost nothing)."""
    import ctypes
    import resource

    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    # under a limit MCL_FUTURE would let later allocations fail
    if limit != resource.RLIM_INFINITY and os.geteuid() != 0:
        log.warning("memory not locked: LimitMEMLOCK is not infinity", limit=limit)
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        log.warning("memory not locked", reason=os.strerror(ctypes.get_errno()))
        return False
    return True


class Pace:
    """Absolute monotonic deadlines: no drift, missed ticks are skipped and counted, never made up in a burst."""

    def __init__(self, wait_until_near: Callable[[float], bool]) -> None:
        """wait_until_near(seconds) sleeps interruptibly and returns True when the daemon is to stop."""
        self._wait = wait_until_near
        self.missed = 0
        self._late_ns: list[int] = []
        self.last = (Lateness(0.0, 0.0, 0.0, 0.0), 0)  # what take() gave last

    def ticks(self, period_s: float) -> Iterator[int]:
        """Yields each deadline, CLOCK_MONOTONIC ns, when it is reached; ends when the daemon is to stop."""
        period = round(period_s * 1e9)
        deadline = time.monotonic_ns() + period
        while True:
            left = (deadline - time.monotonic_ns()) / 1e9
            # time.sleep (clock_nanosleep) is exact but does not end on a signal: only for the last stretch
            if left > 0.2 and self._wait(left - 0.1):
                return
            left = (deadline - time.monotonic_ns()) / 1e9
            if left > 0:
                time.sleep(left)
            if self._wait(0):
                return
            late = time.monotonic_ns() - deadline
            if len(self._late_ns) < 8192:
                self._late_ns.append(late)
            yield deadline
            deadline += period
            behind = time.monotonic_ns() - deadline
            if behind >= period:
                skipped = behind // period
                self.missed += skipped
                deadline += skipped * period

    def take(self) -> tuple[Lateness, int]:
        """Lateness since the last call, and the ticks missed since the start."""
        late, self._late_ns = self._late_ns, []
        late.sort()
        n = len(late) - 1
        p50, p99, p999, worst = (late[round(n * q)] / 1e3 if late else 0.0 for q in (0.5, 0.99, 0.999, 1.0))
        self.last = Lateness(p50, p99, p999, worst), self.missed
        return self.last
