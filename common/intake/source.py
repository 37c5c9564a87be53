"""One publisher as the sink knows it: a daemon with a journal on the disk, or an application with one in its memory."""

from typing import Any

import zmq

from common.config.schema import JournalConfig
from common.errors import UsageError
from common.intake.application import DeadApplication, is_alive
from common.intake.link import DeadJournal, Link
from common.intake.stream import Stream
from common.paths import Folders
from common.rig import DAEMONS

_PATIENCE = 8  # questions without an answer, some 4 s, until nothing is waited for that nothing is left of
DAEMON_NAMES = {daemon.name for daemon in DAEMONS}


class Source:
    """Its link, its runs, when it was last heard."""

    def __init__(
        self, src: str, link: Link, dead: DeadJournal | DeadApplication, folders: Folders, *, journaled: bool
    ) -> None:
        self.src, self.link, self.dead, self.journaled, self._folders = src, link, dead, journaled, folders
        self.streams: dict[str, Stream] = {}  # by run
        self.run = ""  # the current one, by its own word
        self.heard = 0.0
        self.asked = 0.0  # when `runs` was last asked or read
        self.want_runs = True
        self.pause_until = 0.0  # what brought nothing is not repeated at once
        self.from_disk = False
        self.silent_asks = 0

    @classmethod
    def meet(
        cls, src: str, context: zmq.Context[Any], poller: zmq.Poller, folders: Folders, config: JournalConfig
    ) -> "Source | None":
        """A daemon where there is a journal folder, else an application; None for a name that no daemon can have."""
        try:
            link = Link(context, poller, folders.ctl(src))
        except UsageError:
            return None  # a stray folder
        journaled = src in DAEMON_NAMES or folders.counters(src).exists()
        dead = DeadJournal(folders, config, src) if journaled else DeadApplication(folders, src)
        return cls(src, link, dead, folders, journaled=journaled)

    @property
    def is_gone(self) -> bool:
        """Whether an application has left nothing behind: the machine was started anew, or its files were removed."""
        if self.journaled or self.silent_asks <= _PATIENCE:
            return False
        return not self._folders.application(self.src).exists() and not is_alive(self._folders, self.src)
