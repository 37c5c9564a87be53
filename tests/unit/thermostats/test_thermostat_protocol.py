"""The thermostat's language: every kind of line, and what probing makes of the answers."""

import pytest

from common.thermostats.protocol import (
    MAX_LINE,
    Done,
    Listing,
    Malformed,
    Refusal,
    Splitter,
    Warned,
    parse,
    probe,
    readings_of,
)


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"{}", Done({})),
        (b' {"report": true} ', Done({"report": True})),
        (b'{ "error": "invalid input" }', Refusal("invalid input")),
        (b'{{"error": "flash config not found"}}', Refusal("flash config not found")),
        (b'{{ "error": no json }}', Refusal('{{ "error": no json }}')),
        (b'{"error": {"a": 1}}', Refusal("{'a': 1}")),
        (b'{ "warning": "this thermostat doesn\'t have fan!" }', Warned("this thermostat doesn't have fan!")),
        (b"[]", Listing([])),
        (b'[{"channel":0,"i_set":{"value":1,"max":3}}]', Listing([{"channel": 0, "i_set": {"value": 1, "max": 3}}])),
        (b'{"x": NaN}', Done({"x": None})),
    ],
)
def test_a_line(line, reply):
    assert parse(line) == reply


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"blah", "not JSON: 'blah'"),
        (b"\xff\xfe", r"not UTF-8: '\xff\xfe'"),
        ("[]".encode("utf-16"), "not UTF-8: "),
        ("\ufeff[]".encode(), "not JSON: "),
        (b"[" * 5000, "over 100 brackets in a line: '["),
        (b'{"a":' * 101, "over 100 brackets"),
        (b"[" * 100, "not JSON: '["),
        (b"3", "neither a list nor a map: '3'"),
        (b'"x"', "neither a list nor a map"),
        (b"null", "neither a list nor a map"),
        (b"[1]", "a list of something else than maps"),
        (b"9" * 5000, "not JSON: '9"),
        (b"{", "not JSON"),
    ],
)
def test_a_line_that_is_none(line, why):
    with pytest.raises(Malformed) as error:
        parse(line)
    assert why in str(error.value)
    assert len(str(error.value)) < 300
    assert "\n" not in str(error.value)


def test_lines_come_in_any_portions():
    data = b'[{"a": 1}]\n\r\n{}\r\n\n{"b": 2}\nrest'
    whole = [b'[{"a": 1}]', b"{}", b'{"b": 2}']
    assert Splitter().feed(data) == whole
    splitter = Splitter()
    assert [line for byte in data for line in splitter.feed(bytes([byte]))] == whole
    assert splitter.feed(b" of it\n") == [b"rest of it"]


def test_a_line_has_a_bound():
    splitter = Splitter()
    assert splitter.feed(b"x" * MAX_LINE) == []
    with pytest.raises(Malformed, match="over 8192 bytes"):
        splitter.feed(b"x")
    assert splitter.feed(b"{}\n") == [b"{}"]  # what was too long is gone
    with pytest.raises(Malformed):
        splitter.feed(b"{}\n" + b"x" * (MAX_LINE + 1) + b"\n")


def test_what_came_before_can_be_forgotten():
    splitter = Splitter()
    splitter.feed(b"half a li")
    splitter.clear()
    assert splitter.feed(b"[]\n") == [b"[]"]


def test_a_report_keeps_its_fields_and_flags_what_is_no_number():
    line = b"""[{"channel": 0, "time": 2321.5, "temperature": 25.0, "i_tec": null, "pid_engaged": true, "count": 3},
    {"channel": 1, "temperature": NaN, "adc": Infinity, "sens": -Infinity, "x": 1e999, "y": 18446744073709551616,
    "text": "a\\ud800b", "deep": {"a": [1]}}]""".replace(b"\n", b"")
    first, second = readings_of(parse(line))
    assert first == {
        "channel": 0, "time": 2321.5, "temperature": 25.0, "i_tec": None, "pid_engaged": True, "count": 3,
        "flags": ["i_tec: null"],
    }  # fmt: skip
    assert second == {
        "channel": 1, "temperature": None, "adc": None, "sens": None, "x": None, "y": None, "text": "a?b",
        "deep": '{"a": [1]}',
        "flags": ["temperature: nan", "adc: inf", "sens: inf", "x: inf", "y: range"],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["temperature", "time", "interval", "i_set", "tec_i", "vref"])
