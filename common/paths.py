"""Where things stand: sockets and memory journals in the run folder, the store and counters in the data folder."""

import errno
import fcntl
import os
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from common.errors import RigbusError, UsageError
from common.rights import rights_of

MAX_SOCKET_PATH = 107  # bytes of sockaddr_un.sun_path, less the closing zero


STORE = "rigbus.db"
RESTORING = "restoring"  # in the data folder: what `rigbus restore` is putting in place, the database last


class Folders(NamedTuple):
    data: Path
    run: Path

    @property
    def store(self) -> Path:
        return self.data / STORE

    @property
    def bus_in(self) -> Path:
        return self.run / "in.sock"

    @property
    def bus_out(self) -> Path:
        return self.run / "out.sock"

    def ctl(self, src: str) -> Path:
        return self.run / f"{src}.ctl.sock"

    def counters(self, src: str) -> Path:
        """Folder of the counter file and the lock, on the disk wherever the journal is."""
        return self.data / "journal" / src

    def application(self, src: str) -> Path:
        """The counter file of an application (common/telemetry), whose frames are in its memory only."""
        return self.run / f"{src}.counter"

    def journal(self, src: str, place: str) -> Path:
        """Folder of the segments."""
        return (self.data if place == "disk" else self.run) / "journal" / src / "segments"

    def make(self) -> None:
        """Creates both. Raises RigbusError with the path that cannot be made."""
        for folder in self:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as e:
                raise RigbusError(f"{folder}: cannot be made: {e.strerror}") from None


def require_whole(data: Path) -> None:
    """Raises RigbusError where a restore was cut short: what lies in the data folder is of two times."""
    marker = data / RESTORING / STORE
    try:
        marker.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as e:
        raise RigbusError(f"{data}: {e.strerror}") from None
    raise RigbusError(f"{marker.parent}: a restore was cut short; run `rigbus restore` again")


def endpoint(path: Path) -> str:
    """The ZeroMQ address of a socket file. Raises UsageError where the kernel could not take the path."""
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise UsageError(f"{path}: a socket path may have {MAX_SOCKET_PATH} bytes, this has {len(os.fsencode(path))}")
    return f"ipc://{path}"


def open_to_group(path: Path) -> None:
    """chmod 0660, and the group `rigbus` where it exists and may be given."""
    path.chmod(0o660)
    try:
        shutil.chown(path, group="rigbus")
    except (LookupError, PermissionError):
        pass


def inode_of(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def fsync_path(path: Path) -> None:
    """Makes what a file holds durable, or the names in a folder. Raises OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Lock:
    """One process a source: libzmq would silently let a second one steal a live socket path."""

    def __init__(self, path: Path) -> None:
        """Raises RigbusError where another process holds it for two seconds (a look by `is_held` is over sooner)."""
        try:
            with rights_of(path):
                self._fd = self._open(path)
        except OSError as e:
            raise RigbusError(f"{path}: {e.strerror}") from None
        for _ in range(40):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.05)
        os.close(self._fd)
        raise RigbusError(f"{path} is held by another process of this name")

    def release(self) -> None:
        os.close(self._fd)

    @staticmethod
    def _open(path: Path) -> int:
        new = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o660)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            os.close(fd)
            raise RigbusError(f"{path}: not a file of its own, so no lock")
        if new:
            open_as(path.parent, path.parent.parent.stat())
        open_as(path, path.parent.stat(), 0o660)
        return fd


def open_as(path: Path, like: os.stat_result, mode: int | None = None) -> None:
    """What is made in a folder gets its permissions. Raises OSError.

    Else what one user of the rig makes would keep another out, or the services. like: the folder's stat. mode: of the
    file, instead. A link stays as it is, and so does what belongs to somebody else.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as e:
        if e.errno == errno.ELOOP:
            return
        raise
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid():
            return
        # Services may not set the bit that folders pass on (setgid), and need not; nor can each file system (a stick
        # with FAT).
        wanted = mode or like.st_mode & (0o7777 if stat.S_ISDIR(found.st_mode) else 0o666)
        if stat.S_IMODE(found.st_mode) != wanted:
            with suppress(PermissionError):
                os.fchmod(fd, wanted)
    finally:
        os.close(fd)


def is_held(path: Path) -> bool:
    """Whether a living process holds a Lock; one that may not be looked at counts as held."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except PermissionError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def is_alive(folders: Folders, src: str) -> bool:
    """Whether a daemon of this name runs on one of the folders (the other may be mistyped, or was removed)."""
    return is_held(folders.run / f"{src}.lock") or is_held(folders.counters(src) / "lock")
