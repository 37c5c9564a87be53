"""The simulated arm behaves as the real one was seen to, oddities included."""

import json

import pytest

from common.arm.commands import Order, check
from common.sims.arm_model import REST, ArmModel


@pytest.fixture
def arm():
    return ArmModel()


def send(arm, funcode, data, now, seq=5):
    return [json.loads(text) for text in arm.command(Order(funcode, data).text(seq), now)]


def test_a_move_takes_its_delay(arm):
    send(arm, 1, {"id": 1, "angle": -60.0, "delay_ms": 2000}, 10.0)
    assert [arm.angles(t)[1] for t in (10.0, 11.0, 12.0, 99.0)] == [-80.0, -70.0, -60.0, -60.0]
    assert arm.angles(99.0)[2] == REST[2]


def test_both_acknowledgements_come_at_once_with_the_number(arm):
    acks = send(arm, 1, {"id": 1, "angle": -60.0, "delay_ms": 2000}, 0.0, seq=77)
    assert acks == [
        {"seq": 77, "address": 3, "funcode": 1, "data": {"recv_status": 1}},
        {"seq": 77, "address": 3, "funcode": 2, "data": {"exec_status": 1}},
    ]
    assert arm.angles(0.0)[1] == REST[1]


def test_a_new_target_pre_empts_the_old(arm):
    send(arm, 1, {"id": 1, "angle": -60.0, "delay_ms": 2000}, 0.0)
    send(arm, 1, {"id": 1, "angle": -80.0, "delay_ms": 1000}, 1.0)
    assert [arm.angles(t)[1] for t in (1.0, 1.5, 2.0)] == [-70.0, -75.0, -80.0]


def test_the_same_number_again_is_one_more_motion(arm):
    send(arm, 1, {"id": 1, "angle": -60.0, "delay_ms": 100}, 0.0, seq=5)
    send(arm, 1, {"id": 1, "angle": -80.0, "delay_ms": 100}, 1.0, seq=6)
    send(arm, 1, {"id": 1, "angle": -60.0, "delay_ms": 100}, 2.0, seq=5)
    assert (arm.moves, arm.angles(9.0)[1]) == (3, -60.0)


def test_all_joints_and_zero(arm):
    send(arm, 2, check(2, {"mode": 1, **{f"angle{i}": float(i) for i in range(7)}}).data, 0.0)
    assert arm.angles(60.0) == [0, 1, 2, 3, 4, 5, 6]
    send(arm, 7, None, 60.0)
    assert arm.angles(99.0) == [0.0] * 7


def test_power_off_is_acknowledged_and_cuts_nothing(arm):
    assert len(send(arm, 6, {"power": 0}, 0.0)) == 2
    assert json.loads(arm.state_text())["data"]["power_status"] == 1
    send(arm, 1, {"id": 1, "angle": -60.0, "delay_ms": 0}, 0.0)
    assert arm.angles(1.0)[1] == -60.0


@pytest.mark.parametrize(("mode", "enabled"), [(1, 0), (0, 0), (999, 0), (1000, 1), (80_000, 1)])
def test_low_modes_leave_it_released(arm, mode, enabled):
    send(arm, 5, {"mode": mode}, 0.0)
    assert json.loads(arm.state_text())["data"]["enable_status"] == enabled


def test_a_released_arm_acknowledges_and_does_not_move(arm):
    send(arm, 5, {"mode": 0}, 0.0)
    assert len(send(arm, 1, {"id": 1, "angle": -60.0, "delay_ms": 0}, 0.0)) == 2
    assert arm.angles(9.0)[1] == REST[1]


def test_enabled_again_it_runs_to_its_old_target(arm):
    send(arm, 5, {"mode": 0}, 0.0)
    arm.push(1, -20.0)
    assert arm.angles(1.0)[1] == -20.0
    send(arm, 5, {"mode": 80_000}, 1.0)
    assert arm.angles(1.0)[1] == -20.0
    assert arm.angles(99.0)[1] == REST[1]


def test_a_hand_does_not_move_an_enabled_arm(arm):
    arm.push(1, -20.0)
    assert arm.angles(1.0)[1] == REST[1]


@pytest.mark.parametrize("joint", [7, -1])
def test_a_joint_that_is_not_there_is_acknowledged_and_silences_the_angles(arm, joint):
    assert len(send(arm, 1, {"id": joint, "angle": 1.0, "delay_ms": 0}, 0.0)) == 2
    assert arm.silent


@pytest.mark.parametrize("text", ["", "x", "[]", '{"address":2,"funcode":1,"seq":1}', '{"address":1,"funcode":1}'])
def test_what_it_cannot_read_it_ignores(arm, text):
    assert arm.command(text, 0.0) == []
    assert arm.angles(0.0) == list(REST)


def test_what_it_says_of_itself(arm):
    assert json.loads(arm.angles_text(0.0)) == {
        "seq": 10, "address": 2, "funcode": 1, "data": {f"angle{i}": angle for i, angle in enumerate(REST)},
    }  # fmt: skip
    motors = json.loads(arm.motors_text())
    assert (motors["funcode"], set(motors["data"])) == (4, {f"motor{i}_status" for i in range(7)})
