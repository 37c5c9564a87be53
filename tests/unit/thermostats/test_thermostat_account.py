"""Deadlines, back-off, and how missed polls are told."""

from types import SimpleNamespace

import pytest

from common import clock
from common.thermostats import losses as losses_module
from common.thermostats import polls as polls_module
from common.thermostats import stream as stream_module
from common.thermostats.freshness import Verdict
from common.thermostats.losses import TELL_S, Losses
from common.thermostats.pacing import LONGEST_S, Backoff, Grid
from common.thermostats.polls import Polls
from common.thermostats.stream import StreamAccount

S = 1_000_000_000


class Told(list):
    def lose(self, stream, unit, count, cause, *, from_t, to_t, detail=""):
        assert (stream, unit) == ("thermostat/bench/", "poll")
        self.append((count, cause, from_t, to_t, detail))

    def counts(self):
        return [(count, cause) for count, cause, *_ in self]


@pytest.fixture
def now(monkeypatch):
    """A clock that the test moves on, seconds."""
    at = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(clock, "boot_ns", lambda: round(at.s * S))
    monkeypatch.setattr(clock, "wall_ns", lambda: round(at.s * S))
    monkeypatch.setattr(stream_module.time, "monotonic_ns", lambda: round(at.s * S))
    monkeypatch.setattr(polls_module.time, "monotonic_ns", lambda: round(at.s * S))
    assert losses_module.clock is clock
    return at


def test_deadlines_are_absolute_and_what_passed_is_never_made_up_for():
    grid = Grid(1.0, 100 * S)
    assert grid.due_ns == 100 * S
    assert grid.passed(100 * S) == 1
    assert grid.due_ns == 101 * S
    assert grid.passed(101 * S - 1) == 0
    assert grid.passed(round(101.2 * S)) == 1
    assert grid.due_ns == 102 * S  # no drift
    assert grid.passed(round(106.5 * S)) == 5
    assert grid.due_ns == 107 * S
    assert grid.passed(107 * S) == 1


def test_back_off_is_at_once_first_then_grows_to_a_bound_with_jitter():
    backoff, delays = Backoff(), []
    for _ in range(40):
        backoff.failed(0)
        delays.append(backoff.ready_ns / S)
    assert delays[0] == 0
    assert 0.25 <= delays[1] <= 0.75
    assert 1 <= delays[3] <= 3
    assert all(LONGEST_S / 2 <= delay <= LONGEST_S * 1.5 for delay in delays[6:])
    assert len(set(delays[10:])) > 20
    backoff.succeeded()
    backoff.failed(7)
    assert backoff.ready_ns == 7


def test_the_first_loss_is_told_at_once_then_sums_then_the_rest_at_the_end(now):
    told = Told()
    losses = Losses(told.lose, "bench")
    for _ in range(12):
        losses.missed("timeout", 1, from_t=round(now.s * S), to_t=round((now.s + 1) * S), detail="d")
        losses.look()
        now.s += 1
    assert told.counts() == [(1, "timeout"), (5, "timeout"), (5, "timeout")]
    assert told[1] == (5, "timeout", 1001 * S, 1006 * S, "d")
    losses.end()
    assert told.counts()[3:] == [(1, "timeout")]
    assert losses.total == 12
    losses.missed("late", 2, from_t=1, to_t=2)  # a new outage begins at once
    assert told.counts()[4:] == [(2, "late")]


def test_another_cause_is_told_apart(now):
    told = Told()
    losses = Losses(told.lose, "bench")
    losses.missed("timeout", 1, from_t=1, to_t=2)
    losses.missed("timeout", 1, from_t=3, to_t=4)
    losses.missed("refused", 1, from_t=5, to_t=6)
    losses.close()
    assert told.counts() == [(1, "timeout"), (1, "timeout"), (1, "refused")]
    losses.missed("refused", 9, from_t=5, to_t=6)
    losses.close()
    assert len(told) == 3


def test_a_look_tells_a_sum_that_has_waited(now):
    told = Told()
    losses = Losses(told.lose, "bench")
    losses.missed("stale", 1, from_t=1, to_t=2)
    losses.missed("stale", 1, from_t=3, to_t=4)
    losses.look()
    assert len(told) == 1
    now.s += TELL_S
    losses.look()
    assert told.counts() == [(1, "stale"), (1, "stale")]
    losses.missed("stale", 0, from_t=1, to_t=2)
    losses.end()
    assert len(told) == 2


def test_causes_that_come_in_turn_are_summed_apart(now):
    told = Told()
    losses = Losses(told.lose, "bench")
    for _ in range(100):
        losses.missed("timeout", 1, from_t=1, to_t=2)
        losses.missed("late", 3, from_t=1, to_t=2)
    losses.close()
    assert told.counts() == [(1, "timeout"), (300, "late"), (99, "timeout")]


