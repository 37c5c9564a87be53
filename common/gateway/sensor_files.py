"""The readings tree as clients of the old sensor program see it. Pure file work, for a thread that may wait.

A name is the path below `readings`: `2026/11/Week_4/22/120000.csv`. Only names that `names` has found are ever opened.
"""

import io
import math
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_LEVELS = (r"\d{4}", r"\d\d", r"Week_\d", r"\d\d", r"\d{6}(?:-\d+)?\.csv")
_PATTERNS = [re.compile(rf"{level}\Z", re.ASCII) for level in _LEVELS]
_TAIL_BYTES = 65_536  # more than 1000 rows
_PIECE = 262_144
LAST = 1000  # points of one file
_ZIP_S = 315_532_800, 4_354_819_198  # 1980 to 2107: no other time can stand in a ZIP file

Point = dict[str, Any]


def names(root: Path) -> list[str]:
    """All files, newest first. Links are not followed."""
    return sorted(_below(root, "", 0), reverse=True)


def _below(folder: Path, prefix: str, level: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if _PATTERNS[level].match(entry.name)]
    except OSError:
        return
    if level == len(_LEVELS) - 1:
        yield from (prefix + entry.name for entry in found if entry.is_file(follow_symlinks=False))
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(folder / entry.name, f"{prefix}{entry.name}/", level + 1)


def pick(known: Sequence[str], asked: str) -> str | None:
    """The known name that is meant: itself, or the newest of that file name alone. None: there is none."""
    if asked in known:
        return asked
    return next((name for name in known if name.rpartition("/")[2] == asked), None)


def structure(root: Path, known: Sequence[str]) -> dict[str, Any]:
    """year → month → week → day → [{filename, path, size, modified}], as the old program's calendar wants it."""
    tree: dict[str, Any] = {}
    for name in known:
        *folders, day, filename = name.split("/")
        try:
            found = os.stat(root / name, follow_symlinks=False)
        except OSError:
            continue  # retention was quicker
        at = tree
        for folder in folders:
            at = at.setdefault(folder, {})
        entry = {"filename": filename, "path": name, "size": found.st_size, "modified": found.st_mtime}
        at.setdefault(day, []).append(entry)
    return tree


def start_s(name: str) -> float:
    """When a file's period begins, epoch seconds, by its name."""
    year, month, _, day, filename = name.split("/")
    return datetime.strptime(f"{year}{month}{day}{filename[:6]}", "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()


def open_one(root: Path, name: str) -> io.BufferedReader:
    """Raises OSError; a link in place of the file is one."""
    fd = os.open(root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    return os.fdopen(fd, "rb")


def tail(root: Path, name: str, last: int = LAST) -> list[Point]:
    """The last points of a file: `timestamp` (ISO 8601, UTC), `acceleration` (g; null: unknown). Raises OSError."""
    with open_one(root, name) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        text = file.read(_TAIL_BYTES)
    # the first line is the header, or a part of one; behind the last newline a row is being written
    lines = text.split(b"\n")[1:-1]
    try:
        begin_s = start_s(name)
    except ValueError:  # no such day
        return []
    points = (_point(begin_s, line) for line in lines[-last:])
    return [point for point in points if point is not None]


def _point(begin_s: float, line: bytes) -> Point | None:
    ms, _, value = line.partition(b",")
    try:
        return point(begin_s + float(ms.removesuffix(b"ms")) / 1e3, float(value) if value.strip() else None)
    except (ValueError, OverflowError):
        return None


def point(t_s: float, acceleration: float | None) -> Point:
    """As the clients get it. NaN and infinity are null."""
    value = None if acceleration is None or not math.isfinite(acceleration) else round(acceleration, 4)
    return {"timestamp": datetime.fromtimestamp(t_s, UTC).isoformat(timespec="microseconds"), "acceleration": value}


class _Pipe(io.RawIOBase):
    """Takes what a ZIP file is made of; `taken` gives it on."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def zipped(root: Path, known: Sequence[str]) -> Iterator[bytes]:
    """A ZIP file of these, made as it is taken: nothing of it is on the disk, one piece in memory.

    A file that retention has deleted meanwhile is left out; one that grows has what it had when its turn came.
    """
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in known:
            try:
                file = open_one(root, name)
            except OSError:
                continue
            with file:
                found = os.fstat(file.fileno())
                mtime_s = min(max(found.st_mtime, _ZIP_S[0]), _ZIP_S[1])
                info = zipfile.ZipInfo(f"sensor_data/{name}", datetime.fromtimestamp(mtime_s, UTC).timetuple()[:6])
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                left = found.st_size
                with archive.open(info, "w", force_zip64=left > 1 << 30) as member:
                    while left and (piece := file.read(min(_PIECE, left))):
                        left -= len(piece)
                        member.write(piece)
                        if made := pipe.taken():
                            yield made
    yield pipe.taken()
