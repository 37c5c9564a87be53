"""Steps by the kernel's GPIO character device (uAPI v2): one line set by Python at a time, so at low rates only."""

from pathlib import Path
from typing import Self

import gpiod
from gpiod.line import Direction, Value

from common.config.schema import PumpConfig, PumpLines
from common.drivers.steppers import Count, Pacer
from common.errors import DeviceMissing

_LEVEL = {False: Value.INACTIVE, True: Value.ACTIVE}


class GpiodStepper:
    """One request for the three lines: they are had together, or not at all.

    max_hz: a step is two system calls and a sleep, about 0.15 ms of a Pi's Python; the rest is room for two pumps.
    """

    max_hz = 2000.0

    def __init__(self, cfg: PumpConfig, pump: PumpLines, run: Path) -> None:
        """Raises DeviceMissing where the chip is not there or a line is held by another process."""
        self._pump = pump
        self._where = f"pump {pump.name}: {cfg.chip} lines {pump.step}, {pump.dir}, {pump.en}"
        self._en_active, self._forward = pump.en_active == "high", pump.dir_forward == "high"
        levels = {pump.step: False, pump.dir: self._forward, pump.en: not self._en_active}
        settings = {
            line: gpiod.LineSettings(direction=Direction.OUTPUT, output_value=_LEVEL[level])
            for line, level in levels.items()
        }
        try:
            self._request = gpiod.request_lines(cfg.chip, consumer=f"rigbus-{pump.name}"[:31], config=settings)
        except (OSError, ValueError) as e:
            raise DeviceMissing(f"{self._where}: {getattr(e, 'strerror', None) or e}") from None
        self._open = True
        self._pacer = Pacer(self._step, lambda on: self._set(self._pump.en, on == self._en_active))

    def _set(self, line: int, level: bool) -> None:
        try:
            self._request.set_value(line, _LEVEL[level])
        except OSError as e:
            raise DeviceMissing(f"{self._where}: {e.strerror}") from None

    def _step(self, n: int, first_ns: int, period_ns: int) -> None:
        # the call itself holds the level for longer than the 100 ns that a TMC2209 asks for
        self._set(self._pump.step, True)
        self._set(self._pump.step, False)

    def enable(self, forward: bool, count: Count) -> None:
        self._set(self._pump.dir, forward == self._forward)
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
            try:
                self.release()
            finally:
                self._open = False
                self._request.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
