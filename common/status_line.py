"""What `systemctl status` shows of a daemon: its own words, what is lost since its start, how large its journal is."""

import threading
import time
from collections import Counter

from common.journal.journal import Journal
from common.notify import Notifier

_LEAST_S = 3.0  # from one change to the next
_WANTED = ("paused", "stopped")  # causes that somebody asked for


class StatusLine:
    """`lose` from any thread; `tell` once a second."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._lost: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._told, self._told_at = "", 0.0
        self._ending = False

    def lose(self, unit: str, count: int | None, cause: str) -> None:
        """Counts what never became a frame; None, which nobody can know, is not counted."""
        if count and cause not in _WANTED:
            with self._lock:
                self._lost[unit] += count

    def tell(self, status: str, journal: Journal | None) -> None:
        """status: "" while the daemon has not said anything yet."""
        now = time.monotonic()
        if not (status and self._notifier.listens) or self._ending or now - self._told_at < _LEAST_S:
            return
        text = status if journal is None else f"{status}, {self._books(journal)}"
        if text != self._told:
            self._told, self._told_at = text, now
            self._notifier.send(f"STATUS={text}")

    def stop(self) -> None:
        self._ending = True
        self._notifier.send("STOPPING=1", "STATUS=stopping: what is published is being stored")

    def end(self, why: str) -> None:
        """The last word, which stays to be seen."""
        self._notifier.send(f"STATUS={' '.join(why.split())}")

    def _books(self, journal: Journal) -> str:
        with self._lock:
            lost = Counter(self._lost)
        for loss in list(journal.losses):
            if loss.run == journal.run.number:
                lost["frame"] += loss.to_seq - loss.from_seq + 1
        counts = [f"{n} {unit}{'s' * (n > 1)}" for unit, n in lost.items() if n]
        return f"{' and '.join(counts) or 0} lost, journal {journal.fill()[1] / 1e6:.1f} MB"
