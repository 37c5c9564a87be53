"""A simulated TMC2209 with a peristaltic pump: a file, so that it outlives the daemon and anybody can look.

It counts a step only while EN is active, as a motor does. `python -m common.drivers.sim_motor RUN_FOLDER` prints all
motors of a rig as JSON lines. The layout of `<run folder>/sim-pump-<name>`, little-endian:

    offset  0  8 bytes   "RBMOTOR1"
            8  u8 × 3    levels of STEP, DIR, EN
           11  u8 × 2    the levels at which EN is active, DIR is forward
           16  i64       steps made while EN was active, those backwards negative
           24  u64       the same without the sign
           32  u64       edges: rising edges of STEP, also while EN was inactive
           40  f64       mL, those sucked back negative
           64  u64 × N   ring: CLOCK_MONOTONIC ns of each edge; edge number e stands at e modulo N
"""

import json
import mmap
import os
import struct
import sys
from pathlib import Path
from typing import NamedTuple

RING = 32_768
STEPS_PER_ML = 3000.0  # of the simulated hose, slowly
SLIP_PER_HZ = 1e-6  # it loses 1 % of the flow at 10 kHz, as hoses do
_MAGIC = b"RBMOTOR1"
_HEAD = struct.Struct("<8s5B3xqQQd")
_RING_AT = 64
_SIZE = _RING_AT + 8 * RING
PREFIX = "sim-pump-"


class State(NamedTuple):
    """What the motor did so far; times: CLOCK_MONOTONIC ns of the last edges (RING at most), oldest first."""

    enabled: bool
    forward: bool
    steps: int  # signed
    made: int
    edges: int
    ml: float
    times_ns: list[int]


class SimMotor:
    """The writer's side: the lines of the simulated chip. Made anew it goes on where the file stands."""

    def __init__(self, path: Path, *, en_active: bool, dir_forward: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o660)
        try:
            os.posix_fallocate(fd, 0, _SIZE)
            self._map = mmap.mmap(fd, _SIZE)
        finally:
            os.close(fd)
        view = memoryview(self._map)
        self._bytes, self._ring = view[:16], view[_RING_AT:].cast("Q")
        self._steps, self._counts, self._ml = view[16:24].cast("q"), view[24:40].cast("Q"), view[40:48].cast("d")
        if self._bytes[:8] != _MAGIC:
            self._bytes[8:11] = bytes((0, dir_forward, not en_active))
        self._bytes[11:13] = bytes((en_active, dir_forward))
        self._bytes[:8] = _MAGIC

    def set_dir(self, level: bool) -> None:
        self._bytes[9] = level

    def set_en(self, level: bool) -> None:
        self._bytes[10] = level

    def step(self, n: int, first_ns: int, period_ns: int) -> None:
        """n pulses on STEP, evenly spaced."""
        counts, ring, at = self._counts, self._ring, self._counts[1]
        for i in range(n):
            ring[(at + i) % RING] = first_ns + i * period_ns
        counts[1] = at + n
        if self._bytes[10] == self._bytes[11]:
            sign = 1 if self._bytes[9] == self._bytes[12] else -1
            self._ml[0] += sign * n / STEPS_PER_ML * (1 - SLIP_PER_HZ * 1e9 / period_ns)
            self._steps[0] += sign * n
            counts[0] += n

    def close(self) -> None:
        for view in (self._bytes, self._ring, self._steps, self._counts, self._ml):
            view.release()
        self._map.close()


def read(path: Path) -> State:
    """A motor's state. Raises OSError; ValueError for a file that is none."""
    data = path.read_bytes()
    if len(data) != _SIZE or data[:8] != _MAGIC:
        raise ValueError(f"{path}: no simulated motor")
    _, _, direction, en, en_active, forward, steps, made, edges, ml = _HEAD.unpack_from(data)
    ring = struct.unpack_from(f"<{RING}Q", data, _RING_AT)
    times = [ring[e % RING] for e in range(max(0, edges - RING), edges)]
    return State(en == en_active, direction == forward, steps, made, edges, ml, times)


if __name__ == "__main__":
    for file in sorted(Path(sys.argv[1]).glob(f"{PREFIX}*")):
        state = read(file)
        fields = {k: v for k, v in state._asdict().items() if k != "times_ns"}
        last = state.times_ns[-1] if state.times_ns else None
        print(json.dumps({"pump": file.name.removeprefix(PREFIX), **fields, "last_edge_ns": last}))
