"""What is set aside instead of being cut: `X.csv.orphan`, or `X.csv.from-N.orphan` for the bytes of X.csv from N on.

Such rows lie beyond the store's cursor. After a kill they come again, into the same file: once the same bytes stand
there, the orphan goes. What does not come again (the store was replaced by an older one) stays, and is the user's.
"""

import gzip
import os
import re
from pathlib import Path
from typing import Any

from common.log import Log
from common.sinks.csv import disk

NAME = re.compile(r"(?P<path>.+\.csv(?:\.gz)?)(?:\.from-(?P<offset>\d+))?(?:\.\d+)?\.orphan")
_BLOCK = 1 << 20


class Orphans:
    def __init__(self, root: Path, log: Log) -> None:
        self._root, self._log = root, log
        self._waiting: set[str] = set()

    def found(self, path: str) -> None:
        """One of an earlier start."""
        self._waiting.add(path)

    def set_aside(self, path: str) -> None:
        """The whole file gets another name. Raises OSError."""
        aside = self._free(path)
        os.rename(self._root / path, self._root / aside)
        disk.sync((self._root / path).parent)
        self._waiting.add(aside)
        self._log.info("csv: set aside, its rows lie beyond the cursor", file=aside)

    def set_aside_tail(self, path: str, offset: int) -> None:
        """A copy of what stands in the file from there on, unless it is nothing. Raises OSError."""
        aside = self._free(f"{path}.from-{offset}")
        with (self._root / path).open("rb") as source:
            source.seek(offset)
            block = source.read(_BLOCK)
            if not block.strip(b"\0"):
                return  # room that was never written
            with (self._root / aside).open("wb") as copy:
                while block:
                    copy.write(block)
                    block = source.read(_BLOCK)
                copy.flush()
                os.fsync(copy.fileno())
        self._waiting.add(aside)

    def settle(self) -> None:
        """Removes those whose bytes stand in their files again. Raises OSError."""
        for aside in sorted(self._waiting):
            match = NAME.fullmatch(aside)
            path, offset = self._root / match["path"], int(match["offset"] or 0) if match else 0  # type: ignore[index]
            own, there = disk.size(self._root / aside), disk.size(path)
            packed = path.with_name(f"{path.name}.gz")
            if own is None:
                self._waiting.discard(aside)
            elif (there is not None and there >= offset + own) or (there is None and packed.exists()):
                if _same(self._root / aside, path if there is not None else packed, offset):
                    (self._root / aside).unlink()
                self._waiting.discard(aside)

    def _free(self, path: str) -> str:
        aside, n = f"{path}.orphan", 1
        while (self._root / aside).exists():
            n += 1
            aside = f"{path}.{n}.orphan"
        return aside


def _same(aside: Path, path: Path, offset: int) -> bool:
    unpacked: Any = gzip.open if path.suffix == ".gz" else open
    with aside.open("rb") as a, unpacked(path, "rb") as b:
        b.seek(offset)
        while block := a.read(_BLOCK):
            if b.read(len(block)) != block:
                return False
    return True
