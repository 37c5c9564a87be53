"""Samples from a chip's FIFO, in blocks: stamped by the fit, every fault counted, recovered without a restart."""

import time
from typing import Literal, Self

from common.drivers.chips import Chip, Clock, Outage, failed, mend, wake
from common.drivers.fit import RateFit, Timeline
from common.drivers.i2c import NO_ACK, steadily
from common.drivers.samplers import Block, Lost
from common.errors import RigbusError

_PERIOD_S = 0.05  # wake-ups cost more than samples
_TELL_NS = 60_000_000_000  # an outage that goes on is told in parts: a killed daemon has told all but the last minute
# after so long the number of samples missed may be wrong by one: the phase is no longer what it was
_UNSURE_NS = 5_000_000_000


class FifoSampler:
    """Takes a configured chip; a Sampler of common/drivers/samplers.py."""

    unit = "g"
    dtype: Literal["<i2", "<f4"] = "<i2"

    def __init__(self, chip: Chip, frame_ms: float, now_ns: Clock = time.monotonic_ns) -> None:
        """Wakes the chip. Looks twice a frame, but often enough that a FIFO is at most a third full.

        Raises ConfigError and DeviceMissing, as wake() does.
        """
        self.axes = ["x", "y", "z"]
        self.scale = chip.scale
        often = min(_PERIOD_S, frame_ms / 2e3, chip.depth / 3 / chip.rate_hz)
        self.period_s = max(often, 1 / chip.rate_hz)
        self._chip, self._now = chip, now_ns
        self._fit = RateFit(chip.rate_hz)
        self._line = Timeline(self._fit)
        self._done = 0  # samples handed over or told as lost
        self._began_ns = self._heard_ns = wake(chip, now_ns)
        self._outage: Outage | None = None
        self._resumes = False  # the FIFO has been emptied: the next look tells how many samples that cost
        self._found: list[Block | Lost] = []

    @property
    def rate_hz(self) -> float:
        return self._fit.rate_hz

    @property
    def fault(self) -> str:
        return str(self._outage) if self._outage else ""

    def take(self, deadline_ns: int) -> list[Block | Lost]:
        now = self._now()
        outage = self._outage
        if outage is not None and now < outage.retry_ns:
            if now - (self._line.next_ns or self._began_ns) > _TELL_NS:
                self._tell_so_far(now)
        else:
            try:
                self._look()
            except (OSError, RigbusError) as e:
                self._fail(e)
        found, self._found = self._found, []
        return found

    def _look(self) -> None:
        outage = self._outage
        if outage is not None and not self._resumes:
            now = self._now()
            mend(self._chip, outage)
            if not outage.trusted:
                # only now is the FIFO known to hold whole samples, made from here on
                self._resumes, self._heard_ns = True, now
                return
        self._collect()

    def _fail(self, error: Exception) -> None:
        now = self._now()
        outage = self._outage
        if outage is None:
            outage = failed(error, now, trusted=True)
        elif not outage.failures:
            # an overflow or a reset that was all but over: what goes on is the fault of the bus
            restarted, outage = outage.restarted, failed(error, outage.since_ns, trusted=False)
            outage.restarted = restarted
        elif isinstance(error, RigbusError):
            outage.detail = str(error)  # another chip answers
        outage.again(now)
        self._outage = outage
        # a look that failed has taken nothing: what has come since the FIFO was emptied is whole
        self._resumes = self._resumes and not outage.locked_up

    def _distrust(self, outage: Outage) -> None:
        """The FIFO's content has no known alignment any more, and goes."""
        if self._outage is None:
            self._outage = outage
        self._outage.trusted = self._resumes = False
        now = self._now()
        self._chip.clear()
        self._resumes, self._heard_ns = True, now

    def _status(self) -> tuple[int, str]:
        # a failure that is the first is told, though it costs nothing: the bus wants to be looked at
        return steadily(self._chip.status) if self._outage else self._chip.status()

    def _collect(self) -> None:
        before = self._now()
        waiting, doubt = self._status()
        after = self._now()
        if not doubt and waiting > self._most(after):
            before = self._now()
            waiting, doubt = self._status()  # a misread count: what is not there must never be taken
            after = self._now()
            doubt = doubt or (f"{waiting} samples waiting, too many" if waiting > self._most(after) else "")
        if doubt:
            self._distrust(Outage("fifo_overflow", doubt, before, False))
            return
        if not waiting:
            self._nothing(before, after)
            return
        if self._outage is not None:
            self._end_outage(self._outage, waiting, before, after)
        else:
            self._fit.observe(self._done + waiting, before, after)
        try:
            values = self._taken_out(waiting)
        except OSError as e:
            # how much of it has left the FIFO, nobody can say
            self._distrust(failed(e, self._now(), trusted=False))
            return
        if self._full_by(waiting, before) and (doubt := self._chip.status()[1]):
            # it ran over while it was read: where in these bytes, nobody can say
            self._distrust(Outage("fifo_overflow", doubt, before, False))
            return
        # the count was taken at some time between the two
        self._heard_ns = before
        t_ns, step_ns = self._line.block(self._done, waiting)
        self._done += waiting
        self._found.append(Block(t_ns, waiting, values, step_ns))

    def _taken_out(self, n: int) -> bytes:
        """n samples of the FIFO. Raises OSError: its content is in doubt."""
        for _ in range(2):
            try:
                return self._chip.pop(n)
            except OSError as e:
                # a chip acknowledges its address, and the master the data: the count must show that none has gone
                if e.errno not in NO_ACK or not self._chip.pops_whole:
                    raise
                waiting, doubt = steadily(self._chip.status)
                if doubt or waiting < n:
                    raise
        return self._chip.pop(n)

    def _most(self, now_ns: int) -> float:
        """More samples than this cannot be in the FIFO, however wrong the rate is."""
        return 4 + 1.1 * (now_ns - self._heard_ns) / self._fit.step_ns

    def _full_by(self, waiting: int, since_ns: int) -> bool:
        return waiting + (self._now() - since_ns) / self._fit.step_ns + 2 > self._chip.depth

    def _nothing(self, before_ns: int, after_ns: int) -> None:
        """An empty FIFO: too early, or the chip is asleep, as after a drop of its supply."""
        silent, step = after_ns - self._heard_ns, self._fit.step_ns
        if silent < 5 * step + 5e6:
            return
        stuck = silent > 1e9 + 10 * step
        if stuck or not self._chip.intact():
            if self._outage is None:
                self._outage = Outage("chip_reset", "no samples" if stuck else "asleep", before_ns, False)
            self._outage.trusted = self._resumes = False
            self._chip.identify()
            now = self._now()
            self._outage.restarted = True
            self._chip.configure()
            self._resumes, self._heard_ns = True, now

    def _made(self, now_ns: int) -> int:
        """Samples that the chip has made, or should have."""
        if self._fit.ready:
            return self._fit.made(now_ns)
        return self._done + round((now_ns - self._began_ns) / self._fit.step_ns)

    def _end_outage(self, outage: Outage, waiting: int, before_ns: int, after_ns: int) -> None:
        """The FIFO is good again: what it does not hold is lost, by the clock and the fitted rate."""
        now = (before_ns + after_ns) // 2
        missing = max(0, self._made(now) - waiting - self._done)
        self._outage, self._resumes = None, False
        if outage.trusted and missing <= 3:
            # the FIFO held all of it: none was lost, and that is exact
            self._fit.observe(self._done + waiting, before_ns, after_ns)
            detail = f"{outage.detail}; the FIFO held the samples"
            self._found.append(Lost(outage.since_ns, now, 0, outage.cause, detail))
            return
        first = self._line.next_ns or self._began_ns
        self._done += missing
        if outage.restarted or now - first > _UNSURE_NS:
            self._fit.restart()
        self._fit.observe(self._done + waiting, before_ns, after_ns)
        self._line.begin(self._done)
        self._found.append(Lost(first, self._line.next_ns, missing, outage.cause, outage.detail))

    def _tell_so_far(self, now_ns: int) -> None:
        outage = self._outage
        assert outage is not None
        outage.trusted = False  # what the FIFO may still hold is told as lost
        missing = max(0, self._made(now_ns) - self._done)
        first, self._line.next_ns = self._line.next_ns or self._began_ns, now_ns
        self._done += missing
        self._found.append(Lost(first, now_ns, missing, outage.cause, outage.detail))

    def rest(self) -> list[Block | Lost]:
        found = self.take(self._now())
        if self._outage:
            self._tell_so_far(self._now())
            found, self._found = found + self._found, []
        return found

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
