"""Arrival is judged by angles; staleness by their age."""

import math

import pytest

from common.arm.tracker import CHASE_DEG, GRACE_S, UNTIMED_S, Tracker

S = 1_000_000_000
AT = [0.0, -80.0, 80.0, 0.0, 0.0, 0.0, 10.0]


def placed(**changes):
    return [changes.get(f"j{joint}", angle) for joint, angle in enumerate(AT)]


@pytest.fixture
def tracker():
    return Tracker(1.0, range(6))


def test_one_joint_arrives_when_its_angle_does(tracker):
    tracker.heard(AT, 0)
    tracker.commanded("a", {1: -70.0}, 0.5, 0)
    assert tracker.heard(placed(j1=-75.0), S) == []
    assert tracker.heard(placed(j1=-70.4), S) == [("a", "arrived", "")]
    assert tracker.heard(placed(j1=-70.0), S) == []
    assert tracker.tick(100 * S) == []


def test_all_joints_must_be_there(tracker):
    tracker.commanded("a", dict(enumerate(AT)), None, 0)
    assert tracker.heard(placed(j0=1.5), S) == []
    assert tracker.heard(placed(j0=None), S) == []
    assert [judged.verdict for judged in tracker.heard(AT, S)] == ["arrived"]


def test_a_move_that_does_not_come_is_told_with_where_it_stands(tracker):
    tracker.commanded("a", {1: -70.0}, 0.5, 0)
    tracker.heard(AT, S)
    assert tracker.tick(round((0.5 + GRACE_S) * S) - 1) == []
    (judged,) = tracker.tick(round((0.5 + GRACE_S) * S))
    assert judged == ("a", "not_arrived", "joint 1 at -80.0, target -70.0")


def test_without_angles_nothing_is_judged(tracker):
    tracker.heard(AT, 0)
    tracker.commanded("a", {1: -80.0}, None, 0)
    (judged,) = tracker.tick(round(UNTIMED_S * S))
    assert judged.verdict == "unjudged"


def test_angles_from_before_the_command_do_not_count(tracker):
    tracker.heard(placed(j1=-70.0), 0)
    tracker.commanded("a", {1: -70.0}, 0.5, 0)
    assert tracker.tick(1) == []
    assert tracker.heard(placed(j1=-70.0), 1)[0].verdict == "arrived"


def test_a_new_target_pre_empts_the_old(tracker):
    tracker.commanded("a", {1: -70.0, 2: 70.0}, 0.5, 0)
    assert tracker.commanded("other joint", {3: 1.0}, 0.5, 0) == []
    assert tracker.commanded("b", {2: 60.0}, 0.5, 0) == ["a"]
    assert {judged.name for judged in tracker.tick(100 * S)} == {"other joint", "b"}


def test_moves_do_not_pile_up(tracker):
    for n in range(1000):
        tracker.commanded(str(n), {n % 6: 1.0}, None, 0)
    assert len(tracker.tick(100 * S)) == 6


def test_the_gripper_is_judged_only_where_its_unit_is_known(tracker):
    tracker.commanded("g", {6: 99.0}, 0.0, 0)
    assert tracker.tick(100 * S) == []
    assert tracker.targets == {6: 99.0}
    known = Tracker(1.0, range(7))
    known.commanded("g", {6: 99.0}, 0.0, 0)
    assert known.heard(placed(j6=99.0), 1)[0].verdict == "arrived"


def test_staleness_is_the_age_of_the_newest_angles(tracker):
    tracker.tick(0)
    assert (tracker.fresh, tracker.age_s(0)) == (None, None)
    tracker.tick(S + 1)
    assert tracker.fresh is False
    tracker.heard(AT, 2 * S)
    tracker.tick(2 * S)
    assert (tracker.fresh, tracker.age_s(5 * S)) == (True, 3.0)
    tracker.tick(3 * S)
    assert tracker.fresh is True
    tracker.tick(3 * S + 1)
    assert tracker.fresh is False


def test_a_reading_without_any_angle_refreshes_nothing(tracker):
    tracker.heard(AT, 0)
    tracker.heard([None] * 7, 5 * S)
    tracker.tick(5 * S)
    assert (tracker.fresh, tracker.angles) == (False, AT)


def test_what_an_enable_would_run_to(tracker):
    assert tracker.chase() == {}
    tracker.commanded("a", {1: -70.0, 2: 80.0 + CHASE_DEG, 6: 90.0}, 0.0, 0)
    assert tracker.chase() == {}
    tracker.heard(AT, 0)
    assert tracker.chase() == {1: 10.0}
    tracker.heard(placed(j1=None), 0)
    assert tracker.chase() == {}
    assert math.isfinite(CHASE_DEG)
