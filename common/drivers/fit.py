"""The true rate of a free-running chip: its count of samples against the host's clock, and stamps that follow it.

Pure. A chip's oscillator is off by about 1 %, and moves with its temperature; the host's clock is the reference.
"""

import math

# What is older counts for little: long against the quantisation, short against a chip that warms up by 10 ppm a second.
_TAU_S, _TAU_SAMPLES = 6.0, 400
# A count says when its last sample came to within one step: ±0.29 steps (1/√12). Before there are many of them the
# slope leans on what is known beforehand: the nominal rate to 2 %, or after an interruption the fitted one to 0.1 %.
_LEAN_NOMINAL = (0.29 / 0.02) ** 2
_LEAN_FITTED = (0.29 / 0.001) ** 2


class RateFit:
    """Regression of host time on the number of samples, older observations forgotten; all in ns and samples."""

    def __init__(self, nominal_hz: float) -> None:
        self._prior_ns, self._lean = 1e9 / nominal_hz, _LEAN_NOMINAL
        self._tau_ns = max(_TAU_S * 1e9, _TAU_SAMPLES * self._prior_ns)
        self._usual_ns = 2 * self._prior_ns
        self._forget()

    def _forget(self) -> None:
        self._weight = self._count = self._offset_ns = self._sxx = self._sxy = 0.0
        self._origin_ns = self._last_ns = 0

    def restart(self) -> None:
        """Forgets the phase, keeps the rate: after an interruption, whose length in samples is an estimate."""
        # as sure of the rate as the observations so far make it
        self._prior_ns, self._lean = self.step_ns, max(self._lean, min(_LEAN_FITTED, self._sxx))
        self._forget()

    @property
    def ready(self) -> bool:
        """Whether there is a phase: at least one observation."""
        return self._weight > 0

    @property
    def step_ns(self) -> float:
        return self._prior_ns + self._sxy / (self._sxx + self._lean) if self._weight else self._prior_ns

    @property
    def rate_hz(self) -> float:
        return 1e9 / self.step_ns

    def observe(self, made: int, before_ns: int, after_ns: int) -> None:
        """At some instant between the two the chip had made `made` samples in all.

        A look that took far longer than usual was interrupted and says little: it is left out.
        """
        took = after_ns - before_ns
        if took > self._usual_ns and self._weight:
            self._usual_ns *= 1.3  # where every look takes long, they are what there is
            return
        self._usual_ns = max(2 * self._prior_ns, 2.0 * took, self._usual_ns * 0.9)
        at_ns = (before_ns + after_ns) // 2
        if not self._weight:
            self._origin_ns = self._last_ns = at_ns
        forget = math.exp((self._last_ns - at_ns) / self._tau_ns)
        self._last_ns = at_ns
        self._weight = self._weight * forget + 1
        self._sxx *= forget
        self._sxy *= forget
        # the deviation from the prior rate, so that the numbers stay small and the prior is where they lean to
        offset = at_ns - self._origin_ns - made * self._prior_ns
        ahead = made - self._count
        self._count += ahead / self._weight
        self._offset_ns += (offset - self._offset_ns) / self._weight
        self._sxx += ahead * (made - self._count)
        self._sxy += ahead * (offset - self._offset_ns)

    def _host_ns(self, made: float) -> float:
        """Host time, relative to the origin, in the middle of the step after sample number `made` − 1."""
        slope = self.step_ns - self._prior_ns
        return self._offset_ns + made * self._prior_ns + slope * (made - self._count)

    def t_ns(self, index: int) -> int:
        """When the sample of this index (from 0) was made, CLOCK_MONOTONIC ns."""
        # an observation lies half a step behind its last sample on average
        return self._origin_ns + round(self._host_ns(index + 0.5))

    def made(self, at_ns: int) -> int:
        """How many samples the chip had made at that time: the nearest whole number."""
        base = self._host_ns(0.0)
        return round((at_ns - self._origin_ns - base) / self.step_ns)


class Timeline:
    """Stamps for samples that follow each other: each block begins where the one before ends, to the ns.

    The step is a whole number of ns, steered so that the stamps meet the fit within about two seconds, and changed
    about once a second (more often at first): a stored second of samples then needs one step.
    """

    def __init__(self, fit: RateFit) -> None:
        self._fit = fit
        self.next_ns = 0  # stamp of the next sample; 0: none yet
        self.step_ns = round(fit.step_ns)
        self._origin = self._steer_at = 0

    def begin(self, index: int) -> None:
        """A gap, or the start: the next sample is `index`, and stands where the fit has it, never earlier than due."""
        self.next_ns = max(self.next_ns, self._fit.t_ns(index))
        self._origin = self._steer_at = index

    def block(self, index: int, n: int) -> tuple[int, int]:
        """(stamp of the first, step) of n samples from `index` on."""
        if not self.next_ns:
            self.begin(index)
        if index >= self._steer_at:
            step = self._fit.step_ns
            second = max(1.0, 1e9 / step)
            error = self._fit.t_ns(index) - self.next_ns
            pull = error / (2 * second)
            self.step_ns = round(step + max(-0.02 * step, min(0.02 * step, pull)))
            self._steer_at = index + max(1, min(round(second), (index - self._origin) // 4))
        first, self.next_ns = self.next_ns, self.next_ns + n * self.step_ns
        return first, self.step_ns
