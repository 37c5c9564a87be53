"""Samples a vibration sensor at its rate and publishes frames of about 100 ms."""

import sys

from common import clock, drivers
from common.config.schema import HighspeedConfig
from common.drivers.samplers import Block, Sampler
from common.frames import Samples
from common.realtime import lock_memory, set_fifo
from common.runtime import Runtime
from common.service import entry


class Framer:
    """Joins blocks to frames; a frame ends at its length or before a gap."""

    def __init__(self, rt: Runtime, cfg: HighspeedConfig, sampler: Sampler) -> None:
        self._rt, self._cfg, self._sampler = rt, cfg, sampler
        self._step_ns = round(1e9 / sampler.rate_hz)
        self._full = max(1, round(cfg.rate_hz * cfg.frame_ms / 1e3))
        self._blocks: list[bytes] = []
        self._n = self._first_ns = self._next_ns = 0
        self._wall = clock.WallOffset()
        self._topic = f"samples/{cfg.name}/"
        rt.mark_down_time(self._topic, "sample")

    def add(self, block: Block) -> None:
        late = (block.t_ns - self._next_ns + self._step_ns // 2) // self._step_ns
        if self._next_ns and late > 0:
            self.flush()
            wall = self._wall.ns() + clock.boot_minus_monotonic_ns()
            self._rt.lose(
                self._topic, "sample", late, "late", from_t=self._next_ns + wall, to_t=block.t_ns + wall
            )  # the loop was kept from running: these samples were never taken
        if not self._n:
            self._first_ns = block.t_ns
        self._blocks.append(block.values)
        self._n += block.n
        self._next_ns = block.t_ns + block.n * self._step_ns
        if self._n >= self._full:
            self.flush()

    def flush(self) -> None:
        if not self._n:
            return
        s, mono = self._sampler, self._first_ns + clock.boot_minus_monotonic_ns()
        self._rt.publish(
            Samples(
                sensor=self._cfg.name, rate_hz=s.rate_hz, nominal_hz=self._cfg.rate_hz, n=self._n, axes=s.axes,
                unit=s.unit, scale=s.scale, dtype=s.dtype, values=b"".join(self._blocks), dt_ns=self._step_ns,
                t=mono + self._wall.ns(), mono=mono,
            )
        )  # fmt: skip
        self._blocks, self._n = [], 0


def run(rt: Runtime, cfg: HighspeedConfig) -> None:
    sys.setswitchinterval(1e-4)  # the sampling thread gets the interpreter soon after its deadline
    lock_memory(rt.log)
    with drivers.open_sampler(cfg) as sampler:
        framer = Framer(rt, cfg, sampler)
        set_fifo(cfg.priority, rt.log)
        rt.say(f"{sampler.rate_hz:g} Hz nominal, driver {cfg.driver}")
        for deadline in rt.every(sampler.period_s):
            framer.add(sampler.take(deadline))
        framer.flush()


if __name__ == "__main__":
    sys.exit(entry("highspeed", __doc__, lambda config: config.highspeed, run))
