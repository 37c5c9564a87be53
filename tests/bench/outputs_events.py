"""A daemon of the bench's own: the arm's, thermostats' and meters' rows of the shipped rig, 60 times as fast."""

import sys

from common.config.schema import BusConfig
from common.frames import ArmFeedback, Pulse, Thermostat
from common.runtime import Runtime
from common.service import entry

FASTER = 60


def run(rt: Runtime, _: BusConfig) -> None:
    total = 0
    for _ in rt.every(1.0):
        for i in range(28 * FASTER):
            rt.publish(ArmFeedback(funcode=1, data=None, address=2, angles=[0.1 * i] * 7))
        for _ in range(FASTER):
            readings = [{"channel": c, "temperature": 25.0, "i_tec": 1.5} for c in (0, 1)]
            rt.publish(Thermostat(device="bench", readings=readings, dialect="new"))
        total += 4 * FASTER
        rt.publish(Pulse(channel="import", edges=list(range(4 * FASTER)), total=total))


if __name__ == "__main__":
    sys.exit(entry("events", __doc__, lambda config: config.bus, run))
