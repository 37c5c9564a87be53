"""The day's bounds do not grow by setting a clock."""

import pytest

from common.pumps.limits import DAY_NS, Ended, Now, Use, used

HOUR_NS = 3600 * 10**9
RUN = Use(1000, 1.0, 0.5)
WALL = 1_800_000_000 * 10**9


def ended(hours_ago, now, boot="b1"):
    """A run of so many hours ago by all clocks."""
    return Ended(RUN, boot, now.boot_ns - hours_ago * HOUR_NS, now.boot_wall_ns + now.boot_ns - hours_ago * HOUR_NS)


def test_a_day_is_24_hours():
    now = Now("b1", 100 * HOUR_NS, WALL)
    runs = [ended(h, now) for h in (1, 23, 25, 48)]
    assert used(runs, now) == Use(2000, 2.0, 1.0)


@pytest.mark.parametrize("step", [-DAY_NS, DAY_NS, 400 * DAY_NS])
def test_in_one_boot_the_wall_clock_does_not_count(step):
    now = Now("b1", 100 * HOUR_NS, WALL)
    run = ended(1, now)
    assert used([run._replace(wall_ns=run.wall_ns + step)], now) == RUN
    old = ended(30, now)
    assert used([old._replace(wall_ns=old.wall_ns + step)], now) == Use(0, 0, 0)


def test_over_boots_by_the_wall_clock_as_it_was_when_this_boot_began():
    now = Now("b2", HOUR_NS, WALL)
    recent = Ended(RUN, "b1", 55 * HOUR_NS, WALL - 2 * HOUR_NS)
    old = Ended(RUN, "b1", 30 * HOUR_NS, WALL - 24 * HOUR_NS)
    assert used([recent, old], now) == RUN


def test_a_run_that_seems_to_lie_ahead_counts():
    """A machine without a clock battery comes up in the past."""
    now = Now("b2", HOUR_NS, WALL)
    assert used([Ended(RUN, "b1", 0, WALL + 30 * DAY_NS)], now) == RUN
