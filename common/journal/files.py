"""The few things done to a journal's files besides writing records."""

import os
from pathlib import Path

from common.journal.folder import SPARE
from common.paths import fsync_path


def make_spare(folder: Path, size: int, *, sync: bool) -> bool:
    """Preallocates the next segment; False where the disk has no room."""
    tmp = folder / "spare.tmp"
    try:
        fd = os.open(tmp, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o660)
        try:
            os.posix_fallocate(fd, 0, size)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        tmp.rename(folder / SPARE)
        if sync:
            fsync_path(folder)
    except OSError:
        tmp.unlink(missing_ok=True)
        return False
    return True
