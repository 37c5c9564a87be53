"""What a command would do to one pump: its plan, or why not. Pure."""

from typing import NamedTuple

from common.config.schema import PumpLines
from common.errors import RigbusError
from common.pumps.limits import Use, refusal
from common.pumps.plan import Plan, for_steps, steps_in
from common.pumps.requests import Motion
from common.pumps.volume import Calibration, how_to_calibrate, legacy_rate, steps_per_ml

MAX_STEPS = 2**53  # counts stay exact as floats


class Decision(NamedTuple):
    """warning: what the user is told, and the log; "" for nothing."""

    plan: Plan
    warning: str = ""


def decide(
    motion: Motion, cfg: PumpLines, driver: str, max_hz: float, stored: Calibration | None, rest: Use
) -> Decision:
    """rest: what is left of the day. Raises RigbusError, whose first word says of what kind the refusal is."""
    hz = motion.hz or cfg.hz
    if hz > max_hz:
        raise RigbusError(f"hz: {hz:g} is more than the driver {driver} makes ({max_hz:g})")
    known, warning = steps_per_ml(cfg, driver, stored), ""
    if motion.seconds is not None:
        steps = steps_in(motion.seconds, hz, cfg.ramp_s)
        ml = steps / known if known else None
    elif known:
        ml = motion.ml
        steps = round((ml or 0.0) * known)
    else:
        ml = motion.ml or 0.0
        steps = round(hz * ml / _legacy(cfg, driver, hz, stored))
        warning = f"{cfg.name}: {ml:g} mL by the old presets, which overdose; calibrate: {how_to_calibrate(cfg.name)}"
    if not 1 <= steps <= MAX_STEPS:
        raise RigbusError(f"steps: {steps} at {hz:g} Hz is no run")
    plan = for_steps(steps, hz, cfg.ramp_s, ml)
    if (why := refusal(cfg, plan, rest)) is not None:
        raise RigbusError(why)
    return Decision(plan, warning)


def _legacy(cfg: PumpLines, driver: str, hz: float, stored: Calibration | None) -> float:
    """mL/s of the seed's presets, where the configuration asks for them."""
    if not cfg.legacy_presets:
        made = f"its calibration was made with the driver {stored.driver}" if stored else "it has none"
        raise RigbusError(
            f"calibration: {cfg.name} needs one made with the driver {driver}, {made}: {how_to_calibrate(cfg.name)}"
        )
    rate = legacy_rate(hz)
    if rate is None:
        raise RigbusError(f"calibration: the old presets reach from 10000 to 50000 Hz, {hz:g} is outside")
    return rate
