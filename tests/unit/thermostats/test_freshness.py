"""Told by the device's own time: new, repeated, stale, rebooted."""

from common.thermostats.freshness import Freshness, Reboots

S = 1_000_000_000


def reading(channel=0, time=None, **more):
    return {"channel": channel, "temperature": 25.0, **({} if time is None else {"time": time}), **more}


def take(freshness, at_s, *readings):
    return freshness.take(list(readings), round(at_s * S))


def test_a_time_that_moves_on_is_new():
    freshness = Freshness()
    for n in range(3):
        verdict = take(freshness, n, reading(0, 5.0 + n), reading(1, 5.05 + n))
        assert [r["channel"] for r in verdict.readings] == [0, 1]
        assert (verdict.repeats, verdict.stale, verdict.reboot) == (0, 0, "")


def test_asked_again_at_once_it_repeats_itself_and_that_is_no_loss():
    freshness = Freshness()
    take(freshness, 0, reading(0, 5.0, interval=0.1))
    assert take(freshness, 0.05, reading(0, 5.0, interval=0.1)) == ([], 1, 0, "", 0)
    assert take(freshness, 0.15, reading(0, 5.1, interval=0.1)).readings


def test_a_time_that_stands_still_is_stale():
    freshness = Freshness()
    take(freshness, 0, reading(0, 5.0, interval=0.1))
    assert take(freshness, 1, reading(0, 5.0, interval=0.1)) == ([], 0, 1, "", 0)
    assert take(freshness, 9, reading(0, 5.0, interval=0.1)) == ([], 0, 1, "", 0)
    assert take(freshness, 10, reading(0, 5.1, interval=0.1)).readings


def test_one_stale_channel_loses_its_values_and_says_so():
    freshness = Freshness()
    take(freshness, 0, reading(0, 5.0), reading(1, 5.0))
    verdict = take(freshness, 1, reading(1, 6.0), reading(0, 5.0))
    assert verdict.readings == [{"channel": 0, "time": 5.0, "flags": ["stale"]}, reading(1, 6.0)]
    assert verdict.stale == 1


def test_one_repeating_channel_is_left_out():
    """As in a stream: each report has a new value of one channel, and the last of the other."""
    freshness = Freshness()
    take(freshness, 0, reading(0, 5.0, interval=0.1), reading(1, 5.05, interval=0.1))
    verdict = take(freshness, 0.1, reading(0, 5.1, interval=0.1), reading(1, 5.05, interval=0.1))
    assert ([r["channel"] for r in verdict.readings], verdict.repeats) == ([0], 1)


def test_a_time_that_goes_back_is_a_reboot():
    freshness = Freshness()
    take(freshness, 0, reading(0, 500.0), reading(1, 500.0))
    verdict = take(freshness, 1, reading(0, 2.0), reading(1, 2.0))
    assert verdict.reboot == "its time went back from 500 to 2 s"
    assert len(verdict.readings) == 2
    assert verdict.missed == 0
    assert take(freshness, 2, reading(0, 3.0), reading(1, 3.0)).reboot == ""


def test_without_a_time_everything_is_new():
    freshness = Freshness()
    for n in range(3):
        for nothing in ({}, {"time": None}, {"time": "noon"}, {"time": True}):
            assert len(take(freshness, n, reading(0, **nothing)).readings) == 1


def test_readings_in_between_are_counted_by_the_devices_own_interval():
    freshness = Freshness()
    take(freshness, 0, reading(0, 5.0, interval=0.1), reading(1, 5.05, interval=0.1))
    assert take(freshness, 0.1, reading(0, 5.1, interval=0.1)).missed == 0
    assert take(freshness, 0.1, reading(1, 5.24, interval=0.1)).missed == 1
    assert take(freshness, 10, reading(0, 15.1, interval=0.1), reading(1, 5.34, interval=0.1)).missed == 99
    assert freshness.interval_s == 0.1


def test_a_time_that_jumps_is_counted_by_our_clock():
    freshness = Freshness()
    take(freshness, 0, reading(0, 0.2, interval=0.1))
    assert take(freshness, 0.28, reading(0, 1e6, interval=0.1)).missed == 2
    assert take(freshness, 0.38, reading(0, 9e9, interval=0.001)).missed == 99
    # what came late, and a clock that is wrong by a percent, are no jumps
    freshness = Freshness()
    take(freshness, 0, reading(0, 0.0, interval=0.1))
    assert take(freshness, 0.1, reading(0, 9.0, interval=0.1)).missed == 89
    assert take(freshness, 10_000.1, reading(0, 10_109.0, interval=0.1)).missed == 100_999


def test_reboots_are_told_at_once_and_then_once_a_minute():
    reboots = Reboots()
    assert reboots.to_tell(0) == ""
    reboots.seen("a")
    assert reboots.to_tell(7 * S) == "a"
    for _ in range(5):
        reboots.seen("b")
        assert reboots.to_tell(66 * S) == ""
    assert reboots.to_tell(67 * S) == "b; 5 times in a minute"
    assert reboots.to_tell(1000 * S) == ""


def test_an_interval_that_cannot_be_is_not_believed():
    freshness = Freshness()
    take(freshness, 0, reading(0, 5.0))
    for n, interval in enumerate((0.0, -1.0, 1e-9, 1e9, None)):
        verdict = take(freshness, n + 1, reading(0, 6.0 + n, interval=interval))
        assert verdict.missed == 7
        assert freshness.interval_s == 0.12
