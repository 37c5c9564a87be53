"""Steps by lgpio: counted pulse trains, made by a thread of the library in C, fed in chunks through its queue."""

import os
import time
from pathlib import Path
from typing import Any, Self

from common.config.schema import PumpConfig, PumpLines
from common.drivers import lgpio_folder
from common.drivers.steppers import STALL_S, Count, Stalled
from common.errors import DeviceMissing

lgpio_folder.own()

import lgpio  # noqa: E402

_QUEUE = 10  # LG_TX_BUF in lgPthTx.h
_AHEAD = 2  # chunks in the queue, the one that is being sent included: 40 ms
_LOOK_S = 0.002
_FINISH_S = 0.1
_HIGH_US = 1000  # a slow step is not high for longer
_LEAST_US = 11  # a pulse has to be longer than lgMinTxDelay


class LgpioStepper:
    """max_hz: the bound that lgpio itself sets for its software-timed pulses (lgTxPwm).

    A chunk that is in the queue is always sent to its end, so that the count is exact; after release() the motor does
    not see it. The library's thread gets the real-time priority that the configuration names for stepping.
    """

    max_hz = 10_000.0

    def __init__(self, cfg: PumpConfig, pump: PumpLines, run: Path) -> None:
        """Raises DeviceMissing where the chip is not there or a line is held by another process."""
        self._pump = pump
        self._where = f"pump {pump.name}: {cfg.chip} lines {pump.step}, {pump.dir}, {pump.en}"
        self._en_active, self._forward = pump.en_active == "high", pump.dir_forward == "high"
        self._count: Count = [0]
        self._released = True
        self._seen = 0.0
        self._sent_at = 0.0  # when the queue should be empty
        self._chunks: list[int] = []  # steps of those in the queue, oldest first
        if not cfg.chip.startswith("/dev/gpiochip") or not cfg.chip.removeprefix("/dev/gpiochip").isdecimal():
            raise DeviceMissing(f"{self._where}: lgpio opens /dev/gpiochipN only")
        number = int(cfg.chip.removeprefix("/dev/gpiochip"))
        with _Priority(cfg.priority):  # the library starts its thread here, and it inherits
            self._chip = self._call(lgpio.gpiochip_open, number)
        try:
            # EN first: nothing moves while the others are set up
            for line, level in ((pump.en, not self._en_active), (pump.step, False), (pump.dir, self._forward)):
                self._call(lgpio.gpio_claim_output, self._chip, line, int(level))
        except DeviceMissing:
            lgpio.gpiochip_close(self._chip)
            raise
        self._open = True

    def _call(self, function: Any, *args: Any) -> int:
        try:
            return int(function(*args))
        except Exception as e:  # lgpio.error is none of the usual ones
            raise DeviceMissing(f"{self._where}: {e}") from None

    def _set_en(self, on: bool) -> None:
        self._call(lgpio.gpio_write, self._chip, self._pump.en, int(on == self._en_active))

    def enable(self, forward: bool, count: Count) -> None:
        self._count, self._released, self._chunks = count, False, []
        self._seen = time.monotonic()
        self._call(lgpio.gpio_write, self._chip, self._pump.dir, int(forward == self._forward))
        self._set_en(True)

    def train(self, steps: int, hz: float) -> None:
        if steps <= 0 or self._released:
            return  # to the library, 0 pulses are pulses without end
        self._look()
        while len(self._chunks) >= _AHEAD and not self._released:
            time.sleep(_LOOK_S)
            self._look()
        period_us = max(_LEAST_US, round(1e6 / hz))
        if not self._released:
            high_us = min(_HIGH_US, period_us // 2)
            self._sent_at = max(time.monotonic(), self._sent_at) + steps * period_us / 1e6
            self._call(lgpio.tx_pulse, self._chip, self._pump.step, high_us, period_us - high_us, 0, steps)
            self._chunks.append(steps)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._seen > STALL_S:
            raise Stalled(f"the stepping stood still for {now - self._seen:.2f} s")
        self._seen = now
        self._tick_off()

    def _tick_off(self) -> None:
        busy = self._call(lgpio.tx_busy, self._chip, self._pump.step, lgpio.TX_PWM)
        queued = _QUEUE - self._call(lgpio.tx_room, self._chip, self._pump.step, lgpio.TX_PWM) if busy else 0
        while len(self._chunks) > queued:
            self._count[0] += self._chunks.pop(0)

    def release(self) -> None:
        self._released = True
        if self._open:
            self._set_en(False)

    def finish(self) -> None:
        end = max(time.monotonic(), self._sent_at) + _FINISH_S
        while self._chunks and time.monotonic() < end:
            self._tick_off()
            time.sleep(_LOOK_S)

    def close(self) -> None:
        if self._open:
            try:
                self.release()
            finally:
                self._open = False
                lgpio.gpiochip_close(self._chip)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Priority:
    """SCHED_FIFO for the calling thread and what it starts, as long as it lasts; without the right to it, nothing."""

    def __init__(self, priority: int) -> None:
        self._priority = priority

    def __enter__(self) -> None:
        if self._priority:
            try:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(self._priority))
            except OSError:
                pass  # the pump's own thread says so

    def __exit__(self, *exc: object) -> None:
        if self._priority:
            try:
                os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            except OSError:
                pass
