"""Power cuts: a data disk whose every write and flush is logged, and the images that a cut could have left of it.

Killing the machine loses only its memory: whatever it ever wrote is in the host's page cache.  A real cut also loses
what sat in the drive's volatile cache, which is any subset of the writes since the last flush.  So the writes are
logged (qemu's blklogwrites filter) and images are built from the log.
"""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .vm import Guest

FILE_SYSTEM = "255M"
SIZE = 256 << 20
MARK = 255 << 20  # the raw last MiB, beyond the file system: scripts/promise.py writes what has been acknowledged there
SECTOR = 512
FLUSH, FUA, DISCARD = 1, 2, 4  # flags of the log's format, dm-log-writes

Promise = dict[str, int]


class _Entry(NamedTuple):
    kind: str  # write, fua, flush, promise
    offset: int
    data: bytes


@dataclass(frozen=True)
class Cut:
    image: Path
    promised: Promise  # what had been acknowledged by then
    dropped: int  # writes that did not survive, or not whole


class DataDisk:
    """Hot-plugs a logged disk into a running guest and mounts its ext4; the images lie in `folder`."""

    def __init__(self, guest: Guest, folder: Path, mount: str) -> None:
        self._guest, self._folder = guest, folder
        self._live, self._base, self._log_file = folder / "live.raw", folder / "base.raw", folder / "writes.log"
        self._log: list[_Entry] = []
        with open(self._live, "wb") as f:
            f.truncate(SIZE)
        whole = "lazy_itable_init=0,lazy_journal_init=0"  # else the kernel goes on formatting during the test
        make = ["mke2fs", "-q", "-F", "-t", "ext4", "-E", whole, str(self._live), FILE_SYSTEM]
        subprocess.run(make, check=True, timeout=60)
        _copy(self._live, self._base)
        self._log_file.touch()
        node = {"driver": "blklogwrites", "node-name": "datalog", "log-sector-size": SECTOR}
        node_files = {
            name: {"driver": "file", "filename": str(f)} for name, f in (("file", self._live), ("log", self._log_file))
        }
        guest.qmp("blockdev-add", **node, **node_files)
        guest.qmp("device_add", driver="virtio-blk-pci", drive="datalog", id="data", bus="pci.0", addr="9")
        guest.until("[ -b /dev/vdb ]", 30, "the data disk is there")
        guest.sh(f"mkdir -p {mount} && mount -o noatime /dev/vdb {mount}")

    def cut(self) -> int:
        """Cut the power now; returns the number of writes that the log holds."""
        self._guest.kill()
        self._log = list(self._read())
        return sum(e.kind in ("write", "fua") for e in self._log)

    def _read(self) -> Iterator[_Entry]:
        with open(self._log_file, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            f.seek(SECTOR)  # its super block
            while f.tell() + SECTOR <= size:
                sector, n, flags, _ = struct.unpack("<QQQQ", f.read(SECTOR)[:32])
                if not (sector or n or flags):
                    return  # the rest was never written
                if flags & FLUSH:
                    yield _Entry("flush", 0, b"")
                if flags & DISCARD or not n:
                    continue  # no payload follows
                data = f.read(n * SECTOR)
                if sector * SECTOR >= MARK:
                    yield _Entry("promise", 0, data)
                else:
                    yield _Entry("fua" if flags & FUA else "write", sector * SECTOR, data)

    def image(self, rng: random.Random) -> Cut:
        """An image that a cut after the first promise could have left: at a random point, or (every second time) just
        before a random flush, when most is at stake.

        Of the writes since the last flush each one survives, vanishes or is torn by sector.  The next call overwrites
        the image.
        """
        first = next(i for i, e in enumerate(self._log) if e.kind == "promise")
        if rng.random() < 0.5:
            upto = rng.choice([i for i, e in enumerate(self._log) if e.kind == "flush" and i > first])
        else:
            upto = rng.randint(first + 1, len(self._log))
        out = self._folder / "cut.raw"
        _copy(self._base, out)
        promised: Promise = {}
        pending: list[_Entry] = []
        dropped = 0
        with open(out, "r+b") as f:
            for entry in self._log[:upto]:
                if entry.kind == "promise":
                    promised = json.loads(entry.data.rstrip(b"\0"))
                elif entry.kind == "write":
                    pending.append(entry)
                else:  # fua is on the disk by itself, a flush takes along what came before it
                    for e in [entry] if entry.kind == "fua" else pending:
                        f.seek(e.offset)
                        f.write(e.data)
                    if entry.kind == "flush":
                        pending = []
            for e in pending:
                fate = rng.random()
                torn = fate >= 0.9
                dropped += fate >= 0.5
                for at in range(0, len(e.data), SECTOR):
                    if fate < 0.5 or (torn and rng.random() < 0.5):
                        f.seek(e.offset + at)
                        f.write(e.data[at : at + SECTOR])
        return Cut(out, promised, dropped)

    def files(self, cut: Cut, to: Path) -> None:
        """Replay the file system's journal and copy all files out, without a mount or any privilege."""
        check = subprocess.run(["e2fsck", "-y", "-E", "journal_only", str(cut.image)], capture_output=True, timeout=120)
        if check.returncode > 1:
            raise RuntimeError(f"the file system itself is damaged: {check.stdout.decode()}")
        subprocess.run(["debugfs", "-R", f"rdump / {to}", str(cut.image)], capture_output=True, check=True, timeout=120)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--sparse=always", str(source), str(target)], check=True, timeout=60)
