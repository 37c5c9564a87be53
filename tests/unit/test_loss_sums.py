"""Losses told as sums: few rows, exact counts, whole ranges, whatever comes."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from common.loss_sums import WINDOW_NS, LossSums

S = 10**9


class Told:
    def __init__(self):
        self.rows = []
        self.sums = LossSums(lambda *row: self.rows.append(row))

    def add(self, second, count, cause="nack", detail=""):
        """One that took half a second until then."""
        self.sums.add(count, cause, second * S - S // 2, second * S, detail, second * S)


def test_the_first_is_told_at_once_and_what_follows_in_one_row():
    told = Told()
    for second in range(100, 106):
        told.add(second, 3, detail=f"at {second}")
    assert told.rows == [(3, "nack", 99 * S + S // 2, 100 * S, "at 100")]
    told.sums.look(100 * S + WINDOW_NS)
    assert told.rows[1:] == [(15, "nack", 100 * S + S // 2, 105 * S, "5 times, the last: at 105")]


def test_one_alone_is_told_as_it_is():
    told = Told()
    told.add(100, 3)
    told.add(103, 5, detail="gone")
    told.sums.look(111 * S)
    assert told.rows[1:] == [(5, "nack", 102 * S + S // 2, 103 * S, "gone")]


def test_after_a_quiet_time_the_next_is_told_at_once():
    told = Told()
    told.add(100, 3)
    told.sums.look(111 * S)
    told.add(112, 4)
    told.add(130, 5)
    assert [row[0] for row in told.rows] == [3, 4, 5]


def test_a_disturbance_that_goes_on_is_a_row_in_ten_seconds():
    told = Told()
    for second in range(100, 3700):
        told.add(second, 1)
        told.sums.look(second * S)
    told.sums.look(3700 * S, last=True)
    assert len(told.rows) <= 3600 * S // WINDOW_NS + 2
    assert sum(row[0] for row in told.rows) == 3600


def test_causes_are_summed_apart_and_what_is_unknown_spoils_no_count():
    told = Told()
    for second in (100, 101, 102):
        told.add(second, 1)
        told.add(second, 10, "late")
        told.add(second, None)
    told.sums.look(103 * S, last=True)
    assert [(row[0], row[1]) for row in told.rows] == [
        (1, "nack"), (10, "late"), (None, "nack"), (2, "nack"), (20, "late"), (None, "nack")
    ]  # fmt: skip


def test_a_wall_clock_that_is_set_back_turns_no_range_round():
    told = Told()
    told.add(100, 1)
    told.sums.add(1, "nack", 200 * S, 201 * S, "", 101 * S)
    told.sums.add(1, "nack", 50 * S, 51 * S, "", 102 * S)
    told.sums.look(103 * S, last=True)
    assert told.rows[1][2:4] == (50 * S, 201 * S)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["add", "look"]),
        st.sampled_from(["nack", "late", "not_ready"]),
        st.one_of(st.none(), st.integers(0, 1000)),
        st.integers(0, 8 * S),
    )
)


@given(EVENTS)
def test_nothing_is_left_out_and_every_loss_lies_in_a_row_of_its_cause(events):
    told, now, expected, ranges = Told(), S, defaultdict(int), []
    for event, cause, count, passed in events:
        begin, now = now, now + passed
        if event == "look":
            told.sums.look(now)
            continue
        told.sums.add(count, cause, begin, now, "", now)
        expected[cause, count is None] += count or 0
        ranges.append((cause, count is None, begin, now))
    told.sums.look(now, last=True)
    summed = defaultdict(int)
    for count, cause, *_ in told.rows:
        summed[cause, count is None] += count or 0
    assert summed == expected
    for cause, unknown, begin, end in ranges:
        assert any(
            row[1] == cause and (row[0] is None) == unknown and row[2] <= begin and end <= row[3] for row in told.rows
        )
