import pytest

from common.gateway.words import span, time_of_day

SPANS = [
    (0.0, "0.0 s"), (0.84, "0.8 s"), (12, "12 s"), (59.4, "59 s"), (59.6, "1 min"), (252, "4 min 12 s"),
    (3600, "1 h"), (3599.6, "1 h"), (7500, "2 h 5 min"), (86_400, "1 d"), (86_399.9, "1 d"), (273_600, "3 d 4 h"),
    (3650 * 86_400, "3650 d"),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), SPANS)
def test_two_units_at_most(seconds, text):
    assert span(seconds) == text


def test_time_of_day():
    assert time_of_day(1_793_500_000 * 10**9 + 999_999_999, 0) == "02:26:40"
    assert time_of_day(1_793_500_000 * 10**9, -7200) == "00:26:40"
