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


class Placed(NamedTuple):
    """put: files that were written. aside: what lay there before. others: files of conf.d that the backup has not."""

    put: list[Path]
    aside: list[Path]
    others: list[Path]


NOTHING = Placed([], [], [])


def place(source: Path, manifest: Manifest, loaded: Loaded, stamp: str) -> Placed:
    """Raises RigbusError, OSError."""
    main = loaded.sources[0]
    placed, ours = Placed([], [], []), set[Path]()
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
        if contents.copy(source / part.path, made) != part.sha256:
            made.unlink()
            raise RigbusError(f"{source / part.path}: damaged, it is not what was backed up")
        _same_rights(made, target)
        if target.exists():
            aside = contents.unused(target.with_name(f"{target.name}.before-restore-{stamp}"))
            target.rename(aside)
            placed.aside.append(aside)
        made.rename(target)
        fsync_path(target.parent)
        placed.put.append(target)
    placed.others.extend(path for path in loaded.sources if path not in ours)
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
