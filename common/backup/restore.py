"""Puts a backup back onto a rig that is stopped. Nothing is deleted: what has to make room is set aside.

All is copied and made ready beside its place first, and the database is the last to go there. Cut short anywhere, it is
done again from the start; until then the sink refuses to begin an empty database (common/store/database.py).
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from common import sinks
from common.backup import configuration, contents, rejoin
from common.backup.contents import DATA, Manifest, Told
from common.config.load import Loaded
from common.errors import ConfigError, RigbusError
from common.journal.counter import disown
from common.latch import Latch
from common.log import Log
from common.paths import RESTORING, STORE, Folders, Lock, fsync_path, is_alive, is_held, open_as
from common.rig import DAEMONS
from common.rights import OWN, rights_of
from common.secrets import Secrets
from common.store import schema, space

_BESIDE = ("", "-wal", "-shm")
_LATCHED = ("pump", "dds")  # daemons with an emergency stop
_MARGIN_BYTES = 4 << 20


class Options(NamedTuple):
    """force: what is in the way is set aside. all: it is put back whatever is there; else only the database is, and

    what is missing. config: the configuration, too.
    """

    force: bool = False
    all: bool = False
    config: bool = False


class Restored(NamedTuple):
    """put, stayed: units (`contents.unit_of`). aside: where what was in the way lies now. latched: daemons."""

    manifest: Manifest
    put: list[str]
    stayed: list[str]
    aside: Path | None
    latched: list[str]
    config: configuration.Placed


def restore(loaded: Loaded, folders: Folders, source: Path, options: Options, told: Told) -> Restored:
    """Raises RigbusError (nothing has changed then), OSError."""
    manifest = contents.read(source)
    if manifest.schema > len(schema.MIGRATIONS):
        raise RigbusError(
            f"{source}: made by a newer rigbus ({manifest.rigbus}): its database has schema version "
            f"{manifest.schema}, this rigbus knows only {len(schema.MIGRATIONS)}"
        )
    with rights_of(folders.data):
        return _restore(manifest, loaded, folders, source, options, told)


def _restore(
    manifest: Manifest, loaded: Loaded, folders: Folders, source: Path, options: Options, told: Told
) -> Restored:
    folders.make()
    with _stopped(folders):
        units = sorted({unit for part in manifest.parts if (unit := contents.unit_of(part.path))})
        there = [unit for unit in units if contents.is_there(folders.data / unit)]
        put = [unit for unit in units if options.all or unit not in there]
        in_the_way = [path for end in _BESIDE if (path := folders.data / f"{STORE}{end}").exists()]
        in_the_way += [folders.data / unit for unit in there if unit in put]
        if in_the_way and not options.force:
            raise RigbusError(f"there already: {', '.join(map(str, in_the_way))}; --force sets aside what is there")
        ready, unready = folders.data / RESTORING, folders.data / f"{RESTORING}.new"
        if (marker := ready / STORE).exists():  # of one that was cut short: its room is needed
            os.truncate(marker, 0)
        _copy(source, manifest, unready, put, loaded, told)
        told("database", 0, 0)
        config = configuration.Ready([], [])
        try:
            now_ns = rejoin.rejoin(unready / STORE, manifest, source, _feeds(loaded, folders))
            latched = _make_ready(unready, put, manifest)
            _open_as(unready, folders.data)
            if options.config:
                with rights_of(loaded.sources[0]):
                    config = configuration.prepare(source, manifest, loaded)
        except BaseException:
            shutil.rmtree(unready, ignore_errors=True)
            raise
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ns // 10**9))
        aside = contents.unused(folders.data / f"before-restore-{stamp}")
        _begin(unready, ready)
        _place(ready, folders, aside, put)
        with rights_of(loaded.sources[0]):
            placed = configuration.place(config, stamp)
    return Restored(manifest, put, there if not options.all else [], aside if aside.exists() else None, latched, placed)


@contextmanager
def _stopped(folders: Folders) -> Iterator[None]:
    """Nothing of the rig runs, and nothing can start. RigbusError: something does."""
    running = [daemon.name for daemon in DAEMONS if is_alive(folders, daemon.name)]
    if running or any(is_held(folder / "run.lock") for folder in folders):
        who = ", ".join(running) or "rigbus run"
        how = "Ctrl-C, or systemctl stop rigbus.target 'rigbus-*.service'"
        raise RigbusError(f"the rig runs ({who}): stop it first ({how})")
    paths = [(folder, folder / "run.lock") for folder in folders]
    paths += [(folders.data, folders.counters("sink") / "lock")]
    paths += [(folders.run, folders.run / f"{daemon.name}.lock") for daemon in DAEMONS]
    with ExitStack() as held:
        for folder, path in paths:
            held.callback(Lock(path).release)
            while path != folder:
                open_as(path, folder.stat())
                path = path.parent
        yield


def _feeds(loaded: Loaded, folders: Folders) -> dict[str, list[str]]:
    """Output that is switched on → the tables it reads."""
    found = {}
    for name in sinks.enabled(loaded.config):
        place = (loaded.config, folders.data, Log("restore"), Secrets(loaded.env_file))
        # its library is missing: the sink says so; or it lies where the data's owner may not read
        with suppress(ConfigError), rights_of(OWN):
            found[name] = [feed.table for feed in sinks.open_output(name, *place).feeds()]
    return found


def _copy(source: Path, manifest: Manifest, ready: Path, put: list[str], loaded: Loaded, told: Told) -> None:
    """What is to be put back, checked, into a folder beside its place."""
    if ready.exists():  # of a restore that was cut short
        shutil.rmtree(ready)
    wanted = [part for part in manifest.parts if part.path == STORE or contents.unit_of(part.path) in put]
    if all(part.path != STORE for part in wanted):
        raise RigbusError(f"{source}: a backup without a database")
    total, done = sum(part.bytes for part in wanted), 0
    needed = total + _MARGIN_BYTES + space.floor_bytes(ready.parent, loaded.config.sink.min_free_mb)
    if (free := space.free_bytes(ready.parent)) < needed:
        raise RigbusError(f"{ready.parent}: {free / 1e6:.0f} MB are free, this needs {needed / 1e6:.0f} MB")
    ready.mkdir(mode=0o700)
    try:
        for part in wanted:
            told("copying", done, total)
            if contents.copy(source / part.path, ready / part.path, OWN) != part.sha256:
                raise RigbusError(f"{source / part.path}: damaged, it is not what was backed up")
            done += part.bytes
        told("copying", done, total)
    except BaseException:
        shutil.rmtree(ready, ignore_errors=True)
        raise


def _make_ready(ready: Path, put: list[str], manifest: Manifest) -> list[str]:
    """What is put back must not be taken for newer than it is; the daemons whose emergency stop is set for that."""
    at = datetime.fromtimestamp(manifest.t_ns / 1e9, UTC)
    for unit in put:
        if (counter := ready / DATA / unit / "counter").exists():
            disown(counter)
    latched = [unit for unit in put if unit in _LATCHED]
    for unit in latched:
        Latch(ready / DATA / unit).set(
            f"restored from a backup of {at:%Y-%m-%d %H:%M} UTC, what moved since is unknown"
        )
    return latched


def _begin(unready: Path, ready: Path) -> None:
    """From here on, cut short, nothing of the rig starts before it was done again: `paths.require_whole`."""
    if ready.exists():  # of one that was cut short; the marker is there at any time
        shutil.rmtree(ready / DATA, ignore_errors=True)
        for path in sorted(unready.iterdir()):
            path.replace(ready / path.name)
        unready.rmdir()
    else:
        unready.rename(ready)
    fsync_path(ready.parent)


def _place(ready: Path, folders: Folders, aside: Path, put: list[str]) -> None:
    """Moves what is ready to its place, the database last."""
    for unit in put:
        here = folders.data / unit
        if contents.is_there(here):
            _set_aside(here, aside / unit)
            if unit.startswith("journal/") and (in_memory := folders.run / unit).exists():
                _set_aside(in_memory, aside / "run" / unit)  # its numbers are of the counter that goes
        elif here.exists():
            shutil.rmtree(here)  # a lock, a spare, a latch (which is set anew)
        here.parent.mkdir(exist_ok=True)
        (ready / DATA / unit).rename(here)
        fsync_path(here.parent)
    for end in _BESIDE:
        if (present := folders.data / f"{STORE}{end}").exists():
            _set_aside(present, aside / present.name)
    if aside.exists():
        _open_as(aside, folders.data)
    (ready / STORE).rename(folders.store)
    fsync_path(folders.data)
    shutil.rmtree(ready)


def _set_aside(path: Path, aside: Path) -> None:
    aside.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, aside)  # it may be another file system: the run folder's
    fsync_path(aside.parent)


def _open_as(folder: Path, data: Path) -> None:
    """As `open_as` does it, all that is in it: whoever restores, the daemons must write there. On the disk then."""
    like = data.stat()
    for here, _, names in os.walk(folder):
        for path in (Path(here), *(Path(here, name) for name in names)):
            open_as(path, like)
            fsync_path(path)
