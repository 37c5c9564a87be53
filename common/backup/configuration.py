"""The configuration out of a backup, to the place of the one in use; that is set aside where it differs."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from common.backup import contents
from common.backup.contents import CONFIG, ENV, Manifest
from common.config.load import Loaded
from common.errors import RigbusError
from common.paths import fsync_path
from common.rights import OWN


class Placed(NamedTuple):
    """put: files that were written. aside: what lay there before. others: files of conf.d that the backup has not."""

    put: list[Path]
    aside: list[Path]
    others: list[Path]


class Ready(NamedTuple):
    """made: copies beside their targets, checked. others: see Placed."""

    made: list[tuple[Path, Path]]
    others: list[Path]


def prepare(source: Path, manifest: Manifest, loaded: Loaded) -> Ready:
    """Copies what differs beside its place, all of it or nothing. Raises RigbusError, OSError."""
    main = loaded.sources[0]
    ready, ours = Ready([], []), set[Path]()
    try:
        for part in manifest.parts:
            name = Path(part.path)
            if name.parts[0] != CONFIG:
                continue
            name = name.relative_to(CONFIG)
            target = main if str(name) == manifest.main else main.parent / name
            ours.add(target)
            if target.exists() and contents.sha256(target) == part.sha256:
                continue
            made = target.with_name(f".{target.name}.restoring")
            ready.made.append((made, target))
            if contents.copy(source / part.path, made, OWN) != part.sha256:
                raise RigbusError(f"{source / part.path}: damaged, it is not what was backed up")
            _same_rights(made, target)
    except BaseException:
        drop(ready)
        raise
    ready.others.extend(path for path in loaded.sources if path not in ours)
    return ready


def drop(ready: Ready) -> None:
    for made, _ in ready.made:
        made.unlink(missing_ok=True)


def place(ready: Ready, stamp: str) -> Placed:
    """Each goes to its place in one step: there is a whole file at any time. Raises OSError."""
    placed = Placed([], [], ready.others)
    for made, target in ready.made:
        if target.exists():
            aside = contents.unused(target.with_name(f"{target.name}.before-restore-{stamp}"))
            shutil.copy2(target, aside)
            if os.geteuid() == 0:
                os.chown(aside, target.stat().st_uid, target.stat().st_gid)
            fsync_path(aside)
            placed.aside.append(aside)
        made.replace(target)
        fsync_path(target.parent)
        placed.put.append(target)
    return placed


def _same_rights(made: Path, target: Path) -> None:
    """As what lies there now; else as that folder's files are: read by its group, secrets by nobody else."""
    if target.exists():
        shutil.copymode(target, made)
        like = target.stat()
    else:
        made.chmod(0o600 if target.name == ENV else 0o640)
        like = target.parent.stat()
    if os.geteuid() == 0:
        os.chown(made, 0 if target.name == ENV else like.st_uid, 0 if target.name == ENV else like.st_gid)
