"""The counter file: what each run has been offered, in memory-mapped words that survive the process at any instant.

One page: a head (magic, journal id, slot count) and a ring of 63 slots of 8 words. Only aligned 8-byte stores: a writer
killed between two of them leaves every word either old or new (`struct.pack_into` would zero its target first).
"""

import mmap
import os
from pathlib import Path
from typing import NamedTuple, Self

_MAGIC = int.from_bytes(b"RIGBUSC1", "little")
_SIZE = 4096
_SLOTS = 63
_COUNT, _JOURNAL_ID = 1, 2  # word indices in the head
_RUN, _BOOT_HI, _BOOT_LO, _OFFERED, _CLOSED, _BORN, _ALIVE_WALL = range(7)


class Slot(NamedTuple):
    """One run. offered: the last number handed to publish(); exact as long as the same boot lasts.

    alive_ns: wall time at which the run was last known to live.
    """

    run: str
    boot_id: str
    offered: int
    closed: bool
    born_ns: int
    alive_ns: int


def _slots(words: memoryview) -> list[Slot]:
    count = words[_COUNT]
    out = []
    # the oldest of a full ring may be half overwritten by a run that is just being added: it is left out
    for n in range(max(0, count - _SLOTS + 1), count):
        s = words[8 + n % _SLOTS * 8 :][:8]
        out.append(
            Slot(
                f"{s[_RUN]:016x}",
                f"{s[_BOOT_HI]:016x}{s[_BOOT_LO]:016x}",
                s[_OFFERED],
                bool(s[_CLOSED]),
                s[_BORN],
                s[_ALIVE_WALL],
            )
        )
    return out


def read_counter(path: Path) -> list[Slot]:
    """All runs known, oldest first; empty where the file is missing or not a counter file. Never locks or writes."""
    try:
        data = path.read_bytes()
    except OSError:
        return []
    if len(data) < _SIZE:
        return []
    words = memoryview(bytearray(data[:_SIZE])).cast("Q")
    return _slots(words) if words[0] == _MAGIC else []


def read_journal_id(path: Path) -> bytes:
    """The id of the journal beside it, 8 bytes; empty where it is not known. For a journal without a whole head."""
    try:
        with path.open("rb") as f:
            head = f.read(24)
    except OSError:
        return b""
    known = len(head) == 24 and int.from_bytes(head[:8], "little") == _MAGIC and any(head[16:])
    return head[16:] if known else b""


def disown(path: Path) -> None:
    """A copy out of a backup: its runs that were open went on, so whatever boot this is, it is not theirs any more.

    So what they offered later is unknown, and not nothing. Raises OSError; what is no counter file stays as it is.
    """
    data = bytearray(path.read_bytes())
    if len(data) < _SIZE or int.from_bytes(data[:8], "little") != _MAGIC:
        return
    words = memoryview(data)[:_SIZE].cast("Q")
    for n in range(_SLOTS):
        slot = words[8 + n * 8 :][:8]
        if not slot[_CLOSED]:
            slot[_BOOT_HI] = slot[_BOOT_LO] = 0
    path.write_bytes(data)


class Counter:
    """The writer's side. One process a file (the publisher's lock sees to it)."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file; one that is no counter file is set aside as `*.bad`. Raises OSError."""
        if path.exists() and not _valid(path):
            path.rename(path.with_suffix(".bad"))
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o660)
        try:
            # not sparse: a write to a hole on a full disk would be a SIGBUS
            os.posix_fallocate(fd, 0, _SIZE)
            self._map = mmap.mmap(fd, _SIZE)
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("Q")
        self._words[0] = _MAGIC
        self.before = _slots(self._words)  # the runs found at start
        self._base = 0

    def keep_journal_id(self, journal_id: bytes) -> None:
        """Stands here a second time: with it a journal can be read whose every segment head is damaged."""
        self._words[_JOURNAL_ID] = int.from_bytes(journal_id, "little")
        self._map.flush()

    def begin(self, run: str, boot_id: str, wall_ns: int) -> None:
        """Adds a slot for the new run and puts it on the disk."""
        w, count = self._words, self._words[_COUNT]
        base = 8 + count % _SLOTS * 8
        w[base + _RUN] = int(run, 16)
        w[base + _BOOT_HI] = int(boot_id[:16], 16)
        w[base + _BOOT_LO] = int(boot_id[16:], 16)
        w[base + _OFFERED] = 0
        w[base + _CLOSED] = 0
        w[base + _BORN] = wall_ns
        w[base + _ALIVE_WALL] = wall_ns
        w[_COUNT] = count + 1  # last: a slot is counted only when it is whole
        self._base = base
        self._map.flush()

    def offer(self, seq: int) -> None:
        """Records that `seq` is spent; survives SIGKILL from here on."""
        self._words[self._base + _OFFERED] = seq

    def alive(self, wall_ns: int) -> None:
        """Records that the run lives."""
        self._words[self._base + _ALIVE_WALL] = wall_ns

    def close_run(self) -> None:
        """Marks a clean end, on the disk: without it a run with a memory journal is unknown after each reboot."""
        self._words[self._base + _CLOSED] = 1
        self._map.flush()

    def close(self) -> None:
        self._words.release()
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _valid(path: Path) -> bool:
    data = path.read_bytes()
    return not any(data[:_SIZE]) or (len(data) >= _SIZE and int.from_bytes(data[:8], "little") == _MAGIC)
