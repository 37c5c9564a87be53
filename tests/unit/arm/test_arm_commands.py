"""What may be sent to the arm, and what is refused."""

import json
import math

import msgspec
import pytest

from common.arm import commands
from common.arm.commands import LIMITS_DEG, check, order_of
from common.arm.messages import read, targets_of
from common.errors import RigbusError

ALL_ZERO = {f"angle{joint}": 0 for joint in range(7)}


@pytest.mark.parametrize(
    ("op", "request_", "sent"),
    [
        ("joint", {"joint": 5, "angle": 60}, {"funcode": 1, "data": {"id": 5, "angle": 60.0, "delay_ms": 0}}),
        (
            "joints",
            {"angles": [0, 1, 2, 3, 4, 5, 6], "mode": 0},
            {"funcode": 2, "data": {"mode": 0, **{f"angle{i}": float(i) for i in range(7)}}},
        ),
        ("enable", {}, {"funcode": 5, "data": {"mode": 4711}}),
        ("release", {}, {"funcode": 5, "data": {"mode": 0}}),
        ("power", {"on": True}, {"funcode": 6, "data": {"power": 1}}),
        ("power", {"on": False}, {"funcode": 6, "data": {"power": 0}}),
        ("zero", {}, {"funcode": 7}),
        ("send", {"funcode": 4, "data": {"id": 6, "mode": 3}}, {"funcode": 4, "data": {"id": 6, "mode": 3}}),
        ("send", {"funcode": 7}, {"funcode": 7}),
    ],
)
def test_a_command_as_it_goes_to_the_arm(op, request_, sent):
    assert json.loads(order_of(op, request_, 4711).text(9)) == {"seq": 9, "address": 1, **sent}


@pytest.mark.parametrize("joint", range(7))
def test_each_joint_has_its_own_limit(joint):
    limit = LIMITS_DEG[joint]
    for angle in (-limit, 0, limit):
        order = check(1, {"id": joint, "angle": angle, "delay_ms": 0})
        assert targets_of(read(order.text(1))) == {joint: angle}
        assert check(2, {"mode": 1, **ALL_ZERO, f"angle{joint}": angle}).data[f"angle{joint}"] == angle
    for angle in (limit + 0.01, -limit - 0.01, math.nan, math.inf, -math.inf, 1e300):
        with pytest.raises(RigbusError, match=f"angle of joint {joint}: "):
            check(1, {"id": joint, "angle": angle, "delay_ms": 0})
        with pytest.raises(RigbusError, match=f"angle of joint {joint}: "):
            check(2, {"mode": 1, **ALL_ZERO, f"angle{joint}": angle})


def test_the_limits_are_the_manuals():
    assert [LIMITS_DEG[joint] for joint in (0, 3, 5)] == [135] * 3
    assert [LIMITS_DEG[joint] for joint in (1, 2, 4)] == [90] * 3


@pytest.mark.parametrize(
    ("funcode", "data"),
    [
        (1, {"id": 7, "angle": 0, "delay_ms": 0}),
        (1, {"id": -1, "angle": 0, "delay_ms": 0}),
        (1, {"id": 10**9, "angle": 0, "delay_ms": 0}),
        (1, {"id": 1, "angle": 0, "delay_ms": -1}),
        (1, {"id": 1, "angle": 0, "delay_ms": 60_001}),
        (2, {"mode": 2, **ALL_ZERO}),
        (2, {"mode": -1, **ALL_ZERO}),
        (4, {"id": 7, "mode": 1}),
        (4, {"id": -1, "mode": 1}),
        (5, {"mode": 80_001}),
        (5, {"mode": -1}),
        (6, {"power": 2}),
        (7, {"angle0": 1}),
        (0, None),
        (3, {"enable_status": 1}),
        (8, {}),
        (-1, {}),
    ],
)
def test_values_out_of_bounds_are_refused_in_one_line(funcode, data):
    with pytest.raises(RigbusError) as error:
        check(funcode, data)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("op", "request_"),
    [
        ("joint", {"angle": 3}),
        ("joint", {"joint": 1}),
        ("joint", {"joint": "1", "angle": 3}),
        ("joint", {"joint": 1, "angle": "3"}),
        ("joint", {"joint": 1.5, "angle": 3}),
        ("joint", {"joint": 1, "angle": None}),
        ("joints", {"angles": 3}),
        ("joints", {"angles": [0, 0, 0, 0, 0, 0, None]}),
        ("power", {"on": 1}),
        ("power", {}),
        ("send", {}),
        ("send", {"funcode": "1"}),
        ("send", {"funcode": 1, "data": [1]}),
        ("send", {"funcode": 1, "data": None}),
        ("send", {"funcode": 1, "data": {"id": 1, "angle": 3}}),
        ("send", {"funcode": 1, "data": {"id": 1, "angle": 3, "delay_ms": 0, "more": 1}}),
        ("send", {"funcode": 1, "data": {"id": True, "angle": 3, "delay_ms": 0}}),
        ("send", {"funcode": 2, "data": {"mode": 1}}),
    ],
)
def test_wrong_types_and_missing_fields_are_malformed(op, request_):
    with pytest.raises(msgspec.ValidationError):
        order_of(op, request_, 1)


@pytest.mark.parametrize("n", [0, 6, 8, 100_000])
def test_seven_angles_or_none(n):
    with pytest.raises(RigbusError, match="angles: "):
        order_of("joints", {"angles": [0.0] * n}, 1)


@pytest.mark.parametrize("bad", ["", "a b", "x" * 65, "a\n", 5])
def test_a_command_id_is_a_short_word(bad):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"command_id": bad}, commands.Identity)
