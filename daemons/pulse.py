"""Counts meter edges on every channel and publishes the accepted ones as `pulse` frames."""

import sys

from msgspec import UNSET

from common import clock, drivers
from common.config.schema import Channel, Config, PulseConfig
from common.drivers.edges import EdgeRead, EdgeSource
from common.frames import Pulse
from common.lifetime import lifetime_total
from common.pulses import EdgeFilter
from common.runtime import Runtime
from common.service import entry


class Meter:
    """One channel: its filter and its lifetime total."""

    def __init__(self, rt: Runtime, cfg: Channel, source: EdgeSource) -> None:
        self._rt, self._source, self._name = rt, source, cfg.name
        settled_ns = source.requested_ns + round(cfg.settle_ms * 1e6)
        self._filter = EdgeFilter(round(cfg.min_interval_ms * 1e6), settled_ns)
        self.total = lifetime_total(rt, cfg.name)
        self._last_wall_ns = clock.wall_ns()
        rt.mark_down_time(f"pulse/{cfg.name}/", "edge")

    def take(self, cfg: Channel) -> None:
        self._filter.min_interval_ns = round(cfg.min_interval_ms * 1e6)

    def publish(self, read: EdgeRead) -> None:
        edges, filtered = self._filter.take(read.t_ns)
        self.total += len(edges)
        # the kernel stamps MONOTONIC; the rig's stamps are BOOTTIME, wall time is derived
        mono = (edges or read.t_ns)[0] + clock.boot_minus_monotonic_ns()
        wall = mono + clock.wall_minus_boot_ns()
        if read.missed:
            where = f"pulse/{self._name}/"
            self._rt.lose(
                where, "edge", read.missed, self._source.missed_cause, from_t=self._last_wall_ns, to_t=clock.wall_ns()
            )
        self._last_wall_ns = wall
        self._rt.publish(
            Pulse(
                channel=self._name,
                edges=[t - edges[0] for t in edges],
                total=self.total,
                filtered=filtered,
                missed=UNSET if read.missed is None else read.missed,
                time_source=self._source.time_source,
                t=wall,
                mono=mono,
            )
        )


def run(rt: Runtime, cfg: PulseConfig) -> None:
    with drivers.open_edges(cfg) as source:
        meters = {channel.name: Meter(rt, channel, source) for channel in cfg.channel}

        def take(config: Config) -> None:
            for channel in config.pulse.channel if config.pulse else ():
                meters[channel.name].take(channel)

        rt.on_reload(take)
        for _ in rt.every(cfg.publish_every_s):
            for read in source.take():
                meters[read.channel].publish(read)
            rt.say(", ".join(f"{name} {meter.total}" for name, meter in meters.items()))
        for read in source.take():  # what came until the stop
            meters[read.channel].publish(read)


if __name__ == "__main__":
    sys.exit(entry("pulse", __doc__, lambda config: config.pulse, run))
