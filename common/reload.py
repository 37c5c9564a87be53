"""SIGHUP: a daemon reads its configuration anew, takes what can change while it runs, and tells what cannot.

The signal's handler sets a flag. The files are read by a thread, as that takes longer than a daemon that samples may be
away; what they say is taken by the daemon's own main thread, between two pieces of work.
"""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from common.config.check import check
from common.config.keys import dotted
from common.config.live import changes, concerns, taken_over
from common.config.schema import Config
from common.config.tree import Source
from common.errors import RigbusError
from common.log import Log
from common.log_events import LogEvent
from common.notify import Notifier

_STAYS = "what runs goes on with the configuration that it has"


class _Found(NamedTuple):
    """config: what is in effect if all of it is taken. taken, left: keys that have changed, the latter in vain."""

    config: Config
    taken: list[str]
    left: list[str]


class Reload:
    """`ask` from a signal's handler; `look` in the main thread, between two pieces of work, where both cost nothing.

    config: what is in effect.
    """

    def __init__(self, src: str, config: Config, read: Callable[[], Config], notifier: Notifier, log: Log) -> None:
        """read: the configuration as it stands in the files. Raises ConfigError."""
        self.config = config
        self._src, self._read, self._notifier, self._log = src, read, notifier, log
        self._asked = False
        self._takers: list[Callable[[Config], None]] = []
        self._reading: threading.Thread | None = None
        self._found: _Found | Exception | None = None

    def ask(self) -> None:
        self._asked = True

    def add(self, take: Callable[[Config], None]) -> None:
        """take(config): called in the main thread with what is in effect from then on; the last one added comes first.

        It may raise RigbusError before it has changed anything: then all stays as it was.
        """
        self._takers.insert(0, take)

    def look(self) -> None:
        if self._reading is not None:
            if not self._reading.is_alive():
                self._reading = None
                self._finish()
        elif self._asked:
            self._asked = False
            self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            self._reading = threading.Thread(target=self._look_into_files, name="reload", daemon=True)
            self._reading.start()

    def _look_into_files(self) -> None:
        self._found = None
        try:
            new = self._read()
            config = taken_over(self._src, self.config, new)
            check(config, {}, Source(0, "configuration", 0))  # what is taken must fit what is not
            taken = [dotted(path) for path in changes(self.config, config)]
            left = [dotted(path) for path in changes(config, new) if concerns(self._src, path)]
            self._found = _Found(config, taken, left)
        except Exception as e:
            self._found = e

    def _finish(self) -> None:
        found = self._found
        try:
            if isinstance(found, _Found):
                for take in self._takers:
                    take(found.config)
                self.config = found.config
                self._tell(found)
            elif found is not None:
                raise found
        except Exception as e:  # also a fault of ours must not end what records
            why = str(e) if isinstance(e, RigbusError) else f"{type(e).__name__}: {e}"
            self._log.error(f"{why}; {_STAYS}", event=LogEvent.CONFIG_REFUSED)
        finally:
            self._notifier.send("READY=1")

    def _tell(self, found: _Found) -> None:
        taken = ", ".join(found.taken)
        text = f"configuration read anew: {taken or 'nothing to take'}"
        self._log.info(text, event=LogEvent.RELOADED, also={"taken": taken})
        if found.left:
            keys = ", ".join(found.left)
            self._log.warning(f"needs a restart: {keys}", event=LogEvent.NEEDS_RESTART, also={"keys": keys})
