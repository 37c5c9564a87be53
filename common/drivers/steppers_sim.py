"""A simulated stepper: its pulses go to a motor in a file of the run folder (sim_motor.py), which counts for itself."""

from pathlib import Path
from typing import Self

from common.config.schema import PumpConfig, PumpLines
from common.drivers.sim_motor import PREFIX, SimMotor
from common.drivers.steppers import Count, Pacer
from common.errors import DeviceMissing
from common.paths import Lock, is_held

_TICK_S = 0.001  # the edges of a millisecond are written together, each with its own time


class SimStepper:
    """As a real chip's lines, its motor belongs to one process at a time."""

    max_hz = 100_000.0

    def __init__(self, cfg: PumpConfig, pump: PumpLines, run: Path) -> None:
        """Raises DeviceMissing where another process holds the motor."""
        self._en_active, self._forward = pump.en_active == "high", pump.dir_forward == "high"
        path, lock = run / f"{PREFIX}{pump.name}", run / f".{PREFIX}{pump.name}.lock"
        if is_held(lock):
            raise DeviceMissing(f"pump {pump.name}: {path}: held by another process")
        self._lock = Lock(lock)
        try:
            self._motor = SimMotor(path, en_active=self._en_active, dir_forward=self._forward)
        except OSError as e:
            self._lock.release()
            raise DeviceMissing(f"pump {pump.name}: {path}: {e.strerror}") from None
        self._open = True
        self._pacer = Pacer(self._motor.step, lambda on: self._motor.set_en(on == self._en_active), _TICK_S)
        self.release()

    def enable(self, forward: bool, count: Count) -> None:
        self._motor.set_dir(forward == self._forward)
        self._pacer.enable(count)

    def train(self, steps: int, hz: float) -> None:
        self._pacer.train(steps, hz)

    def release(self) -> None:
        if self._open:
            self._pacer.release()

    def finish(self) -> None:
        pass

    def close(self) -> None:
        if self._open:
            self.release()
            self._open = False
            self._motor.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
