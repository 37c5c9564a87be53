"""Chunks of a run: exact counts, the ramp, the time."""

import itertools

import pytest

from common.pumps.plan import CHUNK_S, chunks, for_steps, steps_in


def test_a_run_is_a_ramp_a_level_and_the_ramp_again():
    found = list(chunks(8000, 10_000, 0.2))
    rates = [hz for _, hz in found]
    assert sum(n for n, _ in found) == 8000
    assert max(rates) == 10_000
    top = rates.index(10_000)
    assert rates[:top] == sorted(rates[:top])
    assert list(reversed(found))[:top] == found[:top]
    assert sum(n / hz for n, hz in found) == pytest.approx(1.0, rel=0.001)


@pytest.mark.parametrize(("seconds", "hz", "ramp_s"), [(2, 10_000, 0.2), (0.2, 10_000, 0.2), (1, 50, 0.1), (5, 3, 0)])
def test_a_time_becomes_the_steps_that_fit_into_it(seconds, hz, ramp_s):
    plan = for_steps(steps_in(seconds, hz, ramp_s), hz, ramp_s, None)
    assert plan.seconds == pytest.approx(seconds, abs=1.5 / hz + 0.01)
    assert plan.seconds <= seconds + 1e-9


def test_a_short_run_never_reaches_full_speed():
    found = list(chunks(100, 10_000, 0.2))
    assert sum(n for n, _ in found) == 100
    assert max(hz for _, hz in found) < 2500
    plan = for_steps(100, 10_000, 0.2, None)
    assert sum(n / hz for n, hz in found) == pytest.approx(plan.seconds, rel=0.01)


def test_chunks_are_short_so_that_who_stops_feeding_stops_the_motor():
    for n, hz in itertools.islice(chunks(10**9, 10_000, 0.2), 500):
        assert n / hz <= CHUNK_S + 1e-9
    assert list(chunks(3, 2, 0)) == [(1, 2)] * 3


def test_a_run_ends_by_time_a_little_after_its_plan():
    plan = for_steps(8000, 10_000, 0.2, None)
    assert (plan.seconds, plan.end_s) == (1.0, pytest.approx(1.6))
