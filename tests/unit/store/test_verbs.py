"""The verbs of `rigbus query` without a command line: what options mean, and what is wrong with them."""

import time
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from common.errors import UsageError
from common.store.asked import NEWEST, WrongOption
from common.store.query import TelemetryQuery
from common.store.results import ALL, Range
from common.store.verbs import OPTIONS, VERBS, answer, asked_of
from common.store.writer import Store

T = 1_760_000_000 * 10**9  # 2025-10-09T08:53:20Z
S = 10**9

RANGES: list[tuple[dict[str, str], Range]] = [
    ({}, Range(last=NEWEST)),
    ({"last": "30"}, Range(last=30)),
    ({"last": "30s"}, Range(from_ns=T - 30 * S)),
    ({"last": "1.5m"}, Range(from_ns=T - 90 * S)),
    ({"last": "2h"}, Range(from_ns=T - 7200 * S)),
    ({"last": "1d", "limit": "5"}, Range(from_ns=T - 86400 * S, last=5)),
    ({"last": "250ms"}, Range(from_ns=T - S // 4)),
    ({"last": "10s", "to": "1000"}, Range(990 * S, 1000 * S)),
    ({"last": "9", "limit": "5"}, Range(last=5)),
    ({"limit": "7"}, Range(last=7)),
    ({"from": "1760000000.123456789"}, Range(from_ns=T + 123_456_789)),
    ({"from": "2025-10-09T08:53:20Z", "to": "2025-10-09T10:53:21.5+02:00"}, Range(T, T + 1_500_000_000)),
    ({"to": "0"}, Range(ALL.from_ns, 0)),
    ({"from": "1969-12-31T23:59:59.25Z"}, Range(from_ns=-750_000_000)),
    ({"limit": "9" * 25}, Range(last=2**63 - 1)),
]


@pytest.mark.parametrize(("options", "expected"), RANGES)
def test_ranges(options: dict[str, str], expected: Range) -> None:
    assert asked_of("pulses", options, now_ns=T).range == expected


def test_a_time_without_a_zone_is_local_or_of_the_zone_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    try:
        assert asked_of("pulses", {"from": "2025-10-09T10:53:20"}, now_ns=T).range.from_ns == T
        assert asked_of("pulses", {"from": "2025-10-09T08:53:20"}, now_ns=T, zone=UTC).range.from_ns == T
    finally:
        monkeypatch.undo()
        time.tzset()


WRONG = [
    ({"last": "soon"}, "last soon"),
    ({"last": "-5"}, "last -5"),
    ({"last": "5m", "from": "1"}, "last and from"),
    ({"from": "yesterday"}, "from yesterday"),
    ({"from": "2", "to": "1"}, "from 2: after to 1"),
    ({"from": "9999-01-01"}, "calendar"),
    ({"to": "1e99"}, "to 1e99: beyond the calendar"),
    ({"to": "1e999999999"}, "calendar"),
    ({"to": "nan"}, "to nan"),
    ({"to": "-inf"}, "to -inf"),
    ({"limit": "many"}, "limit many"),
    ({"limit": "²"}, "limit ²"),
]


@pytest.mark.parametrize(("options", "told"), WRONG)
def test_a_wrong_time_or_number_is_told_by_its_option(options: dict[str, str], told: str) -> None:
    with pytest.raises(WrongOption, match=told.replace("²", ".")) as caught:
        asked_of("pulses", options, now_ns=T)
    assert "\n" not in str(caught.value)


@pytest.fixture
def query(path: Path) -> Any:
    Store.open(path).close()
    with TelemetryQuery(path) as found:
        yield found


REFUSED = [
    ("fly", {}, "no such query: fly"),
    ("pulses", {"joint": "1"}, "pulses: no option joint"),
    ("joints", {"joint": "7"}, "joint 7"),
    ("joints", {"joint": "one"}, "joint one"),
    ("commands", {"funcode": "1.5"}, "funcode 1.5"),
    ("tracking", {"delay": "nan"}, "delay nan"),
    ("tracking", {"last": "10"}, "last 10: here it is a time"),
    ("rate", {"window": "0"}, "window 0"),
    ("rollups", {"window": "61"}, "61"),
    ("samples", {"columns": "0", "sensor": "v"}, "columns 0"),
    ("samples", {}, "no samples are stored"),
    ("power", {"imp-per-kwh": "-1"}, "imp-per-kwh -1"),
]


@pytest.mark.parametrize(("verb", "options", "told"), REFUSED)
def test_what_is_wrong_is_a_usage_error_of_one_line(
    query: TelemetryQuery, verb: str, options: dict[str, str], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        answer(query, verb, options)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"samples"}))
def test_an_empty_rig_has_an_answer_to_every_verb(query: TelemetryQuery, verb: str) -> None:
    found = answer(query, verb, {})
    assert all(len(row) == len(found.columns) for row in found.rows)


def test_every_option_has_a_meaning_and_is_used() -> None:
    used = {option for verb in VERBS.values() for option in verb.options}
    assert used == set(OPTIONS)
