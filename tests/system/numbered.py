"""A daemon whose data numbers itself: each `event` frame carries a number of its own, told to a file as well.

Run as `python tests/system/numbered.py --src numbered --offers FILE …`, with the options of every daemon. In FILE it
appends `run ID` at the start, `offer N` before each publish() and `seq N SEQ` after it, each line with one write(2):
what stands there survives SIGKILL, and knows nothing of rigbus's counters.
"""

import argparse
import os
import sys
from typing import NamedTuple

from common.frames import Event
from common.runtime import Runtime
from common.service import entry


class Pace(NamedTuple):
    """Each period_s a burst of frames, each padded by some bytes."""

    period_s: float
    burst: int
    pad: int
    cpu: str = "none"


def main() -> int:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--src", required=True)
    parser.add_argument("--offers", required=True)
    parser.add_argument("--period", type=float, default=0.02)
    parser.add_argument("--burst", type=int, default=4)
    parser.add_argument("--pad", type=int, default=0)
    own, sys.argv[1:] = parser.parse_known_args()
    offers = os.open(own.offers, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def tell(line: str) -> None:
        os.write(offers, line.encode() + b"\n")

    def run(rt: Runtime, pace: Pace) -> None:
        tell(f"run {rt.run_id}")
        number, padding = 0, "x" * pace.pad
        for _ in rt.every(pace.period_s):
            for _ in range(pace.burst):
                number += 1
                tell(f"offer {number}")
                seq = rt.publish(Event(event_type="number", source=own.src, detail=str(number), data_json=padding))
                tell(f"seq {number} {seq}")

    return entry(own.src, __doc__, lambda config: Pace(own.period, own.burst, own.pad), run)


if __name__ == "__main__":
    sys.exit(main())
