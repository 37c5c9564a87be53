"""The emergency stop's latch: a file. While it is there nothing moves; it outlives processes and power cuts."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from common import clock
from common.paths import fsync_path, open_as

_MAX_REASON = 200
CONFIRM = "unlock"  # what whoever unlocks must say


def reason_of(request: Mapping[str, Any]) -> str:
    """The reason that came with a ctl `estop`, whatever stands there: a stop is not refused for its comment."""
    reason = request.get("reason", "asked for")
    return (reason if isinstance(reason, str) else repr(reason))[:_MAX_REASON]


class Unlock(Struct, kw_only=True):
    """The request of ctl `unlock`."""

    confirm: str = ""


class Latch:
    """Set where the file exists, readable or not. Only `clear` takes it away."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder, and a spare file: setting it needs no room on a full disk. Raises OSError."""
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            open_as(folder, folder.parent.stat())  # whoever sets it: the daemon works in there
        self.path, self._spare = folder / "estop", folder / "estop.spare"
        try:
            self._make_spare()
        except OSError:
            if not self.is_set():
                raise

    def _make_spare(self) -> None:
        if self._spare.is_symlink():
            self._spare.unlink()  # what is written goes nowhere else
        if not self._spare.exists():
            self._spare.write_text(" " * 512)
            open_as(self._spare, self._spare.parent.stat())
            fsync_path(self._spare)

    def is_set(self) -> bool:
        """Whatever stands there counts, and a folder that cannot be read counts too."""
        try:
            os.lstat(self.path)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def reason(self) -> str:
        """Why and when, as far as it can be read."""
        try:
            # whatever somebody put there: a pipe must not hold us up, nor a file of gigabytes
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                return str(json.loads(os.read(fd, 4096))["reason"])[:_MAX_REASON]
            finally:
                os.close(fd)
        except Exception:
            return "unknown: the latch cannot be read"

    def set(self, reason: str) -> None:
        """On the disk with its folder when this returns. Set already: it stays as it is. Raises OSError."""
        if not self.is_set():
            try:
                os.rename(self._spare, self.path)
            except FileNotFoundError:
                self.path.touch()
                with suppress(OSError):  # set it is, whoever may read it
                    open_as(self.path, self.path.parent.stat())
            try:
                self.path.write_text(json.dumps({"reason": reason, "t_ns": clock.wall_ns()}))
            except OSError:
                pass  # without the reason it is set all the same
        if self.path.is_file():
            fsync_path(self.path)
        fsync_path(self.path.parent)

    def clear(self) -> None:
        """Raises OSError, and is then still set."""
        self.path.unlink(missing_ok=True)
        fsync_path(self.path.parent)
        try:
            self._make_spare()
        except OSError:
            pass  # a full disk: the next stop may have no room, and says so
