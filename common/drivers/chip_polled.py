"""Samples read one by one, at the deadlines of the daemon's loop."""

from typing import Literal, Self

from common.drivers.chips import Chip, Outage, failed, mend, wake
from common.drivers.i2c import Port, steadily
from common.drivers.samplers import Block, Lost
from common.errors import RigbusError

_TELL_NS = 60_000_000_000
_LOOKS = 4  # a deadline's, over three quarters of the chip's own step
_LONGEST_WAIT_S = 0.001


class PolledSampler:
    """Takes a configured chip; a Sampler of common/drivers/samplers.py. A deadline without a sample is one lost."""

    unit = "g"
    dtype: Literal["<i2", "<f4"] = "<i2"
    rate_hz: float

    def __init__(self, chip: Chip, rate_hz: float, port: Port) -> None:
        """Wakes the chip, which is faster than the polling, so that no sample is read twice.

        Raises ConfigError and DeviceMissing, as wake() does.
        """
        self.axes = ["x", "y", "z"]
        self.scale = chip.scale
        self.rate_hz, self.period_s = rate_hz, 1 / rate_hz
        self._chip, self._now, self._wait = chip, port.now_ns, port.wait
        self._outage: Outage | None = None
        self._step_ns = round(1e9 / rate_hz)
        self._stale = 0
        wake(chip, port.now_ns)

    @property
    def fault(self) -> str:
        return str(self._outage) if self._outage and self._outage.cause != "not_ready" else ""

    def take(self, deadline_ns: int) -> list[Block | Lost]:
        outage = self._outage
        if outage is not None:
            if deadline_ns - outage.since_ns > _TELL_NS:
                return self._lost_until(deadline_ns)
            if self._now() < outage.retry_ns:
                return []
        try:
            if outage is not None and outage.failures:
                mend(self._chip, outage)
            values = self._newest()
            if values is None:
                self._not_ready(deadline_ns)
                return []
        except (OSError, RigbusError) as e:
            if outage is None or not outage.failures:
                self._outage = failed(e, outage.since_ns if outage else deadline_ns, trusted=True)
            assert self._outage is not None
            self._outage.again(self._now())
            return []
        lost = self._lost_until(deadline_ns) if outage is not None else []
        self._outage, self._stale = None, 0
        return [*lost, Block(deadline_ns, 1, values, self._step_ns)]

    def _newest(self) -> bytes | None:
        values = steadily(self._chip.latest)
        # where the read before came late, the chip needs a moment for the next sample
        for _ in range(0 if self._outage else _LOOKS - 1):
            if values is not None:
                break
            self._wait(min(_LONGEST_WAIT_S, 1 / self._chip.rate_hz / _LOOKS))
            values = steadily(self._chip.latest)
        return values

    def _not_ready(self, deadline_ns: int) -> None:
        self._stale += 1
        if self._outage is None:
            self._outage = Outage("not_ready", "no new sample since the last", deadline_ns, True)
        # a second without any is none of timing; otherwise the chip is asked whether it is still awake
        if self._stale > 3 and (self._stale % max(4, round(self.rate_hz)) == 0 or not self._chip.intact()):
            self._outage = Outage("chip_reset", "no samples", self._outage.since_ns, False)
            self._chip.identify()
            self._chip.configure()

    def _lost_until(self, deadline_ns: int) -> list[Block | Lost]:
        """The deadlines from the outage's first one up to, and not with, this one."""
        outage = self._outage
        assert outage is not None
        count = round((deadline_ns - outage.since_ns) / self._step_ns)
        lost = Lost(outage.since_ns, deadline_ns, count, outage.cause, outage.detail)
        outage.since_ns = deadline_ns
        return [lost] if count else []

    def rest(self) -> list[Block | Lost]:
        return self._lost_until(self._now()) if self._outage else []

    def close(self) -> None:
        try:
            self._chip.sleep()
        except OSError:
            pass  # it does not answer: nothing is left to be done for it
        self._chip.device.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
