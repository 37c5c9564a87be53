"""A simulated vibration sensor: a pump's 49.5 Hz with harmonics, gravity on z, and the noise of a real MPU6050."""

import array
import math
import random
from typing import Literal, Self

from common.config.schema import HighspeedConfig
from common.drivers.samplers import Block

_NOISE_G = 0.0065  # 400 µg/√Hz over 260 Hz (RM-MPU-6000A)


class SimVibration:
    """One sample a call, from a table of about ten seconds."""

    axes: list[str]
    unit = "g"
    dtype: Literal["<i2", "<f4"] = "<i2"

    def __init__(self, cfg: HighspeedConfig) -> None:
        self.axes = ["x", "y", "z"]
        self.rate_hz = cfg.rate_hz
        self.period_s = 1 / cfg.rate_hz
        self.scale = cfg.range_g / 32768
        rng = random.Random(1)
        self._count = max(1, round(cfg.rate_hz * 10))
        table = array.array("h")
        for i in range(self._count):
            turn = 2 * math.pi * 49.5 * i / cfg.rate_hz
            shake = (0.30 * math.sin(turn), 0.22 * math.cos(turn), 1.0 + 0.12 * math.sin(2 * turn))
            for g in shake:
                counts = round((g + rng.gauss(0.0, _NOISE_G)) / self.scale)
                table.append(max(-32768, min(32767, counts)))
        self._table = table.tobytes()
        self._at = 0

    def take(self, deadline_ns: int) -> Block:
        at = self._at
        self._at = at + 6 if at + 6 < len(self._table) else 0
        return Block(deadline_ns, 1, self._table[at : at + 6])

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