def polls(now, period_s=1.0):
    told = Told()
    losses = Losses(told.lose, "bench")
    return told, losses, Polls(losses, period_s)


def test_each_deadline_is_answered_or_lost(now):
    told, losses, account = polls(now)
    assert account.begin("w")
    account.answered()
    assert not account.begin("w")  # the next one is not due
    now.s += 3.5
    assert account.begin("w")
    assert told.counts() == [(2, "late")]
    assert told[0][4] == "w"
    now.s += 1.0
    account.failed("timeout", "d")
    account.failed("timeout", "nothing is under way")
    losses.close()
    assert total(told, "timeout") == 2
    assert account.total == 1 + losses.total == 5


def test_a_poll_that_hangs_is_told_before_it_ends(now):
    """The daemon may be killed meanwhile."""
    told, losses, account = polls(now)
    account.begin("w")
    now.s += TELL_S - 0.5
    account.look()
    assert told.counts() == []
    now.s += 2.0
    account.look()
    assert told.counts() == [(6, "late")]
    assert told[0][2:] == (1001 * S, round(1006.5 * S), "the answer is still waited for")
    account.failed("timeout", "d")
    losses.close()
    assert told.counts() == [(6, "late"), (1, "timeout")]
    assert losses.total == account.total


@pytest.mark.parametrize(("under_way", "lost"), [(False, 3), (True, 4)])
def test_a_stop_tells_what_is_under_way(now, under_way, lost):
    told, losses, account = polls(now)
    account.begin("w")
    if not under_way:
        account.answered()
    now.s += 3.5
    account.stopped()
    account.stopped()
    losses.close()
    assert told.counts() == [(lost, "late")]
    assert told[0][4] == "the daemon stopped before the answer"


def test_a_stop_while_it_waits_loses_nothing(now):
    told, losses, account = polls(now)
    account.begin("w")
    account.answered()
    now.s += 0.5
    account.stopped()
    losses.close()
    assert told == []


def test_a_stream_that_is_silent_at_the_stop(now):
    told, losses, account = stream(now)
    now.s += 2.5
    account.stopped()
    losses.close()
    assert told.counts() == [(2, "late")]
    told, losses, account = stream(now)
    account.heard(verdict(), 0.1)
    now.s += 0.15
    account.stopped()
    assert losses.total == 0  # that one is due just now
    now.s += 1.0
    account.stopped()
    losses.close()
    assert total(told, "late") == 10


def verdict(missed=0, reboot="", readings=(1,), stale=0):
    return Verdict(list(readings), 0, stale, reboot, missed)


def stream(now):
    told = Told()
    losses = Losses(told.lose, "bench")
    return told, losses, StreamAccount(losses, 1.0)


def total(told, *causes):
    return sum(count for count, cause, *_ in told if cause in causes)


def test_a_stream_without_a_first_reading_counts_by_the_configured_period(now):
    told, losses, account = stream(now)
    now.s += 3.5
    account.failed("refused", "d")
    account.failed("refused", "d")
    assert losses.total == 3
    account.heard(verdict(missed=0), 0.1)
    assert losses.total == 3
    assert told.counts() == [(3, "refused")]


def test_a_gap_in_a_stream_is_counted_by_the_devices_time(now):
    told, losses, account = stream(now)
    account.heard(verdict(), 0.1)
    now.s += 0.1
    account.heard(verdict(missed=2), 0.1)
    assert told.counts() == [(2, "dropped")]
    now.s += 5.0
    account.failed("timeout", "d")
    assert losses.total == 2 + 50
    now.s += 5.0
    account.failed("timeout", "d")
    account.heard(verdict(missed=103), 0.1)  # it knows better
    assert total(told, "timeout") == 103
    account.heard(verdict(missed=0), 0.1)
    assert losses.total == 105


def test_after_a_reboot_a_gap_in_a_stream_is_counted_by_our_clock(now):
    told, losses, account = stream(now)
    account.heard(verdict(), 0.5)
    now.s += 1.0
    account.failed("disconnected", "d")
    now.s += 4.0
    account.heard(verdict(reboot="back"), 0.5)
    assert total(told, "disconnected") == losses.total == 9


def test_a_stale_stream_is_lost_while_it_lasts(now):
    told, losses, account = stream(now)
    account.heard(verdict(), 0.1)
    now.s += 1.0
    account.heard(verdict(readings=(), stale=0), 0.1)
    assert losses.total == 0
    account.heard(verdict(readings=(), stale=2), 0.1)
    assert told.counts() == [(10, "stale")]
    account.heard(verdict(missed=0), 0.1)
    assert losses.total == 10