@pytest.mark.parametrize("value", ["true", "false", '"hot"', '"1"', "[1]", "{}"])
def test_what_is_no_number_where_one_belongs_has_a_flag(name, value):
    line = f'[{{"channel": 0, "temperature": 25, "{name}": {value}}}]'
    (reading,) = readings_of(parse(line.encode()))
    assert reading[name] is None
    assert reading["flags"] == [f"{name}: type"]


@pytest.mark.parametrize("value", ["1", "0.0", '"true"', "[true]"])
def test_what_is_no_flag_where_one_belongs_has_a_flag(value):
    (reading,) = readings_of(parse(f'[{{"channel": 0, "temperature": 25, "pid_engaged": {value}}}]'.encode()))
    assert (reading["pid_engaged"], reading["flags"]) == (None, ["pid_engaged: type"])


@pytest.mark.parametrize(("value", "time"), [("1e308", None), ("-0.1", None), ("1e10", 1e10), ("10000000001", None)])
def test_a_time_that_cannot_be_is_none(value, time):
    (reading,) = readings_of(parse(f'[{{"channel": 0, "temperature": 25, "time": {value}}}]'.encode()))
    assert reading["time"] == time
    assert reading.get("flags") == (["time: range"] if time is None else None)


def test_a_clean_report_has_no_flags():
    assert readings_of(parse(b'[{"channel": 0, "temperature": 25}]')) == [{"channel": 0, "temperature": 25}]


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"[{}]",
        b'[{"channel": 0}]',
        b'[{"temperature": 1}]',
        b'[{"channel": null, "temperature": 1}]',
        b'[{"channel": true, "temperature": 1}]',
        b'[{"channel": 0.0, "temperature": 1}]',
        b'[{"channel": "0", "temperature": 1}]',
        b'[{"channel": -1, "temperature": 1}]',
        b'[{"channel": 99, "temperature": 1}]',
        b'[{"channel": 0, "temperature": 1}, {"channel": 0, "temperature": 1}]',
        b'[{"channel": 0, "temperature": 1}, {"channel": 1}]',
        b"[" + b",".join(b'{"channel": %d, "temperature": 1}' % n for n in range(17)) + b"]",
    ],
)
def test_a_list_that_is_no_report(line):
    with pytest.raises(Malformed):
        readings_of(parse(line))


REPORT = Listing([{"channel": 0, "temperature": 25.0}])
SWAP = Listing([{"channel": 0, "temperature": 25.0, "current_swapped": False}])
VREF = Listing([{"channel": 0, "temperature": 25.0, "vref": 1.5}])
SUMMARY = Listing([{"channel": 0, "i_set": 0.0}])
NO = Refusal("invalid input")


@pytest.mark.parametrize(
    ("answers", "dialect", "asked"),
    [
        ({"report": REPORT, "output": SUMMARY}, "new", ["report", "output"]),
        ({"report": REPORT, "pwm": SUMMARY}, "old", ["report", "output", "pwm"]),
        ({"report": SWAP}, "swap", ["report"]),
        ({"report": VREF}, "old", ["report", "output", "pwm"]),
        ({"report": REPORT}, "unknown", ["report", "output", "pwm"]),
        ({}, "unknown", ["report", "output", "pwm"]),
        ({"output": SUMMARY}, "new", ["report", "output"]),
        ({"report": REPORT, "output": REPORT, "pwm": REPORT}, "unknown", ["report", "output", "pwm"]),
        ({"report": Done({}), "output": Done({}), "pwm": Listing([])}, "unknown", ["report", "output", "pwm"]),
    ],
)
def test_probing(answers, dialect, asked):
    assert probed(answers) == (dialect, asked)


def test_probing_leaves_out_what_was_never_answered():
    assert probed({"report": REPORT, "pwm": SUMMARY}, frozenset({"output"})) == ("old", ["report", "pwm"])


def probed(answers, skip=frozenset()):
    """(dialect, requests) of a device that refuses everything else."""
    asking, asked = probe(skip), []
    word = next(asking)
    try:
        while True:
            asked.append(word)
            word = asking.send(answers.get(word, NO))
    except StopIteration as found:
        return found.value, asked
