"""How many numbers each run has spent, in memory-mapped words that survive SIGKILL. rigbus's counter file, to the byte.

It stands in the run folder as `<src>.counter`: with it the sink knows how much of a killed application is lost.
One page: a head (magic, nothing, slot count) and a ring of 63 slots of 8 words; only aligned 8-byte stores.
"""

import mmap
import os
from pathlib import Path
from typing import NamedTuple

_MAGIC = int.from_bytes(b"RIGBUSC1", "little")
_SIZE = 4096
_SLOTS = 63
_COUNT = 1
_RUN, _BOOT_HI, _BOOT_LO, _OFFERED, _CLOSED, _BORN, _ALIVE = range(7)


class Slot(NamedTuple):
    """One run. offered: the last number spent; exact as long as the same boot lasts."""

    run: str
    boot_id: str
    offered: int
    closed: bool
    born_ns: int
    alive_ns: int


CLEAN, KILLED, UNKNOWABLE = 1, 2, 3


def end_of(slot: Slot, boot_id: str) -> tuple[int, str]:
    """How a run ended whose process is gone: (closed as in ctl `runs`, cause of what nobody had stored by then).

    Its frames were in its memory; the count is exact, but for a power cut.
    """
    closed = CLEAN if slot.closed else KILLED if slot.boot_id == boot_id else UNKNOWABLE
    cause = "app_stopped" if closed == CLEAN else "app_killed" if closed == KILLED else "power_cut"
    return closed, cause


class Counter:
    """One process a file; the lock beside it sees to that."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file; what is no counter file is begun anew. Raises OSError."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o660)
        try:
            # not sparse: a write to a hole on a full disk would be a SIGBUS
            os.posix_fallocate(fd, 0, _SIZE)
            self._map = mmap.mmap(fd, _SIZE)
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("Q")
        if self._words[0] != _MAGIC:
            self._map[:] = bytes(_SIZE)
            self._words[0] = _MAGIC
        self.before = self._read()
        self._base = 0

    def _read(self) -> list[Slot]:
        w, count = self._words, self._words[_COUNT]
        out = []
        for n in range(max(0, count - _SLOTS + 1), count):
            s = w[8 + n % _SLOTS * 8 :][:8]
            boot = f"{s[_BOOT_HI]:016x}{s[_BOOT_LO]:016x}"
            out.append(Slot(f"{s[_RUN]:016x}", boot, s[_OFFERED], bool(s[_CLOSED]), s[_BORN], s[_ALIVE]))
        return out

    def begin(self, run: str, boot_id: str, wall_ns: int, offered: int) -> None:
        """Adds the slot of a run that has spent `offered` numbers already."""
        w, count = self._words, self._words[_COUNT]
        base = 8 + count % _SLOTS * 8
        w[base + _RUN] = int(run, 16)
        w[base + _BOOT_HI], w[base + _BOOT_LO] = int(boot_id[:16], 16), int(boot_id[16:], 16)
        w[base + _OFFERED], w[base + _CLOSED] = offered, 0
        w[base + _BORN] = w[base + _ALIVE] = wall_ns
        # last: a slot is counted only when it is whole
        w[_COUNT] = count + 1
        self._base = base

    def offer(self, seq: int) -> None:
        self._words[self._base + _OFFERED] = seq

    def alive(self, wall_ns: int) -> None:
        self._words[self._base + _ALIVE] = wall_ns

    def close_run(self) -> None:
        self._words[self._base + _CLOSED] = 1
        self._map.flush()

    def close(self) -> None:
        self._words.release()
        self._map.close()
