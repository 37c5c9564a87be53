"""The loops that the jitter figures are of, each a process of its own that prints what loop.c prints.

`python -m tests.bench.loops RATE_HZ SECONDS PRIORITY`: common.realtime.Pace with nothing in it.
`python -m tests.bench.loops --config …` (RIGBUS_BENCH: path of the lateness file): daemons.highspeed, as it is; the
lateness that it sums up in its health frames is kept whole beside them.
"""

import os
import sys
from array import array
from pathlib import Path

import msgspec

from common import realtime
from common.log import Log
from common.realtime import Pace
from common.service import entry


def bare(rate_hz: float, seconds: float, priority: int) -> None:
    log = Log("loop")
    sys.setswitchinterval(1e-4)
    realtime.lock_memory(log)
    pace = Pace(lambda _: False)
    realtime.set_fifo(priority, log)
    n, ticks, first, last = round(rate_hz * seconds), 0, 0, 0
    late = array("q")
    for deadline in pace.ticks(1 / rate_hz):
        first = first or deadline
        last = deadline
        ticks += 1
        if ticks + pace.missed >= n:
            break
        if len(pace._late_ns) > 4000:  # what take() does each second
            late.extend(pace._late_ns)
            pace.take()
    late.extend(pace._late_ns)
    # ticks missed after the last deadline are not yet in it
    drift = last - first - (ticks - 1 + pace.missed) * round(1e9 / rate_hz)
    print(pace.missed, drift, *late)


def daemon() -> int:
    from daemons import highspeed

    spec = msgspec.json.decode(os.environ["RIGBUS_BENCH"])
    late = array("q")
    take, ticks = Pace.take, Pace.ticks

    def keeping(self: Pace):  # type: ignore[no-untyped-def]
        late.extend(self._late_ns)
        return take(self)

    def noting(self: Pace, period_s: float):  # type: ignore[no-untyped-def]
        count = first = last = missed = 0
        for deadline in ticks(self, period_s):
            # its own count of missed ticks: a tick that it skips and does not count shows as drift
            count, first, last, missed = count + 1, first or deadline, deadline, self.missed
            yield deadline
        drift = last - first - (count - 1 + missed) * round(period_s * 1e9)
        keeping(self)
        Path(spec["lateness"]).write_text(" ".join(map(str, (missed, drift, *late))))

    Pace.take, Pace.ticks = keeping, noting  # type: ignore[method-assign]
    return entry("highspeed", __doc__, lambda config: config.highspeed, highspeed.run)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        bare(float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(daemon())
