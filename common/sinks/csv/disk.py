"""Writes that are whole or raise, fsync of folders, and what an error of the disk means to the consumer."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from common.sinks.output import NotNow

_MENDING = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
    errno.EEXIST,
)


def write(fd: int, data: bytes, offset: int) -> None:
    """All of it. Raises OSError; then some of it may stand there."""
    view = memoryview(data)
    while view:
        n = os.pwrite(fd, view, offset)
        view, offset = view[n:], offset + n


def sync(path: Path) -> None:
    """A file or a folder. Raises OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folders(folder: Path, root: Path) -> list[Path]:
    """Makes it, below the root, and says which folders have new names in them: they are to be synced."""
    if folder.is_dir():
        return []
    missing = [folder]
    while missing[-1] != root and not missing[-1].parent.is_dir():
        missing.append(missing[-1].parent)
    folder.mkdir(parents=True, exist_ok=True)
    return [path.parent for path in missing]


def size(path: Path) -> int | None:
    """None: there is no such file."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def first_line(path: Path) -> bytes:
    """With its end; "" where there is none."""
    try:
        with path.open("rb") as f:
            line = f.readline(65_536)
    except FileNotFoundError:
        return b""
    return line if line.endswith(b"\n") else b""


def whole_lines(path: Path, end: int) -> int:
    """Where the last whole line up to `end` ends, and before the first zero byte: those were never written."""
    with path.open("rb") as f:
        at = safe = 0
        while at < end and (block := f.read(min(1 << 20, end - at))):
            zero = block.find(b"\0")
            last = (block if zero < 0 else block[:zero]).rfind(b"\n")
            if last >= 0:
                safe = at + last + 1
            if zero >= 0:
                break
            at += len(block)
    return safe


@contextlib.contextmanager
def errors_are_not_now(root: Path) -> Iterator[None]:
    """An OSError becomes NotNow, with a reason that stays the same while it lasts."""
    try:
        yield
    except OSError as e:
        needs_mending = e.errno in _MENDING
        where = e.filename if needs_mending and e.filename else root
        of_table = needs_mending and where != root
        raise NotNow(f"{where}: {e.strerror or e}", needs_mending=needs_mending, of_table=of_table) from e
