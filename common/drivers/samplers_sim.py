"""What a simulated sensor feels: a pump's 49.5 Hz with harmonics, gravity on z, and the noise of a real MPU6050."""

import array
import math
import random
from collections.abc import Callable

_PUMP_HZ, _SPAN_S = 49.5, 10
_NOISE_G = 0.0065  # 400 µg/√Hz over 260 Hz (RM-MPU-6000A)

# (samples per second, counts per g) → x, y, z of consecutive samples, which begin anew at the end
Signal = Callable[[float, float], "array.array[int]"]


def vibration(rate_hz: float, counts_per_g: float) -> "array.array[int]":
    """About ten seconds of whole turns, the same each time; 16 bit, clipped as a chip does."""
    rng = random.Random(1)
    n = max(1, round(rate_hz * _SPAN_S))
    table = array.array("h")
    for i in range(n):
        turn = 2 * math.pi * (_PUMP_HZ * _SPAN_S) * i / n
        for g in (0.30 * math.sin(turn), 0.22 * math.cos(turn), 1.0 + 0.12 * math.sin(2 * turn)):
            counts = round((g + rng.gauss(0.0, _NOISE_G)) * counts_per_g)
            table.append(max(-32768, min(32767, counts)))
    return table
