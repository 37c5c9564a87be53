"""An application (common/telemetry) whose process is gone: its frames died with it, its counter file did not."""

import fcntl
import os
from pathlib import Path

from common import clock
from common.intake.link import RunRow
from common.journal.counter import Slot, read_counter
from common.journal.replay import Chunk
from common.paths import Folders
from common.telemetry.counter import UNKNOWABLE, end_of
from common.telemetry.counter import Slot as Ended


def is_alive(folders: Folders, src: str) -> bool:
    """Whether an application of this name may live: a lock that cannot be looked at counts as held."""
    try:
        # read-only: an application of another user may not let us write
        fd = os.open(folders.run / f"{src}.lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class DeadApplication:
    """Answers as DeadJournal does: of every run the count is known, and no frame is left."""

    def __init__(self, folders: Folders, src: str) -> None:
        self._folders, self._src = folders, src
        self._slots: dict[str, Slot] = {}

    def runs(self) -> list[RunRow] | None:
        """What the counter file holds; None while the process lives, or where there is none."""
        self._slots = {}
        if not is_alive(self._folders, self._src):
            self._slots = {slot.run: slot for slot in read_counter(self._path)}
        return [RunRow(s.run, s.boot_id, s.offered, s.offered, _end(s)[0]) for s in self._slots.values()] or None

    def replay(self, run: str, from_seq: int, n: int) -> Chunk | None:
        """As ctl's replay: one range for all that is left. None where the run is not known, or the process lives."""
        slot = self._slots.get(run)
        if slot is None or is_alive(self._folders, self._src):
            return None
        closed, cause = _end(slot)
        last = slot.offered
        losses = [(from_seq, last, cause, slot.born_ns, clock.wall_ns())] if from_seq <= last else []
        unknown = (slot.alive_ns, clock.wall_ns()) if closed == UNKNOWABLE else None
        return Chunk([], losses, max(last, from_seq - 1), last, last, closed, unknown)

    @property
    def _path(self) -> Path:
        return self._folders.application(self._src)


def _end(slot: Slot) -> tuple[int, str]:
    return end_of(Ended(*slot), clock.boot_id())
