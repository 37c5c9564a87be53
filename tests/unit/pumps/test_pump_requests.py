"""Requests: what is taken, and what is not."""

import msgspec
import pytest

from common.pumps.requests import DIRECTIONS, Calibrate, aimed_at, motion, take

PRIME = {"op": "prime", "id": 1, "command_id": "a", "pump": "water", "seconds": 2}


def test_a_motion():
    found = motion("prime", PRIME | {"new_field": 1})
    assert (found.pumps, found.seconds, found.ml, found.hz, found.direction) == (("water",), 2.0, None, None, "forward")


@pytest.mark.parametrize("word", list(DIRECTIONS))
def test_directions_have_aliases(word):
    forward = word in ("fwd", "forward", "cw")
    assert forward or word in ("rev", "reverse", "ccw", "back")
    assert motion("prime", PRIME | {"direction": word}).direction == ("forward" if forward else "reverse")


def test_the_same_request_has_the_same_text_whatever_the_order_and_the_word():
    one = motion("prime", {"command_id": "a", "pumps": ["b", "a"], "seconds": 2, "direction": "cw"})
    other = motion("prime", {"command_id": "z", "pumps": ["a", "b"], "seconds": 2.0})
    assert one.text == other.text
    assert one.text != motion("prime", {"command_id": "a", "pumps": ["a", "b"], "seconds": 3}).text
    assert one.text != motion("prime", {"command_id": "a", "pumps": ["a", "b"], "seconds": 2, "hz": 10}).text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("key", ["seconds", "hz"])
def test_no_number_that_is_none(key, value):
    with pytest.raises(msgspec.ValidationError):
        motion("prime", PRIME | {key: value})


def test_a_calibration_may_leave_out_all_but_the_pump():
    assert take(Calibrate, {"pump": "water"}).ml is None


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (PRIME | {"seconds": -1}, ("a", ["water"])),
        (PRIME | {"pump": None, "pumps": ["water", "food"]}, ("a", ["water", "food"])),
        (PRIME | {"command_id": 7}, None),
        (PRIME | {"pump": "beer"}, None),
        (PRIME | {"pump": ["water"]}, None),
        ({}, None),
    ],
)
def test_whom_a_malformed_request_was_aimed_at(request_, expected):
    assert aimed_at(request_, {"water": 1, "food": 1}) == expected


def test_a_malformed_request_is_aimed_at_each_pump_once():
    request = {"command_id": "x", "pumps": ["water"] * 140_000 + ["food"], "seconds": "x"}
    assert aimed_at(request, {"water": 1, "food": 2}) == ("x", ["water", "food"])
