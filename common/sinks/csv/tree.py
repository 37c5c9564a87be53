"""Folders of files that rows are only ever appended to, a page at a time: the page is written whole, or not at all.

Rows have a base: the path of their file without its end, `readings/2026/03/Week_1/05/120000`. A few files are open at a
time in each group of bases (a sensor, a device), for late data comes between the live. The one that was not used for
longest is closed for another: fsynced, and never opened again. Rows of a base whose file is closed go to `…-2.csv`.
"""

import os
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from common import clock
from common.log import Log
from common.sinks.csv import disk
from common.sinks.csv.file import Change, File, close
from common.sinks.csv.redo import Redo
from common.store.moves import FileState

Piece = tuple[int, bytes]  # id of a row, and what it is in a file
Files = dict[str, FileState | None]
_GONE = "the store does not have its first rows any more"


class Shape(NamedTuple):
    """What the files of a table look like.

    name: matches the path of each of them, with groups `base` and `group`. tops: the folders that they are in. ends_s:
    base → when its period is over, in seconds since 1970. most_open: of a group. max_bytes: rows beyond go to another.
    """

    table: str
    name: re.Pattern[str]
    tops: Sequence[str]
    ends_s: Callable[[str], float]
    most_open: int = 4
    max_bytes: float = float("inf")


