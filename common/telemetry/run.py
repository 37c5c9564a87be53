"""One run of an application: its numbers, its frames in memory, and what it answers about them. Thread-safe."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from . import ctl
from .counter import UNKNOWABLE, Counter, Slot, end_of
from .frames import KINDS, Body, Head, encode, join
from .journal import Entry, Journal

_MAX_UNSENT = 10_000  # what is beyond it the sink takes by replay


def boot_id() -> str:
    """32 hex digits, new at each boot of the kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")


class Run:
    """node is empty until the rig has told its name: until then nothing is sent, and replay is refused."""

    def __init__(self, journal: Journal, src: str) -> None:
        self.id, self.boot_id = os.urandom(8).hex(), boot_id()
        self.src, self.node = src, ""
        self.closed = False
        self._lock = threading.Lock()
        self._journal = journal
        self._counter: Counter | None = None
        self._before: list[Slot] = []
        self._unsent: list[Entry] = []

    def record(self, body: Body, t_ns: int, mono_ns: int) -> tuple[bool, bool]:
        """Numbers and keeps a frame: (whether it is kept, whether it is the first that waits to be sent)."""
        kind, data = KINDS[type(body)], encode(body)
        with self._lock:
            if self.closed:
                return False, False
            # before anything else: a number that is spent survives SIGKILL
            if self._counter is not None:
                self._counter.offer(self._journal.last + 1)
            entry = self._journal.append(kind.name, kind.topic, t_ns, mono_ns, data)
            first = not self._unsent
            if entry is not None and self.node and len(self._unsent) < _MAX_UNSENT:
                self._unsent.append(entry)
            return entry is not None, first and bool(self._unsent)

    def take_unsent(self) -> list[tuple[bytes, bytes]]:
        """(topic, payload) of what is to be sent now."""
        with self._lock:
            batch, self._unsent = self._unsent, []
        return [(entry.topic, self._payload(entry)) for entry in batch]

    def _payload(self, e: Entry) -> bytes:
        return join(Head(e.kind, 1, self.node, self.src, self.id, e.seq, e.tseq, e.t_ns, e.mono_ns), e.body)

    # ---- its place on the rig

    def settle(self, src: str, counter: Counter, before: list[Slot]) -> None:
        """The name, the counter file and the earlier runs of a place that was taken."""
        with self._lock:
            counter.begin(self.id, self.boot_id, time.time_ns(), self._journal.last)
            self.src, self._counter, self._before = src, counter, before

    def unsettle(self) -> Counter | None:
        """From now on nothing is written to the counter file, which may be closed."""
        with self._lock:
            counter, self._counter = self._counter, None
            return counter

    @property
    def settled(self) -> bool:
        return self._counter is not None

    def close(self) -> None:
        """No number is given out any more."""
        with self._lock:
            self.closed = True

    def each_second(self) -> None:
        with self._lock:
            self._journal.trim(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
            if self._counter is not None:
                self._counter.alive(time.time_ns())

    # ---- how it stands

    @property
    def counts(self) -> tuple[int, int, int]:
        """(numbers given out, acknowledged by every consumer, lost in memory)."""
        with self._lock:
            return self._journal.last, self._journal.acked, self._journal.lost

    @property
    def topics(self) -> dict[bytes, int]:
        with self._lock:
            return self._journal.topics

    @property
    def held(self) -> dict[str, int]:
        """What a health frame says of the journal."""
        with self._lock:
            j = self._journal
            return {"frames": j.frames, "bytes": j.bytes, "oldest": j.oldest_ns}

    # ---- what others ask

    def runs(self, _: dict[str, Any]) -> dict[str, Any]:
        """Of this process, and of earlier ones of its name, of which nothing is left but the count."""
        rows = [[s.run, s.boot_id, s.offered, s.offered, end_of(s, self.boot_id)[0]] for s in self._before]
        with self._lock:
            rows.append([self.id, self.boot_id, self._journal.last, self._journal.trimmed, int(self.closed)])
        return {"src": self.src, "journal_id": self.id, "run": self.id, "runs": rows}

    def replay(self, request: dict[str, Any]) -> dict[str, Any]:
        """Raises ctl.Refused for a run that is not known, and while the rig's name is not."""
        r = msgspec.convert(request, ctl.Replay)
        from_seq, n = max(1, r.from_), max(1, min(r.n, ctl.MAX_FRAMES))
        if r.run != self.id:
            return self._replay_earlier(r.run, from_seq)
        if not self.node:
            raise ctl.Refused("starting: the rig's name is not known yet")
        with self._lock:
            j = self._journal
            entries, gaps, upto = j.read(from_seq, n)
            at = {"upto": upto, "last": j.last, "trimmed": j.trimmed, "closed": int(self.closed), "unknown": None}
        pairs = [(entry.topic, self._payload(entry)) for entry in entries]
        return {"frames": pairs, "losses": [tuple(gap) for gap in gaps], **at}

    def _replay_earlier(self, run: str, from_seq: int) -> dict[str, Any]:
        slot = next((s for s in self._before if s.run == run), None)
        if slot is None:
            raise ctl.Refused(f"unknown run {run}")
        closed, cause = end_of(slot, self.boot_id)
        last = slot.offered
        losses = [(from_seq, last, cause, slot.born_ns, time.time_ns())] if from_seq <= last else []
        unknown = (slot.alive_ns, time.time_ns()) if closed == UNKNOWABLE else None
        at = {"upto": max(last, from_seq - 1), "last": last, "trimmed": last, "closed": closed, "unknown": unknown}
        return {"frames": [], "losses": losses, **at}

    def ack(self, request: dict[str, Any]) -> None:
        r = msgspec.convert(request, ctl.Ack)
        with self._lock:
            self._journal.ack(r.consumer, r.acks.get(self.id, 0))
