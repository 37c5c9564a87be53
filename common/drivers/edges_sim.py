"""Simulated meters: steady households on the monotonic clock, one pulse rate a channel."""

import time
from typing import Literal, Self

from common.config.schema import PulseConfig
from common.drivers.edges import EdgeRead

_WATTS = (3600.0, 1800.0, 7200.0, 900.0)  # at 1000 imp/kWh: 1, 0.5, 2 and 0.25 pulses a second


class SimEdges:
    """Edges at exact times, so that what a run must contain can be computed."""

    time_source: Literal["kernel", "user"] = "kernel"
    missed_cause = "kernel_overrun"

    def __init__(self, cfg: PulseConfig) -> None:
        self.requested_ns = time.monotonic_ns()
        self._period_ns = {
            c.name: round(3.6e15 / (c.imp_per_kwh * _WATTS[i % len(_WATTS)])) for i, c in enumerate(cfg.channel)
        }
        self._next_ns = {name: self.requested_ns + period for name, period in self._period_ns.items()}

    def take(self) -> list[EdgeRead]:
        now, out = time.monotonic_ns(), []
        for name, period in self._period_ns.items():
            first = self._next_ns[name]
            if first <= now:
                count = (now - first) // period + 1
                self._next_ns[name] = first + count * period
                out.append(EdgeRead(name, [first + i * period for i in range(count)], 0))
        return out

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
