"""What a backup holds: `backup.json`, the database, what the daemons must remember, the configuration.

docs/backup.md lists it. The database lies there as a plain file, so that it can be asked, and be put in place by hand.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from common.errors import RigbusError
from common.rig import DAEMONS
from common.rights import rights_of

FORMAT = 1
MANIFEST = "backup.json"
DATA, CONFIG = "data", "config"
ENV = ".env"
_MADE_ANEW = ("lock", "spare")  # by whoever opens them
_LATCH = ("estop", "estop.spare")
_BLOCK = 4 << 20

Told = Callable[[str, int, int], None]  # what is being done, how much of it, out of how much


class Part(Struct):
    """A file. path: below the backup's folder. sha256: in hex."""

    path: str
    bytes: int
    sha256: str


class Manifest(Struct):
    """schema: version of the database's tables. main: name of the configuration's main file."""

    format: int
    rigbus: str
    node: str
    t_ns: int
    schema: int
    main: str
    secrets: bool
    parts: list[Part]


def read(folder: Path) -> Manifest:
    """RigbusError: there is no backup there, or one that this rigbus cannot read."""
    path = folder / MANIFEST
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError):
        inside = sorted(str(p.parent) for p in folder.glob(f"*/{MANIFEST}"))
        there = f"; the newest below it: {inside[-1]}" if inside else ""
        raise RigbusError(f"{folder}: no backup there (no {MANIFEST}){there}") from None
    except msgspec.MsgspecError as e:
        raise RigbusError(f"{path}: {e}") from None
    if found.format > FORMAT:
        raise RigbusError(f"{folder}: a backup of format {found.format}, this rigbus knows {FORMAT}")
    for part in found.parts:
        if Path(part.path).is_absolute() or ".." in Path(part.path).parts:
            raise RigbusError(f"{path}: {part.path!r} does not lie in the backup")
    return found


def write(folder: Path, manifest: Manifest) -> None:
    """Raises OSError."""
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def unused(path: Path) -> Path:
    """A path where nothing is: this one, or with -2, -3 and so on behind it."""
    found, n = path, 1
    while found.exists():
        n += 1
        found = path.with_name(f"{path.name}-{n}")
    return found


def sha256(path: Path) -> str:
    """Raises OSError."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def journals(data: Path) -> Iterator[Path]:
    """Counters, and segments of journals on the disk, below the data folder. Raises OSError."""
    for here in sorted((data / "journal").glob("*/")):
        yield from (p for p in (here / "counter", *sorted((here / "segments").glob("seg-*"))) if _is_file(p))


def records(data: Path) -> Iterator[Path]:
    """What daemons keep beside the store: each in the folder of its own name. Raises OSError."""
    for daemon in DAEMONS:
        for path in sorted((data / daemon.name).rglob("*")):
            if _is_file(path) and path.name not in _MADE_ANEW and path.suffix not in (".db-wal", ".db-shm"):
                yield path


def unit_of(part: str) -> str:
    """The folder below the data folder with which a file is put back or left: "journal/pulse", "pump"; "": of none."""
    top, *names = Path(part).parts
    if top != DATA or len(names) < 2:
        return ""
    return "/".join(names[:2] if names[0] == "journal" else names[:1])


def is_there(folder: Path) -> bool:
    """Whether a unit's folder holds anything but a latch and what is made anew at each start."""
    return any(_is_file(p) and p.name not in (*_MADE_ANEW, *_LATCH) for p in folder.rglob("*"))


def copy(source: Path, target: Path, by: Path) -> str:
    """Copies a file, on the disk when this returns; its sha256. No room is taken that it has not. Raises OSError.

    by: the source is read by whom this belongs to (`rights_of`).
    """
    digest = hashlib.sha256()
    with rights_of(by):
        found = source.open("rb")
    target.parent.mkdir(parents=True, exist_ok=True)
    with found, target.open("wb") as made:
        while block := found.read(_BLOCK):
            digest.update(block)
            made.write(block)
            made.flush()
            os.fdatasync(made.fileno())  # bit by bit: a rig that runs must not wait for all of it at once
    return digest.hexdigest()


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
