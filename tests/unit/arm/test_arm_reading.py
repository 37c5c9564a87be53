"""The arm's JSON: what each message is depends on its address first."""

import json
import math

import pytest
from msgspec import UNSET

from common import frames
from common.arm import messages
from common.arm.messages import MAX_TEXT, NO_FUNCODE
from common.arm.recorder import seconds_of


def text(address, funcode, data=None, seq=10, **more):
    return json.dumps({"seq": seq, "address": address, "funcode": funcode, "data": data, **more})


@pytest.mark.parametrize(
    ("address", "funcode", "kind"),
    [
        (2, 1, "angles"),
        (2, 3, "state"),
        (2, 4, "motors"),
        (3, 1, "received"),
        (3, 2, "executed"),
        (1, 1, "unknown"),
        (2, 2, "unknown"),
        (3, 3, "unknown"),
    ],
)
def test_the_kind_is_told_by_address_and_function_code(address, funcode, kind):
    assert messages.read(text(address, funcode, {})).kind == kind


def test_angles_are_read_and_what_is_missing_is_none_not_zero():
    frame = messages.feedback(messages.read(text(2, 1, {"angle0": 1.5, "angle2": -3, "angle6": None, "angle5": "2"})))
    assert frame.angles == [1.5, None, -3.0, None, None, None, None]
    assert frame.status is UNSET
    assert frame.data == {"angle0": 1.5, "angle2": -3, "angle6": None, "angle5": "2"}


@pytest.mark.parametrize(("funcode", "name"), [(1, "recv_status"), (2, "exec_status")])
def test_an_acknowledgement_never_has_angles(funcode, name):
    frame = messages.feedback(messages.read(text(3, funcode, {name: 1}, seq=77)), "abc")
    assert (frame.angles, frame.status) == (UNSET, {name: 1})
    assert (frame.address, frame.funcode, frame.arm_seq, frame.correlation_id) == (3, funcode, 77, "abc")


def test_state_keeps_whole_numbers_and_the_rest_stays_in_data():
    data = {"enable_status": 1, "power_status": True, "error_status": "E7", "motor": 2**62}
    frame = messages.feedback(messages.read(text(2, 3, data)))
    assert frame.status == {"enable_status": 1, "motor": 2**62}
    assert frame.data == data


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "nonsense",
        "[1,2]",
        "7",
        "null",
        "{",
        '{"address":2}',
        '{"address":"2","funcode":1}',
        '{"address":2,"funcode":true}',
        '{"address":2,"funcode":1.0}',
        '{"address":2,"funcode":99999999999999999999}',
        '{"address":2,"funcode":1,"data":{"angle0":NaN}}',
        '{"address":2,"funcode":1,"data":{"angle0":1e999}}',
        "[" * 3000,
        '{"a":' * 40 + "1" + "}" * 40,
        "x\udcff\x00",
    ],
)
def test_what_is_no_message_is_recorded_as_it_came(odd):
    message = messages.read(odd)
    assert (message.kind, message.funcode, message.address) == ("malformed", NO_FUNCODE, None)
    frame = messages.feedback(message)
    assert (frame.angles, frame.status, frame.address) == (UNSET, UNSET, UNSET)
    frame.node = frame.src = "x"
    frame.run = "0" * 16
    assert frames.decode(frames.encode(frame)) == frame
    assert json.loads(odd) == frame.data if isinstance(frame.data, dict) else isinstance(frame.data, str)


def test_a_long_text_is_cut_and_its_length_told():
    message = messages.read('{"address":2,"funcode":1,"data":"' + "ä" * 1_000_000 + '"}')
    assert message.kind == "malformed"
    assert len(message.data) == MAX_TEXT
    assert message.raw_len == 2_000_000 + 35


def test_further_members_are_kept_with_the_whole_message():
    whole = text(2, 1, {"angle0": 1}, extra=[1])
    frame = messages.feedback(messages.read(whole))
    assert frame.data == json.loads(whole)
    assert frame.angles[0] == 1.0


def test_numbers_beyond_64_bit_leave_no_frame_that_cannot_be_stored():
    message = messages.read(text(2, 1, {"angle0": 2**64, "angle1": 5}))
    assert message.kind == "malformed"
    assert isinstance(message.data, str)


def test_servo_angles_have_no_address_and_no_made_up_numbers():
    frame = messages.servo_feedback([1.0, math.nan, math.inf, -math.inf, 0.0, 5.5, 6.0])
    assert frame.angles == [1.0, None, None, None, 0.0, 5.5, 6.0]
    assert (frame.funcode, frame.address) == (1, UNSET)


def test_a_command_shows_what_it_moves():
    one = messages.command(messages.read(text(1, 1, {"id": 5, "angle": 60, "delay_ms": 0}, seq=4)), "c")
    assert (one.joint_id, one.target_value, one.arm_seq, one.correlation_id) == (5, 60.0, 4, "c")
    every = messages.command(messages.read(text(1, 2, {"mode": 1, **{f"angle{i}": i for i in range(7)}})))
    assert every.angles == [0, 1, 2, 3, 4, 5, 6]
    assert (every.joint_id, every.target_value) == (UNSET, UNSET)


@pytest.mark.parametrize(
    ("message", "targets"),
    [
        (text(1, 1, {"id": 5, "angle": 60}), {5: 60.0}),
        (text(1, 2, {"mode": 0, "angle0": 1, "angle3": -2.5}), {0: 1.0, 3: -2.5}),
        (text(1, 7), dict.fromkeys(range(7), 0.0)),
        (text(1, 1, {"id": 7, "angle": 60}), {}),
        (text(1, 1, {"id": -1, "angle": 60}), {}),
        (text(1, 1, {"id": True, "angle": 60}), {}),
        (text(1, 1, {"id": 5}), {}),
        (text(2, 1, {"id": 5, "angle": 60}), {}),
        (text(1, 5, {"mode": 1}), {}),
        ("junk", {}),
    ],
)
def test_both_commands_that_move_and_zero_have_targets(message, targets):
    assert messages.targets_of(messages.read(message)) == targets


@pytest.mark.parametrize(
    ("delay_ms", "seconds"), [(500, 0.5), (0, 0.0), (1e308, None), (-1, None), ("x", None), (60_001, None)]
)
def test_a_strangers_duration_is_one_that_can_be_or_none(delay_ms, seconds):
    data = {"id": 2, "angle": 3, "delay_ms": delay_ms}
    message = messages.read(json.dumps({"seq": 5, "address": 1, "funcode": 1, "data": data}))
    assert seconds_of(message) == seconds
