"""Steps by the RPi.GPIO API (the original, or rpi-lgpio): one call a level, so at low rates only."""

from pathlib import Path
from typing import Any, Self

from common.config.schema import PumpConfig, PumpLines
from common.drivers import lgpio_folder
from common.drivers.steppers import Count, Pacer
from common.errors import DeviceMissing

lgpio_folder.own()

import RPi.GPIO as GPIO  # noqa: E402


class RpiGpioStepper:
    """The API knows no chip: `chip` is not looked at, lines are BCM numbers.

    max_hz: half of what `gpiod` does, as rpi-lgpio puts more Python around each call.
    """

    max_hz = 1000.0

    def __init__(self, cfg: PumpConfig, pump: PumpLines, run: Path) -> None:
        """Raises DeviceMissing where a line cannot be had."""
        self._pump = pump
        self._where = f"pump {pump.name}: GPIO {pump.step}, {pump.dir}, {pump.en}"
        self._en_active, self._forward = pump.en_active == "high", pump.dir_forward == "high"
        self._mine: list[int] = []
        GPIO.setwarnings(False)
        GPIO.setmode(GPIO.BCM)
        # EN first: nothing moves while the others are set up
        for line, level in ((pump.en, not self._en_active), (pump.step, False), (pump.dir, self._forward)):
            self._call(GPIO.setup, line, GPIO.OUT, initial=int(level))
            self._mine.append(line)
        self._pacer = Pacer(self._step, lambda on: self._call(GPIO.output, pump.en, int(on == self._en_active)))

    def _call(self, function: Any, *args: Any, **more: Any) -> None:
        try:
            function(*args, **more)
        except Exception as e:  # the library raises RuntimeError, OSError and lgpio.error, which is none of them
            raise DeviceMissing(f"{self._where}: {e}") from None

    def _step(self, n: int, first_ns: int, period_ns: int) -> None:
        self._call(GPIO.output, self._pump.step, 1)
        self._call(GPIO.output, self._pump.step, 0)

    def enable(self, forward: bool, count: Count) -> None:
        self._call(GPIO.output, self._pump.dir, int(forward == self._forward))
        self._pacer.enable(count)

    def train(self, steps: int, hz: float) -> None:
        self._pacer.train(steps, hz)

    def release(self) -> None:
        if self._mine:
            self._pacer.release()

    def finish(self) -> None:
        pass

    def close(self) -> None:
        """The API's cleanup makes the lines inputs: a pull-up on EN keeps it inactive (docs/safety.md)."""
        if self._mine:
            try:
                self.release()
            finally:
                mine, self._mine = self._mine, []
                GPIO.cleanup(mine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
