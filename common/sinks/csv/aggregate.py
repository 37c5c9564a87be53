"""`readings/aggregate_data.csv`: all readings that are kept, in one file.

Rows are appended to it as they are to their files. Those of deleted files stay in it until they are more than the rest;
then it is made anew from the files, under another name, and renamed. So a sample is written twice on the whole.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from common import clock
from common.log import Log
from common.sinks.csv import disk, readings
from common.sinks.csv.tree import Files, Tree
from common.sinks.output import Row
from common.store.moves import FileState

PATH = f"{readings.MAIN}/aggregate_data.csv"
_BLOCK = 1 << 20
_HEADER = readings.HEADER
_TRY_AGAIN_S = 60.0


class Aggregate:
    """The store knows its size, and its inode (as `first_id`): so a file that was made anew is told from the old."""

    def __init__(self, root: Path, log: Log) -> None:
        self._root, self._file, self._log = root, root / PATH, log
        self._bytes = self._size = self._inode = 0
        self._fd = -1
        self.is_due = False  # to be made anew
        self._is_told = True  # what was made anew is in the store
        self._not_before_s = 0.0
        self._headers: dict[str, int] = {}  # header lengths of files that are not ours

    def restore(self, tree: Tree, states: Sequence[FileState]) -> None:
        """Raises OSError."""
        self.close()
        self._headers.clear()
        self._made().unlink(missing_ok=True)
        state = next((s for s in states if s.path == PATH), None)
        self._is_told = True
        self._not_before_s = 0.0
        try:
            found = self._file.stat()
        except FileNotFoundError:
            self._bytes = 0
            self.is_due = bool(self._kept(tree))
            return
        self._bytes = state.bytes if state else 0
        self._inode = found.st_ino
        self.is_due = state is None or tree.redo is not None or found.st_size < state.bytes
        self.is_due |= state is not None and (state.first_id != found.st_ino or state.boot_id != clock.boot_id())
        if not self.is_due:
            os.truncate(self._file, self._bytes)

    def apply(self, tree: Tree, rows: Sequence[Row]) -> Files:
        """Raises OSError; then `undo` is called for."""
        self._size = self._bytes
        if self.is_due or tree.redo is not None:
            return {}
        data = b"".join([b"".join(c.data) for c in tree.changes.values() if c.file.group == readings.MAIN])
        if not data:
            return {}
        if self._fd < 0:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._inode = os.fstat(self._fd).st_ino
        if not self._bytes:
            data = _HEADER + data
        disk.write(self._fd, data, self._bytes)
        self._size = self._bytes + len(data)
        return {PATH: self._state(self._size)}

    def noted(self) -> dict[str, int]:
        return {}

    def undo(self) -> None:
        """Raises OSError."""
        if self._fd >= 0:
            os.ftruncate(self._fd, self._bytes)

    def settle(self, tree: Tree) -> None:
        self._bytes = self._size

    def tidy(self, tree: Tree) -> Files:
        """Makes it anew where that is due. A disk that has no room for it is no reason to stop the readings."""
        if tree.redo is not None or not self._is_told or clock.boot_ns() / 1e9 < self._not_before_s:
            return {}
        kept = self._kept(tree)
        bodies = sum(max(0, size - self._header(tree, path)) for path, size in kept.items())
        self.is_due |= bool(self._bytes) and not self._is_the_same()
        if not (self.is_due or (self._bytes - len(_HEADER)) - bodies > bodies):
            return {}
        try:
            self._make(tree, kept)
        except OSError as e:
            self._made().unlink(missing_ok=True)
            self._not_before_s = clock.boot_ns() / 1e9 + _TRY_AGAIN_S
            self._log.seldom("aggregate", "csv: aggregate_data.csv cannot be made anew, tried again", reason=e.strerror)
            return {}
        self.is_due = self._is_told = False
        return {PATH: self._state(self._bytes)}

    def committed(self) -> None:
        self._is_told = True

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # ---- below

    def _state(self, size: int) -> FileState:
        # of no table: it is made from files, so that the store need not keep rows for it
        return FileState(PATH, "", self._inode, size, False, clock.boot_id())

    def _made(self) -> Path:
        return self._file.with_name(f"{self._file.name}.tmp")

    def _kept(self, tree: Tree) -> dict[str, int]:
        top = f"{readings.MAIN}/"
        return {path: size for path, size in tree.kept.items() if path.startswith(top)}

    def _header(self, tree: Tree, path: str) -> int:
        """Bytes of a file's first line: the seed's ends otherwise than ours."""
        if path not in self._headers:
            if len(self._headers) > 4 * len(tree.kept):
                self._headers.clear()
            self._headers[path] = len(disk.first_line(self._root / path))
        return self._headers[path]

    def _is_the_same(self) -> bool:
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return False
        return found.st_ino == self._inode and found.st_size == self._bytes

    def _make(self, tree: Tree, kept: dict[str, int]) -> None:
        made = self._made()
        made.parent.mkdir(parents=True, exist_ok=True)
        with made.open("wb") as out:
            out.write(_HEADER)
            for path, size in sorted(kept.items(), key=lambda one: one[0].removesuffix(".csv")):
                if not (self._root / path).exists():
                    continue  # another hand deleted it
                with (self._root / path).open("rb") as source:
                    source.readline()
                    left = size - source.tell()
                    while left > 0 and (block := source.read(min(_BLOCK, left))):
                        out.write(block)
                        left -= len(block)
            out.flush()
            os.fsync(out.fileno())
            size, inode = out.tell(), os.fstat(out.fileno()).st_ino
        self.close()
        made.rename(self._file)
        disk.sync(made.parent)
        self._bytes = self._size = size
        self._inode = inode
