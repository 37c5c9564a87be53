"""Which edges are pulses."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.pulses import EdgeFilter

MS = 1_000_000
MIN = 30 * MS

edges = st.lists(st.integers(0, 40 * MS), max_size=60).map(
    lambda steps: [sum(steps[: i + 1]) for i in range(len(steps))]
)


def split(stamps, cuts):
    """The same stamps in several takes."""
    borders = sorted({0, len(stamps), *(cut % (len(stamps) + 1) for cut in cuts)})
    return [stamps[a:b] for a, b in itertools.pairwise(borders)]


def test_an_edge_at_exactly_the_minimum_interval_is_a_pulse_and_one_sooner_is_not():
    accepted = EdgeFilter(MIN, 0).take([0, MIN - 1, MIN, 2 * MIN - 1, 2 * MIN])
    assert accepted == ([0, MIN, 2 * MIN], 2)


def test_the_interval_counts_from_the_last_accepted_edge_not_from_the_last_one():
    """A line that bounces for ever still gives a pulse each interval: a sleeping debounce would give none."""
    accepted = EdgeFilter(MIN, 0).take([i * 10 * MS for i in range(10)])
    assert accepted == ([0, 30 * MS, 60 * MS, 90 * MS], 6)


def test_the_interval_is_kept_across_takes():
    flt = EdgeFilter(MIN, 0)
    assert flt.take([100 * MS]) == ([100 * MS], 0)
    assert flt.take([]) == ([], 0)
    assert flt.take([110 * MS, 130 * MS]) == ([130 * MS], 1)


def test_edges_while_the_line_settles_are_filtered_and_do_not_start_an_interval():
    flt = EdgeFilter(MIN, settled_ns=1000 * MS)
    assert flt.take([998 * MS, 1000 * MS - 1, 1000 * MS]) == ([1000 * MS], 2)


def test_without_an_interval_every_edge_is_a_pulse():
    assert EdgeFilter(0, 0).take([5, 5, 5, 6]) == ([5, 5, 5, 6], 0)


@pytest.mark.parametrize("width_ms", [30, 50])
def test_a_pulse_train_at_10_hz_is_never_filtered(width_ms):
    """S0 pulses of 30 ms (the norm's minimum) and of 50 ms (what many meters hold), either edge, for an hour."""
    for first in (0, width_ms):  # rising edges, or falling ones
        train = [(first + 100 * i) * MS for i in range(36_000)]
        assert EdgeFilter(MIN, 0).take(train) == (train, 0)


@given(st.lists(st.lists(st.integers(1, 29 * MS), max_size=4), min_size=1, max_size=30), st.lists(st.integers(0)))
def test_bounces_of_a_10_hz_train_are_filtered_and_nothing_else(bounces, cuts):
    pulses = [100 * MS * i for i in range(len(bounces))]
    stamps = sorted(t + b for t, extra in zip(pulses, bounces, strict=True) for b in [0, *extra])
    flt = EdgeFilter(MIN, 0)
    takes = [flt.take(part) for part in split(stamps, cuts)]
    assert [t for take in takes for t in take.edges] == pulses
    assert sum(take.filtered for take in takes) == sum(map(len, bounces))


@given(edges, st.integers(0, 100 * MS), st.integers(0, 500 * MS), st.lists(st.integers(0)))
def test_accepted_and_filtered_are_all_and_accepted_ones_are_spaced(stamps, min_ns, settled_ns, cuts):
    flt = EdgeFilter(min_ns, settled_ns)
    accepted, filtered = [], 0
    for part in split(stamps, cuts):
        take = flt.take(part)
        assert len(take.edges) + take.filtered == len(part)
        accepted += take.edges
        filtered += take.filtered
    assert len(accepted) + filtered == len(stamps)
    assert all(b - a >= min_ns for a, b in itertools.pairwise(accepted))
    assert all(t >= settled_ns for t in accepted)
    # each rejected edge had its reason: it came too early, or too soon after the accepted one before it
    remaining = list(accepted)
    last = None
    for t in stamps:
        if remaining and t == remaining[0]:
            last = remaining.pop(0)
        else:
            assert t < settled_ns or (last is not None and t - last < min_ns)
    assert remaining == []


@given(edges, st.lists(st.integers(0)))
def test_how_the_edges_are_handed_over_does_not_matter(stamps, cuts):
    at_once = EdgeFilter(MIN, 0).take(stamps)
    flt = EdgeFilter(MIN, 0)
    assert [t for part in split(stamps, cuts) for t in flt.take(part).edges] == at_once.edges
