"""The sink on a machine whose clock is not set until FILE is there: then the wall clock is found 30 days ahead.

Run as `python tests/system/clock_sink.py --set FILE --hold S …`, with the options of every daemon. Daemons around it go
on stamping by the real clock, which is the one that was not set. Its output `kept` appends a line of JSON for each row
that it is given (table, id, time) to the file of its option `path`.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from common import clock, sinks
from common.config.schema import SinkConfig
from common.runtime import Runtime
from common.service import entry
from common.sinks.output import Feed, Place, Row, Written
from common.store.moves import FileState
from daemons import sink

AHEAD_NS = 30 * 86_400 * 10**9


class Kept:
    """An output that appends to a file."""

    def __init__(self, place: Place) -> None:
        self._path = Path(str(place.options["path"]))

    def feeds(self) -> Sequence[Feed]:
        return [Feed("system_events", "CAST(round(ts * 1e6) AS INTEGER)", 500), Feed("pulses", "t_ns", 500)]

    def restore(self, cursors: Mapping[str, int], files: Sequence[FileState]) -> Mapping[str, int]:
        return {}

    def write(self, table: str, rows: Sequence[Row]) -> Written:
        with self._path.open("a") as file:
            file.write("".join(json.dumps([table, *row]) + "\n" for row in rows))
        return Written()

    def idle(self) -> Written:
        return Written()

    def committed(self) -> None:
        pass

    def close(self) -> None:
        pass


class LateClock:
    """clock.Clock."""

    def __init__(self, told: Path) -> None:
        self._told = told

    def wall_ns(self) -> int:
        return time.time_ns() + (AHEAD_NS if self._told.exists() else 0)

    def boot_ns(self) -> int:
        return clock.boot_ns()

    def boot_id(self) -> str:
        return clock.boot_id()

    def is_sane(self) -> bool:
        return self._told.exists()


def main() -> int:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--hold", type=float, required=True)
    own, sys.argv[1:] = parser.parse_known_args()
    sinks.SHIPPED["kept"] = f"{__name__}:Kept"

    def run(rt: Runtime, cfg: SinkConfig) -> None:
        rt.config.clock.hold_s = own.hold  # this machine has been up for long
        sink.run(rt, cfg, LateClock(own.set))

    return entry("sink", __doc__, lambda config: config.sink, run, journaled=False)


if __name__ == "__main__":
    sys.exit(main())
