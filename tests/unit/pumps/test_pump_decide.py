"""What a command would do: volumes, presets, calibrations, bounds."""

import pytest

from common.config.schema import PumpLines
from common.errors import RigbusError
from common.pumps.decide import decide
from common.pumps.limits import Use
from common.pumps.requests import Motion
from common.pumps.volume import Calibration, legacy_rate, measured

PLENTY = Use(1e12, 1e9, 1e9)


def lines(**more):
    return PumpLines(name="water", step=16, dir=6, en=17, **more)


def dose(ml, hz=None):
    return Motion("id", "dispense", ("water",), "forward", hz, None, ml)


def prime(seconds, hz=None):
    return Motion("id", "prime", ("water",), "forward", hz, seconds, None)


def test_a_volume_goes_by_steps_per_ml():
    plan = decide(dose(5), lines(steps_per_ml=3000.0), "lgpio", 10_000, None, PLENTY).plan
    assert (plan.steps, plan.ml, plan.hz) == (15_000, 5, 10_000)


def test_a_stored_calibration_wins_over_the_configuration():
    stored = Calibration(1000.0, "lgpio", "run", 1)
    assert decide(dose(5), lines(steps_per_ml=3000.0), "lgpio", 10_000, stored, PLENTY).plan.steps == 5000


def test_a_calibration_of_another_driver_does_not_count():
    stored = Calibration(1000.0, "sim", "run", 1)
    with pytest.raises(
        RigbusError, match=r"^calibration: .* driver lgpio, its calibration was made with the driver sim"
    ):
        decide(dose(5), lines(steps_per_ml=3000.0), "lgpio", 10_000, stored, PLENTY)
    # a time needs none, and its volume is not made up
    assert decide(prime(1), lines(steps_per_ml=3000.0), "lgpio", 10_000, stored, PLENTY).plan.ml is None


def test_no_calibration_no_volume():
    with pytest.raises(RigbusError, match=r"^calibration: water needs one .*rigbus pump calibrate water"):
        decide(dose(5), lines(), "lgpio", 10_000, None, PLENTY)


@pytest.mark.parametrize(
    ("hz", "rate"), [(10_000, 3.305785), (30_000, 6.414797), (50_000, 9.52381), (20_000, 4.860291)]
)
def test_the_old_presets_are_met_and_interpolated(hz, rate):
    assert legacy_rate(hz) == pytest.approx(rate)


@pytest.mark.parametrize("hz", [9_999.0, 50_001.0, 1.0])
def test_outside_of_the_old_presets_there_is_no_rate(hz):
    assert legacy_rate(hz) is None
    with pytest.raises(RigbusError, match="old presets reach from 10000 to 50000"):
        decide(dose(5, hz), lines(legacy_presets=True), "sim", 1e5, None, PLENTY)


def test_old_presets_only_where_asked_for_with_a_warning():
    decision = decide(dose(3.305785), lines(legacy_presets=True), "lgpio", 10_000, None, PLENTY)
    assert decision.plan.steps == 10_000
    assert "overdose" in decision.warning


def test_a_calibration_wins_over_old_presets():
    decision = decide(dose(1), lines(legacy_presets=True, steps_per_ml=50.0), "lgpio", 10_000, None, PLENTY)
    assert (decision.plan.steps, decision.warning) == (50, "")


def test_a_rate_that_the_driver_does_not_make():
    with pytest.raises(RigbusError, match=r"^hz: 20000 is more than the driver lgpio makes \(10000\)"):
        decide(prime(1, 20_000), lines(), "lgpio", 10_000, None, PLENTY)


@pytest.mark.parametrize(
    ("more", "motion", "rest", "why"),
    [
        ({"max_steps": 7999}, prime(1), PLENTY, "8000 steps is over max_steps = 7999"),
        ({"max_s": 0.5}, prime(1), PLENTY, "1 s is over max_s = 0.5"),
        ({"max_ml": 4.9}, dose(5), PLENTY, "5 ml is over max_ml = 4.9"),
        ({"max_ml": 2.6}, prime(1), PLENTY, "ml is over max_ml = 2.6"),
        ({}, prime(1), PLENTY._replace(steps=7999), "7999 left of max_steps_day"),
        ({}, prime(1), PLENTY._replace(seconds=0.9), "0.9 left of max_s_day"),
        ({}, dose(5), PLENTY._replace(ml=4.99), "4.99 left of max_ml_day"),
    ],
)
def test_a_run_over_a_bound_is_refused_and_not_cut(more, motion, rest, why):
    with pytest.raises(RigbusError, match=f"^limit: .*{why}"):
        decide(motion, lines(steps_per_ml=3000.0, **more), "lgpio", 10_000, None, rest)


def test_a_run_at_its_bounds_may_be():
    exact = lines(steps_per_ml=3000.0, max_steps=15_000, max_ml=5.0, max_s=1.7)
    assert decide(dose(5), exact, "lgpio", 10_000, None, Use(15_000, 1.7, 5)).plan.steps == 15_000


def test_less_than_a_step_is_no_run():
    with pytest.raises(RigbusError, match=r"^steps: 0"):
        decide(dose(1e-5), lines(steps_per_ml=3000.0), "lgpio", 10_000, None, PLENTY)


@pytest.mark.parametrize(("steps", "ml"), [(99, 1), (1000, 1000), (1000, 1e-4), (0, 1)])
def test_an_absurd_measurement_is_refused(steps, ml):
    with pytest.raises(RigbusError, match=r"^calibration: "):
        measured(steps, ml)


def test_a_measurement():
    assert measured(30_000, 9.5) == pytest.approx(3157.9, abs=0.1)


def test_only_the_simulated_motor_needs_no_calibration():
    assert decide(dose(5), lines(), "sim", 10_000, None, PLENTY).plan.steps == 15_000
    with pytest.raises(RigbusError, match="calibrat"):
        decide(dose(5), lines(), "lgpio", 10_000, None, PLENTY)
