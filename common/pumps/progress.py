"""How many steps the run that goes on has made: a memory-mapped file, so that it is known after a SIGKILL."""

import mmap
import os
from pathlib import Path

_SIZE, _ID = 4096, 64
_ID_AT = 8


class Progress:
    """`cell[0]` is the count of the run that `begin` named."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o660)
        try:
            os.posix_fallocate(fd, 0, _SIZE)  # a hole on a full disk would be a SIGBUS
            self._map = mmap.mmap(fd, _SIZE)
        finally:
            os.close(fd)
        self._view = memoryview(self._map)
        self.cell = self._view[:8].cast("q")

    def begin(self, command_id: str) -> None:
        """The count begins at 0 for this run."""
        self._view[_ID_AT : _ID_AT + _ID] = bytes(_ID)
        self.cell[0] = 0
        self._view[_ID_AT : _ID_AT + _ID] = command_id.encode().ljust(_ID, b"\0")

    def of(self, command_id: str) -> int:
        """Steps of a run, 0 where the file is of another: it never began."""
        found = bytes(self._view[_ID_AT : _ID_AT + _ID]).rstrip(b"\0")
        return max(0, self.cell[0]) if found == command_id.encode() else 0

    def close(self) -> None:
        self.cell.release()
        self._view.release()
        self._map.close()