class Tree:
    """`begin` a page, `take` its rows, `apply` it; `settle` what was applied, or `undo` it.

    open: base → file, the one not used for longest first. kept: path → bytes of every file there is, oldest first.
    news: what the store is to be told with the next page.
    """

    def __init__(self, root: Path, shape: Shape, log: Log) -> None:
        self.root, self.shape, self._log = root, shape, log
        self.open: dict[str, File] = {}
        self.reset()

    def reset(self) -> None:
        """Knows of nothing: for a start."""
        self.close_all()
        self.open = {}
        self.kept: dict[str, int] = {}
        self.news: Files = {}
        self.redo: Redo | None = None
        self._planned: dict[str, File] = {}
        self._alone = False
        self._folders: set[Path] = set()
        self.changes: dict[str, Change] = {}

    def close_all(self) -> None:
        for file in self.open.values():
            close(file)

    # ---- a page

    def begin(self, ids: Sequence[int], *, alone: bool = False) -> None:
        """ids: of the page's rows. alone: rows from before the cursor, asked for again: files of their own."""
        self.changes, self._alone = {}, alone
        self._planned = {} if alone else dict(self.open)
        if self.redo is not None and not alone:
            for file in self.redo.begin(ids):
                self.give_up(file, _GONE)

    def header_of(self, base: str, row_id: int) -> bytes:
        """Of the file that such a row would be appended to; "" for a new one."""
        if self.redo is not None and not self._alone and row_id <= self.redo.cursor:
            file = self.redo.files.get(base)
        else:
            file = self._planned.get(base)
        return file.header if file is not None else b""

    def take(self, base: str, group: str, header: bytes, pieces: Sequence[Piece]) -> None:
        """Rows of one base, rising in id."""
        if self.redo is not None and not self._alone:
            pieces = self._again(base, header, pieces)
        change = None
        for row_id, data in pieces:
            if change is None or change.size >= self.shape.max_bytes:
                change = self._change_for(base, group, header, row_id)
            change.add(data)

    def apply(self) -> None:
        """Raises OSError; then `undo` is called for."""
        if self.redo is not None:
            done = self.redo.end_of_page()
            for group in {self.redo.files[base].group for base in done}:
                self._evict(group, self.redo.files.keys() - done)
        for change in self.changes.values():
            change.close |= self._alone
            self._write(change)
            if change.close:
                os.fsync(change.file.fd)
                close(change.file)
                self._folders.add((self.root / change.file.path).parent)
        if any(change.close for change in self.changes.values()):
            for folder in sorted(self._folders):
                disk.sync(folder)

    def undo(self) -> None:
        """Every file is as it was before the page. Raises OSError."""
        for change in self.changes.values():
            file = change.file
            if change.new and file.inode:
                (self.root / file.path).unlink(missing_ok=True)
                close(file)
                file.inode = 0
            elif file.inode:
                os.truncate(self.root / file.path, file.bytes)
        self.changes = {}

    def settle(self) -> None:
        """The page stands."""
        now_s = clock.boot_ns() / 1e9
        for change in self.changes.values():
            file = change.file
            file.bytes, file.used_s = change.size, now_s
            self.kept[file.path] = file.bytes
            self._tell(file, closed=change.close)
        if not self._alone:
            self.open = self._planned
        if any(change.close for change in self.changes.values()):
            self._folders.clear()
        self.changes = {}
        if self.redo is not None and not self._alone and self.redo.settle():
            self.finish()

    def told(self) -> Files:
        """What the store is to know, once."""
        if self.redo is not None:
            return {}
        news, self.news = self.news, {}
        return news

    # ---- beside pages

    def finish(self) -> None:
        """Nothing is left to be written anew: all is read."""
        if self.redo is None:
            return
        for file in self.redo.left():
            self.give_up(file, _GONE)
        files = list(self.redo.files.values())
        self.redo = None
        for file in files:
            if self.open.get(file.base) is file:
                self._tell(file, closed=False)

    def close_old(self, now_s: float, unused_s: float) -> None:
        """Files whose period is over and that nothing was written to for so long. Raises OSError."""
        since = clock.boot_ns() / 1e9 - unused_s
        old = [f for f in self.open.values() if f.used_s <= since and self.shape.ends_s(f.base) <= now_s - unused_s]
        for file in old:
            path = self.root / file.path
            if not path.exists():
                self.forget(file.path)  # another hand has deleted it
                continue
            disk.sync(path)
            for folder in sorted({path.parent, *self._folders}):
                disk.sync(folder)
        for file in old:
            self._shut(file)

    def give_up(self, file: File, why: str) -> None:
        """A file that cannot be what it should be: what is whole of it stays, and it is closed."""
        path = self.root / file.path
        if self.redo is not None:
            self.redo.drop(file)
        self._log.warning("csv: a file is kept as it is", file=file.path, reason=why)
        try:
            file.bytes = disk.whole_lines(path, min(path.stat().st_size, file.bytes))
            os.truncate(path, file.bytes)
            disk.sync(path)
            self.kept[file.path] = file.bytes
        except FileNotFoundError:
            self.forget(file.path)
        except OSError as e:
            self._log.warning("csv: it cannot be cut to whole lines", file=file.path, reason=e.strerror)
        self._shut(file)

    def forget(self, path: str) -> None:
        """The file is gone."""
        self.kept.pop(path, None)
        self.news[path] = None

    # ---- below

    def _shut(self, file: File) -> None:
        close(file)
        for opened in (self.open, self._planned):
            if opened.get(file.base) is file:
                del opened[file.base]
        if file.path in self.kept:
            self._tell(file, closed=True)

    def _tell(self, file: File, *, closed: bool) -> None:
        table, boot_id = self.shape.table, clock.boot_id()
        self.news[file.path] = FileState(file.path, table, file.first_id, file.bytes, closed, boot_id)

    def _again(self, base: str, header: bytes, pieces: Sequence[Piece]) -> Sequence[Piece]:
        """Takes what goes into a file that is written anew; returns what lies beyond the cursor."""
        assert self.redo is not None
        file, own, beyond = self.redo.split(base, pieces)
        if file is not None and own:
            change = self.changes.setdefault(file.path, Change(file))
            change.begin_with(header)
            for _, data in own:
                change.add(data)
        return beyond

    def _change_for(self, base: str, group: str, header: bytes, row_id: int) -> Change:
        file = self._planned.pop(base, None)
        change = self.changes.get(file.path) if file is not None else None
        if file is not None and change is None:
            if self._is_ours_still(file):
                change = self.changes[file.path] = Change(file)
            else:
                self.give_up(file, "another hand was at it")
                file = None
        if change is not None and (change.size >= self.shape.max_bytes or change.file.header != header):
            change.close, file = True, None
        if file is None or change is None:
            file = File(base, group, self._free(base), row_id)
            change = self.changes[file.path] = Change(file)
            change.begin_with(header)
        self._planned[base] = file
        # files that are written anew may have rows that come later in the page
        self._evict(group, self.redo.files.keys() if self.redo is not None else ())
        return change

    def _evict(self, group: str, spared: Collection[str]) -> None:
        of_group = [file for file in self._planned.values() if file.group == group and file.base not in spared]
        for file in of_group[: -self.shape.most_open]:
            del self._planned[file.base]
            self.changes.setdefault(file.path, Change(file)).close = True

    def _is_ours_still(self, file: File) -> bool:
        try:
            found = os.stat(self.root / file.path)
        except OSError:
            return False
        return found.st_size == file.bytes and file.inode in (0, found.st_ino)

    def _free(self, base: str) -> str:
        path, n = f"{base}.csv", 1
        while any(p in self.kept or p in self.changes or (self.root / p).exists() for p in (path, f"{path}.gz")):
            n += 1
            path = f"{base}-{n}.csv"
        return path

    def _write(self, change: Change) -> None:
        file, path = change.file, self.root / change.file.path
        if file.fd < 0:
            anew = change.new and self.redo is not None and file is self.redo.files.get(file.base)
            if change.new:
                self._folders.update(disk.make_folders(path.parent, self.root))
                self._folders.add(path.parent)
            flags = (os.O_CREAT | (os.O_TRUNC if anew else os.O_EXCL)) if change.new else 0
            file.fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o644)
            file.inode = os.fstat(file.fd).st_ino
        disk.write(file.fd, b"".join([change.header, *change.data]), file.bytes)
