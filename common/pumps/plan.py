"""What one run is to do: counted steps in short chunks, with a ramp up and down. Pure arithmetic."""

import math
from collections.abc import Iterator
from typing import NamedTuple

CHUNK_S = 0.02  # of steps at full speed; whoever stops feeding stops the motor in about as long
RAMP_CHUNK_S = 0.01
OVERRUN, OVERRUN_S = 1.1, 0.5  # a run has so much more time than planned; then it is stopped (docs/safety.md)


class Plan(NamedTuple):
    """A run of a known length: bounded by its steps, and by seconds × OVERRUN + OVERRUN_S. ml None: not known."""

    steps: int
    hz: float
    ramp_s: float
    seconds: float
    ml: float | None

    @property
    def end_s(self) -> float:
        """Seconds after which it is stopped, however few steps were made."""
        return self.seconds * OVERRUN + OVERRUN_S


def for_steps(steps: int, hz: float, ramp_s: float, ml: float | None) -> Plan:
    """A run of exactly so many steps, hz at most."""
    seconds = steps / hz + ramp_s if steps >= hz * ramp_s else 2 * math.sqrt(steps * ramp_s / hz)
    return Plan(steps, hz, ramp_s, seconds, ml)


def steps_in(seconds: float, hz: float, ramp_s: float) -> int:
    """Steps of a run of that time, both ramps included."""
    if seconds >= 2 * ramp_s:
        return math.floor(hz * (seconds - ramp_s))
    return math.floor(hz / ramp_s * (seconds / 2) ** 2)


def chunks(steps: int, hz: float, ramp_s: float) -> Iterator[tuple[int, float]]:
    """(n, rate) in order: their n add up to `steps`, no rate is above hz.

    A chunk takes CHUNK_S at most, or is one step. The ramp has constant acceleration, from rest to hz in ramp_s.
    """
    up = _ramp(min(math.floor(hz * ramp_s / 2), steps // 2), hz, ramp_s)
    level = steps - 2 * sum(n for n, _ in up)
    full = hz if not up or level > 1 else up[-1][1]
    yield from up
    most = max(1, math.floor(full * CHUNK_S))
    while level > 0:
        n = min(level, most)
        yield n, full
        level -= n
    yield from reversed(up)


def _ramp(steps: int, hz: float, ramp_s: float) -> list[tuple[int, float]]:
    """The way up: step s is due at √(2·s/a), a chunk's rate is its mean."""
    accel = hz / ramp_s if ramp_s else 0.0
    out: list[tuple[int, float]] = []
    done = 0
    while done < steps:
        n = min(steps - done, max(1, math.floor(math.sqrt(2 * accel * done) * RAMP_CHUNK_S)))
        rate = n / (math.sqrt(2 * (done + n) / accel) - math.sqrt(2 * done / accel))
        out.append((n, min(hz, rate)))
        done += n
    return out
