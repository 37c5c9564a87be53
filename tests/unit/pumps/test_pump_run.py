"""One run against a stepper of the test's own: what ends it, in which order, and with which count."""

import threading
import time

import pytest

from common.drivers.steppers import Stalled
from common.errors import DeviceMissing
from common.pumps.plan import for_steps
from common.pumps.run import LEASE_S, Run


class Lines:
    """A stepper that takes no time: `at` is called with the steps so far."""

    max_hz = 1e6

    def __init__(self, at=lambda steps: None):
        self.log, self.count, self.enabled, self._at = [], [0], False, at

    def enable(self, forward, count):
        self.log.append(("enable", forward))
        self.count, self.enabled = count, True

    def train(self, steps, hz):
        if self.enabled:
            self.count[0] += steps
            self._at(self.count[0])

    def release(self):
        self.log.append("release")
        self.enabled = False

    def finish(self):
        self.log.append("finish")


def go(stepper, steps=1000, *, lease=time.monotonic, stop=None, started=lambda: None):
    run = Run(stepper, for_steps(steps, 10_000, 0.01, None), True, lease)
    if stop:
        run.stop(stop)
    return run.go([0], started), run


def test_it_makes_its_steps_and_leaves_en_inactive():
    stepper, begun = Lines(), []
    outcome, _ = go(stepper, started=lambda: begun.append(stepper.enabled))
    assert (outcome.reason, outcome.steps) == (None, 1000)
    assert begun == [True]
    assert stepper.log == [("enable", True), "release", "finish"]


def test_stopped_before_it_began_nothing_is_powered():
    stepper = Lines()
    outcome, _ = go(stepper, stop="estop")
    assert (outcome.reason, outcome.steps) == ("estop", 0)
    assert ("enable", True) not in stepper.log


def test_a_stop_from_another_thread_ends_it_and_the_first_reason_counts():
    def stop(steps):
        if steps >= 300:
            thread = threading.Thread(target=lambda: (runs[0].stop("user"), runs[0].stop("estop")))
            thread.start()
            thread.join()

    stepper = Lines(stop)
    runs = [Run(stepper, for_steps(1000, 10_000, 0.01, None), True, time.monotonic)]
    outcome = runs[0].go([0], lambda: None)
    assert (outcome.reason, stepper.enabled) == ("user", False)
    assert 300 <= outcome.steps < 1000


def test_without_the_main_loop_it_ends():
    beat = [time.monotonic()]

    def hang(steps):
        if steps > 300:
            beat[0] -= LEASE_S

    stepper = Lines(hang)
    outcome, _ = go(stepper, lease=lambda: beat[0])
    assert outcome.reason == "stalled"
    assert 300 < outcome.steps < 800


def test_it_ends_at_its_time_however_few_steps_were_made():
    """A driver that is ten times too slow."""
    stepper = Lines(lambda steps: time.sleep(0.2))
    begun = time.monotonic()
    outcome, run = go(stepper, 1000)
    assert outcome.reason == "limit"
    assert outcome.steps < 1000
    assert time.monotonic() - begun < 5 * (run.plan.end_s + 0.2)


@pytest.mark.parametrize(("error", "reason"), [(Stalled("x"), "stalled"), (DeviceMissing("x"), "device")])
def test_a_driver_that_fails_ends_it(error, reason):
    def fail(steps):
        if steps > 300:
            raise error

    stepper = Lines(fail)
    outcome, _ = go(stepper)
    assert outcome.reason == reason
    assert stepper.log[-2:] == ["release", "finish"]


def test_lines_that_are_gone_are_told():
    class Gone(Lines):
        def release(self):
            raise DeviceMissing("the chip was pulled out")

    outcome, run = go(Gone())
    assert (outcome.reason, outcome.steps) == ("device", 1000)
    run.stop("user")  # raises nothing


def test_a_fault_of_ours_still_releases_en():
    def fault(steps):
        raise ZeroDivisionError

    stepper = Lines(fault)
    with pytest.raises(ZeroDivisionError):
        go(stepper)
    assert not stepper.enabled


@pytest.mark.parametrize("step_s", [-86_400, 86_400])
def test_setting_the_wall_clock_in_a_run_changes_nothing(monkeypatch, step_s):
    real, shift = time.time_ns, [0]
    monkeypatch.setattr(time, "time_ns", lambda: real() + shift[0])
    monkeypatch.setattr(time, "time", lambda: (real() + shift[0]) / 1e9)

    def step(steps):
        if steps > 500:
            shift[0] = step_s * 10**9

    outcome, _ = go(Lines(step))
    assert (outcome.reason, outcome.steps) == (None, 1000)
