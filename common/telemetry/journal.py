"""What was published and is not yet safe: frames in memory, bounded, each number accounted for. Not thread-safe itself.

A frame stays until every consumer has acknowledged it, and keep_s more. Over the bound the oldest go: without a word
where they are stored, as a named range where they are not.
"""

import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

MAX_BYTES = 16 << 20
MAX_FRAME = 1 << 20
KEEP_S = 60.0
REPLAY_BYTES = 512_000
_OVERHEAD = 250  # what CPython takes for an entry beside its body


class Entry(NamedTuple):
    seq: int
    tseq: int
    kind: str
    topic: bytes
    t_ns: int
    mono_ns: int
    body: bytes


class Gap(NamedTuple):
    """Numbers that will never come, between two wall times."""

    from_seq: int
    to_seq: int
    cause: str
    from_t_ns: int
    to_t_ns: int


class Journal:
    """Numbers from 1 on, each held as an entry, named by a gap, or trimmed."""

    def __init__(
        self, consumers: Sequence[str] = ("sink",), max_bytes: int = MAX_BYTES, keep_s: float = KEEP_S
    ) -> None:
        self._max, self._keep_ns = max_bytes, int(keep_s * 1e9)
        self.last = 0
        self.gaps: list[Gap] = []
        self.bytes = 0
        self.lost = 0  # numbers that became gaps
        self._entries: list[Entry] = []
        self._head = 0  # entries before it are gone; the list is cut now and then
        self._acked = dict.fromkeys(consumers, 0)
        self._tseq: dict[bytes, int] = {}

    def append(self, kind: str, topic: bytes, t_ns: int, mono_ns: int, body: bytes) -> Entry | None:
        """Takes the next number; None where the frame is too large, which makes the number a gap."""
        self.last += 1
        if len(body) > MAX_FRAME:
            self._lose(Gap(self.last, self.last, "too_large", t_ns, t_ns))
            return None
        tseq = self._tseq[topic] = self._tseq.get(topic, 0) + 1
        entry = Entry(self.last, tseq, kind, topic, t_ns, mono_ns, body)
        self._entries.append(entry)
        self.bytes += len(body) + _OVERHEAD
        while self.bytes > self._max:
            self._drop()
        return entry

    def _drop(self) -> None:
        """The oldest entry goes."""
        oldest = self._entries[self._head]
        if oldest.seq > self.acked:
            self._lose(Gap(oldest.seq, oldest.seq, "journal_full", oldest.t_ns, time.time_ns()))
        self._forget(1)

    def _forget(self, count: int) -> None:
        gone = self._entries[self._head : self._head + count]
        self.bytes -= sum(len(e.body) + _OVERHEAD for e in gone)
        self._head += count
        if self._head > 1000 and self._head * 2 > len(self._entries):
            del self._entries[: self._head]
            self._head = 0

    def _lose(self, gap: Gap) -> None:
        self.lost += 1
        last = self.gaps[-1] if self.gaps else None
        if last is not None and last.cause == gap.cause and last.to_seq + 1 == gap.from_seq:
            self.gaps[-1] = last._replace(to_seq=gap.to_seq, to_t_ns=gap.to_t_ns)
        else:
            self.gaps.append(gap)

    # ---- consumers

    @property
    def acked(self) -> int:
        """Everything up to here is stored by every consumer."""
        return min(self._acked.values(), default=self.last)

    def ack(self, consumer: str, to: int) -> None:
        """A consumer has stored everything up to a number; a name that is no consumer is ignored."""
        if consumer in self._acked:
            self._acked[consumer] = max(self._acked[consumer], min(to, self.last))

    def trim(self, mono_ns: int) -> None:
        """Lets go of what is stored and older than keep_s."""
        acked, old = self.acked, mono_ns - self._keep_ns
        n = self._head
        while n < len(self._entries) and self._entries[n].seq <= acked and self._entries[n].mono_ns < old:
            n += 1
        self._forget(n - self._head)
        trimmed = self.trimmed
        self.gaps = [gap for gap in self.gaps if gap.to_seq > min(acked, trimmed)]

    # ---- looking

    @property
    def frames(self) -> int:
        return len(self._entries) - self._head

    @property
    def topics(self) -> dict[bytes, int]:
        """Frames published so far, by topic."""
        return dict(self._tseq)

    @property
    def oldest_ns(self) -> int:
        """Wall time of the oldest entry; 0: there is none."""
        return self._entries[self._head].t_ns if self.frames else 0

    @property
    def trimmed(self) -> int:
        """The highest number before the oldest entry."""
        return self._entries[self._head].seq - 1 if self.frames else self.last

    def read(self, from_seq: int, n: int) -> tuple[list[Entry], list[Gap], int]:
        """(entries, gaps, upto): every number from from_seq to upto is in one of the two. At most n entries."""
        start = bisect_left(self._entries, from_seq, lo=self._head, key=lambda e: e.seq)
        entries: list[Entry] = []
        size = 0
        for entry in self._entries[start : start + n]:
            size += len(entry.body)
            if entries and size > REPLAY_BYTES:
                break
            entries.append(entry)
        whole = start + len(entries) == len(self._entries)
        upto = max(from_seq - 1, self.last if whole or not entries else entries[-1].seq)
        return entries, self._missing(from_seq, upto, entries), upto

    def _missing(self, from_seq: int, upto: int, entries: list[Entry]) -> list[Gap]:
        """Gaps over from_seq..upto, and what is named by none: it was stored, and is trimmed."""
        named = [
            gap._replace(from_seq=max(gap.from_seq, from_seq), to_seq=min(gap.to_seq, upto))
            for gap in self.gaps
            if gap.to_seq >= from_seq and gap.from_seq <= upto
        ]
        held = [(gap.from_seq, gap.to_seq) for gap in named] + [(e.seq, e.seq) for e in entries]
        out, at, now = named, from_seq, time.time_ns()
        for first, last in [*sorted(held), (upto + 1, upto + 1)]:
            if first > at:
                out.append(Gap(at, first - 1, "trimmed", now, now))
            at = max(at, last + 1)
        return sorted(out)
