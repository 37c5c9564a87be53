"""From millilitres to steps: by a calibration made with this driver, or by the seed's old rates if that is wanted."""

from itertools import pairwise
from typing import NamedTuple

from common.config.schema import PumpLines
from common.drivers import sim_motor
from common.errors import RigbusError

# mL/s at exactly this many Hz, from AMiGA's pump presets. Measured with a stepper that missed its frequency: overdoses.
LEGACY_ML_PER_S = {10_000.0: 3.305785, 30_000.0: 6.414797, 50_000.0: 9.52381}
_KNOWN = {"sim": sim_motor.STEPS_PER_ML}  # a motor that is the same everywhere
LEAST, MOST = 10.0, 1_000_000.0  # steps per mL: outside, somebody mistook a unit
LEAST_STEPS = 100  # of a run that a calibration may rest on


class Calibration(NamedTuple):
    """steps_per_ml of one pump, the driver it was made with, and the run (command_id) and time (wall ns) it is from."""

    steps_per_ml: float
    driver: str
    command_id: str
    t_ns: int


def steps_per_ml(cfg: PumpLines, driver: str, stored: Calibration | None) -> float | None:
    """What counts now: a stored calibration, the configuration's, the simulated motor's; None: none for this driver."""
    if stored is not None:
        return stored.steps_per_ml if stored.driver == driver else None
    return cfg.steps_per_ml or (None if cfg.legacy_presets else _KNOWN.get(driver))


def measured(steps: int, ml: float) -> float:
    """steps per mL of a run whose volume was measured. Raises RigbusError where that is absurd."""
    if steps < LEAST_STEPS:
        raise RigbusError(f"calibration: the run made {steps} steps, {LEAST_STEPS} are the least to go by")
    found = steps / ml
    if not LEAST <= found <= MOST:
        raise RigbusError(f"calibration: {found:.3g} steps/mL is absurd; {LEAST:g} to {MOST:g} is sane")
    return found


def how_to_calibrate(pump: str) -> str:
    return f"run `rigbus pump prime {pump} 10s`, measure, then `rigbus pump calibrate {pump} ML`"


def legacy_rate(hz: float) -> float | None:
    """mL/s between the old presets, interpolated; None outside of them."""
    known = sorted(LEGACY_ML_PER_S.items())
    for (low, at_low), (high, at_high) in pairwise(known):
        if low <= hz <= high:
            return at_low + (at_high - at_low) * (hz - low) / (high - low)
    return None
