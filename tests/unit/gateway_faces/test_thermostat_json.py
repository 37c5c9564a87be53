"""The thermostat face's times and JSON."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.gateway import thermostat

CELL = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
T = 1_763_765_999_123_456_789


@pytest.mark.parametrize(
    ("said", "ns"),
    [
        ("1763765999123", 1_763_765_999_123_000_000),
        ("1763765999123.5", 1_763_765_999_123_500_000),
        ("1.763765999123e12", 1_763_765_999_123_000_000),
        ("0", 0),
        ("-1000", -1_000_000_000),
        ("2025-11-21T22:59:59.123Z", 1_763_765_999_123_000_000),
        ("2025-11-21T22:59:59.123", 1_763_765_999_123_000_000),
    ],
)
def test_epoch_ms_or_iso_text(said, ns):
    assert thermostat.ns_of(said) == ns


@pytest.mark.parametrize(
    "said", ["", "x", "nan", "inf", "-inf", "1e400", "9" * 30, "2026-13-01", "1763765999 1", "0x10", "٣x"]
)
def test_what_is_no_time_is_one_line(said):
    with pytest.raises(ValueError) as refused:
        thermostat.ns_of(said)
    assert "\n" not in str(refused.value)


@given(st.text(max_size=40))
def test_no_text_is_anything_else(said):
    try:
        assert abs(thermostat.ns_of(said)) < 2**63
    except ValueError:
        pass


def test_a_report_keeps_the_devices_own_time_and_has_no_nan():
    found = thermostat.report(T, [{"channel": 0, "time": 4.1, "temperature": math.nan, "extra": {"a": [math.inf, 1]}}])
    assert found == [
        {"time": "2025-11-21T22:59:59.123456+00:00", "ts": 1_763_765_999_123, "channel": 0, "device_time_s": 4.1,
         "temperature": None, "extra": {"a": [None, 1]}},
    ]  # fmt: skip
    json.dumps(found, allow_nan=False)


@given(st.lists(st.tuples(st.integers(0, 10**13), CELL)), st.integers(1, 50))
def test_csv_of_any_cut_is_the_same_json(rows, cut):
    text = "time,ts,a\n" + "".join(
        f"2026-01-01T00:00:00.000000+00:00,{t},{'' if a is None else repr(a)}\n" for t, a in rows
    )
    data = text.encode()
    pieces = [data[i : i + cut] for i in range(0, len(data), cut)]
    found = json.loads(b"".join(thermostat.as_json(pieces)))
    assert [(row["ts"], row["a"]) for row in found] == rows


def test_what_json_has_no_word_for_is_null():
    assert json.loads(b"".join(thermostat.as_json([b"time,ts,a\nx,1,inf\nx,2,nan\nx,3,-inf\n"]))) == [
        {"time": "x", "ts": n, "a": None} for n in (1, 2, 3)
    ]
    assert json.loads(b"".join(thermostat.as_json([]))) == []
