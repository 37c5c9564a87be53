"""Makes a backup of a rig, running or stopped, and deletes the oldest beyond so many.

First the journals, then the database, so that nothing lies between them; then what pumps and arm remember, which so
knows no less than the database: an outcome that was told is not told again.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from common import clock
from common.backup import contents
from common.backup.contents import CONFIG, DATA, ENV, MANIFEST, Manifest, Part, Told
from common.backup.snapshot import snapshot
from common.config.load import Loaded
from common.errors import RigbusError
from common.paths import STORE, Folders, Lock, fsync_path
from common.rights import rights_of
from common.store import readonly, schema, space

_MARGIN_BYTES = 4 << 20


class Made(NamedTuple):
    """removed: older backups that were deleted."""

    path: Path
    bytes: int
    seconds: float
    files: int
    removed: list[Path]


def make(loaded: Loaded, folders: Folders, into: Path, *, secrets: bool, keep: int, told: Told) -> Made:
    """A new folder below `into`, whole or not at all. keep: newest backups of this node that stay; 0: all.

    Raises RigbusError, OSError.
    """
    began = time.monotonic()
    with rights_of(folders.data):
        if not folders.store.exists():
            raise RigbusError(f"{folders.store}: no database there")
    with rights_of(into):
        return _make(loaded, folders, into, secrets=secrets, keep=keep, told=told, began=began)


def _make(loaded: Loaded, folders: Folders, into: Path, *, secrets: bool, keep: int, told: Told, began: float) -> Made:
    node = loaded.config.node
    into.mkdir(parents=True, exist_ok=True)
    lock = Lock(into / ".rigbus-backup.lock")  # one at a time
    try:
        for left in into.glob(f".rigbus-{node}-*.partial"):  # by one that was killed
            shutil.rmtree(left)
        _check_room(loaded, folders, into)
        path = contents.unused(into / f"rigbus-{node}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        partial = into / f".{path.name}.partial"
        partial.mkdir(mode=0o700)
        try:
            parts = _fill(loaded, folders, partial, secrets=secrets, told=told)
            _sync(partial)
            partial.rename(path)
            fsync_path(into)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        removed = _rotate(into, node, keep, path) if keep else []
    finally:
        lock.release()
    return Made(path, sum(part.bytes for part in parts), time.monotonic() - began, len(parts), removed)


def _fill(loaded: Loaded, folders: Folders, made: Path, *, secrets: bool, told: Told) -> list[Part]:
    parts: list[Part] = []

    def take(path: Path, name: str, *, mode: int = 0) -> None:
        target = made / name
        if mode and not os.access(path, os.R_OK, effective_ids=True):
            raise RigbusError(f"{made.parent}: whom that belongs to may not read {path}; no secrets into it")
        try:
            digest = contents.copy(path, target, path)
        except FileNotFoundError:
            return  # trimmed, or finished, since it was listed
        if mode:
            target.chmod(mode)
            if target.stat().st_mode & 0o077:
                raise RigbusError(f"{made.parent}: everybody may read what is there; no secrets into it")
        parts.append(Part(name, target.stat().st_size, digest))

    def take_database(path: Path, name: str, what: str) -> None:
        target = made / name
        target.parent.mkdir(parents=True, exist_ok=True)
        snapshot(path, target, lambda done, of: told(what, done, of))
        parts.append(Part(name, target.stat().st_size, contents.sha256(target)))

    told("journals", 0, 0)
    for path in _listed(contents.journals, folders):
        take(path, f"{DATA}/{path.relative_to(folders.data)}")
    with rights_of(folders.store):
        conn, _ = readonly.connect(str(folders.store))  # refuses what is not ours
        conn.close()
    t_ns = clock.wall_ns()
    take_database(folders.store, STORE, "database")
    for path in _listed(contents.records, folders):
        name = f"{DATA}/{path.relative_to(folders.data)}"
        if path.suffix == ".db":
            take_database(path, name, path.stem)
        else:
            take(path, name)
    main = loaded.sources[0]
    for path in loaded.sources:
        take(path, f"{CONFIG}/{path.name}" if path == main else f"{CONFIG}/conf.d/{path.name}")
    if secrets and loaded.env_file.exists():
        take(loaded.env_file, f"{CONFIG}/{ENV}", mode=0o600)
    manifest = Manifest(
        contents.FORMAT, _version(), loaded.config.node, t_ns, _schema(made / STORE), main.name, secrets, parts
    )
    contents.write(made, manifest)
    return parts


def _listed(which: Callable[[Path], Iterator[Path]], folders: Folders) -> list[Path]:
    with rights_of(folders.data):
        return list(which(folders.data))


def _check_room(loaded: Loaded, folders: Folders, into: Path) -> None:
    """On the disk of the database its share stays free: else it would have to give up rows for this."""
    there = os.stat(into).st_dev
    paths = _listed(contents.journals, folders) + _listed(contents.records, folders)
    with rights_of(folders.data):
        needed = _MARGIN_BYTES + sum(space.size(str(path)) for path in paths)
        needed += space.size(str(folders.store)) + space.size(f"{folders.store}-wal")
        if there == os.stat(folders.data).st_dev:
            needed += space.floor_bytes(folders.data, loaded.config.sink.min_free_mb)
    if (free := space.free_bytes(into)) < needed:
        raise RigbusError(f"{into}: {free / 1e6:.0f} MB are free, a backup needs {needed / 1e6:.0f} MB")


def _rotate(into: Path, node: str, keep: int, made: Path) -> list[Path]:
    """Deletes all but this one and the newest others of this node, by clocks that may have been wrong. OSError."""
    found: list[tuple[int, Path]] = []
    for path in into.glob(f"rigbus-{node}-*/{MANIFEST}"):
        try:
            manifest = contents.read(path.parent)
        except RigbusError:
            continue  # none of ours to delete
        if manifest.node == node and path.parent != made:
            found.append((manifest.t_ns, path.parent))
    gone = [path for _, path in sorted(found)[: max(0, len(found) - keep + 1)]]
    for path in gone:
        (path / MANIFEST).unlink()  # first: what is half deleted is no backup any more
        shutil.rmtree(path)
    return gone


def _sync(folder: Path) -> None:
    for here, _, names in os.walk(folder):
        for name in names:
            fsync_path(Path(here, name))
        fsync_path(Path(here))


def _schema(store: Path) -> int:
    conn, _ = readonly.connect(str(store))
    try:
        return schema.version(conn)
    finally:
        conn.close()


def _version() -> str:
    try:
        return version("rigbus")
    except PackageNotFoundError:
        return ""
