"""Pacing on a clock that the test moves, and the fall-backs of affinity, priority and locked memory."""

import io
import itertools
import os
import resource
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import realtime
from common.log import Log
from common.realtime import Pace

MS = 1_000_000
START = 5_000_000_123  # the clock's first reading: any number


class Clock:
    """Stands in for the `time` module: it moves only by sleeping, and by what a loop's body takes."""

    def __init__(self):
        self.now_ns = START
        self.waits = []
        self.stop_at_ns = None  # the instant at which the daemon is told to stop

    def monotonic_ns(self):
        return self.now_ns

    def sleep(self, seconds):
        self.now_ns += max(0, round(seconds * 1e9))

    def wait(self, seconds):
        """Runtime.wait: sleeps until the time is over or the stop comes, and says which."""
        self.waits.append(seconds)
        end = self.now_ns + round(seconds * 1e9)
        if self.stop_at_ns is not None and self.stop_at_ns <= end:
            self.now_ns = max(self.now_ns, self.stop_at_ns)
            return True
        self.now_ns = end
        return False


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(realtime, "time", made)
    return made


@pytest.fixture
def log():
    return Log("test", io.StringIO())


def test_deadlines_are_multiples_of_the_period(clock):
    ticks = Pace(clock.wait).ticks(0.00125)
    assert [next(ticks) for _ in range(5)] == [START + i * 1_250_000 for i in range(1, 6)]


def test_a_tick_comes_at_its_deadline_and_not_before(clock):
    for _, deadline in zip(range(20), Pace(clock.wait).ticks(0.5), strict=False):
        assert clock.now_ns == deadline
        clock.now_ns += 123 * MS  # the body


def test_the_time_that_the_body_takes_does_not_drift(clock):
    ticks = Pace(clock.wait).ticks(0.01)
    for i in range(1, 1001):
        assert next(ticks) == START + i * 10 * MS
        clock.now_ns += 7 * MS


def test_missed_ticks_are_skipped_and_counted_never_made_up(clock):
    pace = Pace(clock.wait)
    ticks = pace.ticks(0.01)
    assert next(ticks) == START + 10 * MS
    clock.now_ns += 35 * MS  # past the deadlines at 20, 30 and 40: the last of them is still worth a tick
    assert next(ticks) == START + 40 * MS
    assert pace.missed == 2
    assert next(ticks) == START + 50 * MS
    assert (clock.now_ns, pace.missed) == (START + 50 * MS, 2)


@given(st.lists(st.integers(0, 60 * MS), min_size=1, max_size=50))
def test_ticks_and_missed_ones_are_all_of_them(bodies):
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(realtime, "time", clock)
        pace = Pace(clock.wait)
        ticks = pace.ticks(0.01)
        seen = []
        for body in bodies:
            seen.append(next(ticks))
            assert 0 <= clock.now_ns - seen[-1] < 10 * MS
            clock.now_ns += body
        assert all((t - START) % (10 * MS) == 0 for t in seen)
        assert all(b > a for a, b in itertools.pairwise(seen))
        assert (seen[-1] - START) // (10 * MS) == len(seen) + pace.missed


def test_it_ends_at_the_stop_without_a_further_tick(clock):
    clock.stop_at_ns = START + 35 * MS
    assert list(Pace(clock.wait).ticks(0.01)) == [START + 10 * MS, START + 20 * MS, START + 30 * MS]


def test_it_ends_at_once_when_the_stop_comes_in_a_long_wait(clock):
    clock.stop_at_ns = START + 3_000 * MS
    assert list(Pace(clock.wait).ticks(60)) == []
    assert clock.now_ns == START + 3_000 * MS


def test_a_stop_before_the_first_tick_ends_it(clock):
    clock.stop_at_ns = START
    assert list(Pace(clock.wait).ticks(0.01)) == []


def test_lateness_is_that_of_the_ticks_since_the_last_look(clock):
    pace = Pace(clock.wait)
    ticks = pace.ticks(0.01)
    for late_us in (1000, 4000, 2000, 3000):
        clock.now_ns = next(ticks) + 10 * MS + late_us * 1000  # the next tick is late by that
    next(ticks)
    lateness, missed = pace.take()
    assert (lateness, missed) == (realtime.Lateness(p50=2000.0, p99=4000.0, p999=4000.0, max=4000.0), 0)
    assert pace.last == (lateness, missed)
    assert pace.take() == (realtime.Lateness(0.0, 0.0, 0.0, 0.0), 0)


def test_lateness_that_nobody_takes_does_not_fill_the_memory(clock):
    pace = Pace(clock.wait)
    for _, _ in zip(range(10_000), pace.ticks(0.001), strict=False):
        pass
    assert len(pace._late_ns) == 8192


# ---- affinity, priority, memory


def lines(log):
    return log._stream.getvalue().splitlines()


@pytest.fixture
def affinity(monkeypatch):
    """What would be applied to the process."""
    applied = []

    class Process:
        def cpu_affinity(self, cpus):
            if any(cpu > 7 for cpu in cpus):
                raise ValueError(f"invalid CPU {cpus}")
            applied.append(cpus)

    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr("psutil.Process", Process)
    return applied


@pytest.mark.parametrize(
    ("cpu", "src", "expected"),
    [
        ("none", "pulse", []),
        (2, "pulse", [2]),
        ([0, 1], "sink", [0, 1]),
        ("auto", "highspeed", [3]),
        ("auto", "pulse", [0, 1, 2]),
    ],
)
def test_a_daemon_is_pinned_as_configured(affinity, log, cpu, src, expected):
    assert realtime.pin(cpu, src, log) == expected
    assert affinity == ([expected] if expected else [])
    assert lines(log) == []


def test_auto_pins_nothing_below_four_cores(affinity, log, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert realtime.pin("auto", "highspeed", log) == []
    assert affinity == []


def test_a_cpu_that_is_not_there_is_one_line_and_no_pin(affinity, log):
    assert realtime.pin([9], "pulse", log) == []
    assert len(lines(log)) == 1
    assert "9" in lines(log)[0]


def test_priority_0_asks_for_nothing(log, monkeypatch):
    monkeypatch.setattr(os, "sched_setscheduler", lambda *a: pytest.fail("asked"))
    assert realtime.set_fifo(0, log) is False
    assert lines(log) == []


def test_no_right_to_a_priority_is_one_line(log, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert realtime.set_fifo(50, log) is False
    assert len(lines(log)) == 1
    assert "Operation not permitted" in lines(log)[0]


def test_a_priority_is_for_the_calling_thread_and_not_for_its_children(log, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *a: asked.append(a))
    assert realtime.set_fifo(50, log) is True
    assert asked == [(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(50))]


def test_memory_under_a_limit_is_not_locked(log, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (65_536, 65_536))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert realtime.lock_memory(log) is False
    assert len(lines(log)) == 1


def test_memory_is_locked_as_it_is_touched(log, monkeypatch):
    flags = []
    libc = types.SimpleNamespace(mlockall=lambda flag: flags.append(flag) or 0)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2)
    monkeypatch.setattr("ctypes.CDLL", lambda *a, **k: libc)
    assert realtime.lock_memory(log) is True
    assert flags == [1 | 2 | 4]  # MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT
