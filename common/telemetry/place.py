"""An application's place in a rig's run folder: a name of its own, a lock, the counter file, the ctl socket's path.

The folder is the rig's: where it is not there yet, nothing is made; the place is taken when it is.
"""

import fcntl
import os
import re
import shutil
import sys
from pathlib import Path

from .counter import Counter, Slot

_MAX_SOCKET_PATH = 107  # bytes of sockaddr_un.sun_path, less the closing zero
_MAX_NAMES = 100
# the rig's own daemons: an application of that name would keep them from starting
RESERVED = ("bus", "sink", "pulse", "highspeed", "thermostat", "pump", "dds", "gateway")


def default_src() -> str:
    """The program's name, as a source may be called."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    name = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in ("", "-c", "-m") else ""
    if name in ("", "__main__"):
        name = spec.name.removesuffix(".__main__").rpartition(".")[2] if spec is not None else "app"
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip(".-")[:48] or "app"
    return f"app-{name}" if name in RESERVED else name


def check_name(src: str, folder: Path) -> None:
    """Raises ValueError for a name that no source can have, or a path that the kernel could not take."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,59}", src):
        raise ValueError(f"src={src!r}: letters, digits and _ . - only, at most 60")
    if src in RESERVED:
        raise ValueError(f"src={src!r}: the rig has a daemon of that name")
    # longest: with a number behind it
    longest = folder / f"{src}-{_MAX_NAMES}.ctl.sock"
    if len(os.fsencode(longest)) > _MAX_SOCKET_PATH:
        raise ValueError(f"{longest}: a socket path may have {_MAX_SOCKET_PATH} bytes, this has more")


def open_to_group(path: Path) -> None:
    """chmod 0660, and the group `rigbus` where it exists and may be given: the sink must be able to open it."""
    try:
        path.chmod(0o660)
        shutil.chown(path, group="rigbus")
    except (LookupError, OSError):
        pass


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


class Place:
    """Taken by take(), looked after by check(), left by leave()."""

    def __init__(self, folder: Path, src: str) -> None:
        self.folder, self._wanted, self.src = folder, src, src
        self.counter: Counter | None = None
        self.before: list[Slot] = []  # runs of earlier processes of this name
        self._fd = -1
        self._named = False
        self._inodes = (0, 0)

    @property
    def ctl(self) -> Path:
        return self.folder / f"{self.src}.ctl.sock"

    @property
    def _lock(self) -> Path:
        return self.folder / f"{self.src}.lock"

    @property
    def _count(self) -> Path:
        return self.folder / f"{self.src}.counter"

    def take(self) -> Counter:
        """Takes the first of name, name-2, name-3, … that is free. Raises OSError where that cannot be (yet).

        A second time the name stays: the frames that are out carry it.
        """
        for n in range(1, _MAX_NAMES):
            if not self._named:
                self.src = self._wanted if n == 1 else f"{self._wanted}-{n}"
            if self._take() and self.counter is not None:
                self._named = True
                return self.counter
        raise OSError(f"{self.folder / self._wanted}.lock and {_MAX_NAMES - 2} more are held")

    def _take(self) -> bool:
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        try:
            counter = Counter(self._count)
        except BaseException:
            os.close(fd)
            raise
        self._fd, self.counter = fd, counter
        known = {slot.run for slot in self.before}
        self.before += [slot for slot in counter.before if slot.run not in known]
        for path in (self._lock, self._count):
            open_to_group(path)
        self._inodes = (_inode(self._lock), _inode(self._count))
        return True

    def check(self) -> bool:
        """Whether the files are still there: a folder that was emptied takes the place with it."""
        return self._fd >= 0 and self._inodes == (_inode(self._lock), _inode(self._count))

    def leave(self) -> None:
        """Closes all; the counter file stays, it is what the sink reads of an ended run. Safe to call twice."""
        counter, self.counter = self.counter, None
        if counter is not None:
            counter.close()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
