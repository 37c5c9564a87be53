"""The thermostat's parser over any bytes: it says yes or Malformed, and what it lets through can be stored."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from common.frames import Thermostat, decode, encode
from common.store.rows import rows_of
from common.thermostats.freshness import Freshness
from common.thermostats.protocol import MAX_LINE, Listing, Malformed, Splitter, parse, readings_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["time", "interval", "adc", "sens", "i_tec", "pid_engaged", "flags", "vref"]) | st.text()
READINGS = st.builds(
    lambda channel, temperature, more: {**more, "channel": channel, "temperature": temperature},
    st.integers(-1, 17) | VALUES,
    VALUES,
    st.dictionaries(NAMES, VALUES, max_size=6),
)
SQLITE = (int, float, str, bytes, bool, type(None))


def one_line(error):
    assert str(error)
    assert "\n" not in str(error)


def outcome(line):
    try:
        return parse(line)
    except Malformed as e:
        one_line(e)
        return None


@given(st.binary(max_size=300))
def test_any_bytes(line):
    reply = outcome(line)
    if isinstance(reply, Listing):
        stored(reply)


@given(VALUES)
def test_any_json(value):
    reply = outcome(json.dumps(value).encode())
    if reply is not None and not isinstance(reply, Listing):
        msgspec.msgpack.encode(reply)  # what a status or an event may carry on


@given(st.lists(READINGS, max_size=3))
def test_any_report(readings):
    reply = outcome(json.dumps(readings).encode())
    assert isinstance(reply, Listing)
    stored(reply)


def stored(listing):
    """Either it is no report, or each of its readings becomes a row that SQLite takes."""
    try:
        readings = readings_of(listing)
    except Malformed as e:
        one_line(e)
        return
    for now in (0, 10**9):
        verdict = Freshness().take(readings, now)
        assert len(verdict.readings) == len(readings)
    frame = Thermostat(device="t", readings=readings, dialect="old", node="n", src="s", run="0" * 16)
    rows = rows_of(decode(encode(frame)), 1)[1]
    assert len(rows) == len(readings)
    for row in rows:
        assert all(isinstance(value, SQLITE) for value in row)
        assert all(abs(value) < 2**63 for value in row if type(value) is int)
        assert all(value.encode() or True for value in row if isinstance(value, str))


@given(st.lists(st.binary(max_size=40).filter(lambda b: b"\n" not in b and b"\r" not in b), max_size=6), st.data())
def test_lines_do_not_depend_on_how_they_come(lines, data):
    whole = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    splitter, got = Splitter(), []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        got += splitter.feed(whole[start:end])
    assert got == [line for line in lines if line]


@given(st.lists(st.binary(max_size=6000), max_size=5))
def test_never_more_than_a_line_is_held(portions):
    splitter = Splitter()
    for portion in portions:
        try:
            lines = splitter.feed(portion)
        except Malformed:
            continue
        assert all(0 < len(line) <= MAX_LINE for line in lines)
        assert len(splitter._rest) <= MAX_LINE
