"""One stream at the sink: CATCHUP → LIVE → CATCHUP … → DONE. Pure: frames and chunks in, items for the store out.

LIVE takes the number after its cursor from the bus. Anything else (a hole, a health frame ahead, an end) is CATCHUP:
numbers come from the publisher's journal, and live frames wait in a bounded ring that is spliced behind each chunk.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum

from common import clock, frames
from common.frames import AnyFrame, Malformed
from common.journal.replay import Chunk
from common.journal.state import KILLED, UNKNOWABLE
from common.store.items import Closed, Cursor, Item, Lost, StreamKey, Taken, Unreadable
from common.topics import TOPICS

RING = 8192


class State(Enum):
    CATCHUP = "catchup"
    LIVE = "live"
    DONE = "done"


class Stream:
    """Numbers of one run. `items` is what waits for the next commit, shared by all streams of the sink."""

    def __init__(self, key: StreamKey, cursor: Cursor, items: list[Item]) -> None:
        self.key, self._items = key, items
        self.cursor = cursor.stored_to
        self.state = State.DONE if cursor.closed else State.CATCHUP
        self.last = 0  # highest number said to be published
        self._told = cursor.published_to  # the same, as the store knows it: a journal may come back with less
        self.noted = 0  # what the store was told of it
        self.boot_id = ""  # "": its journal has not told
        # a journal knows this run: it is not somebody's invention
        self.confirmed = cursor.stored_to > 0 or cursor.published_to > 0
        self.born = 0.0
        self._ring: deque[tuple[str, AnyFrame]] = deque(maxlen=RING)

    def live(self, topic: str, frame: AnyFrame) -> None:
        """A frame off the bus."""
        seq = frame.seq
        if self.state is State.LIVE:
            if seq == self.cursor + 1:
                self._take(topic, frame)
            elif seq > self.cursor:
                self.state = State.CATCHUP
                self._wait(topic, frame)
        elif self.state is State.CATCHUP and seq > self.cursor:
            self._wait(topic, frame)

    def _wait(self, topic: str, frame: AnyFrame) -> None:
        # a publisher's frames come in rising order: what stands higher than a later one was never its
        while self._ring and self._ring[-1][1].seq >= frame.seq:
            self._ring.pop()
        self._ring.append((topic, frame))

    def _take(self, topic: str, frame: AnyFrame) -> None:
        self.cursor = frame.seq
        self._items.append(Taken(self.key, topic, frame))

    def heard(self, last: int, *, ended: bool) -> None:
        """The publisher's own word: its last number, and whether the run has ended."""
        self.last = max(self.last, last)
        if self.state is State.LIVE and (ended or self.last > self.cursor):
            self.state = State.CATCHUP

    def rewind(self, cursor: Cursor) -> None:
        """The store holds less than was taken: go on from there."""
        self.cursor, self.noted, self._told = cursor.stored_to, 0, cursor.published_to
        self.state = State.DONE if cursor.closed else State.CATCHUP
        self._ring.clear()

    def abandon(self) -> None:
        """Its source knows nothing of it any more: what was published and not stored is gone with the journal."""
        now = clock.wall_ns()
        self._give_up("journal_gone")
        self._items.append(Closed(self.key, KILLED, now, now))
        self._end()

    def forsake(self) -> None:
        """Nothing is left of its source, not even a count: beyond what it told of, nobody can know."""
        self._give_up("app_gone")
        self._items.append(Closed(self.key, UNKNOWABLE, 0, clock.wall_ns(), "app_gone"))
        self._end()

    def _give_up(self, cause: str) -> None:
        now = clock.wall_ns()
        if self.last > self.cursor:
            self._items.append(Lost(self.key, self.cursor + 1, self.last, cause, now, now))
            self.cursor = self.last

    def _end(self) -> None:
        self.state = State.DONE
        self._ring.clear()

    def replayed(self, chunk: Chunk) -> bool:
        """A chunk that was asked for at cursor + 1; False when it brought no progress: ask again later."""
        before = self.cursor, self.state
        by_seq = _readable(chunk.frames, self.key)
        losses = iter(chunk.losses)
        loss = next(losses, None)
        while self.cursor < chunk.upto:
            seq = self.cursor + 1
            while loss is not None and loss[1] < seq:
                loss = next(losses, None)
            topic, found = by_seq.get(seq, ("", None))
            if isinstance(found, Unreadable):
                self._items.append(found)
                self.cursor = seq
            elif found is not None:
                self._take(topic, found)
            elif loss is not None and loss[0] <= seq:
                # a frame that is held beats a range that names it
                end = min([loss[1], *(s - 1 for s in by_seq if seq < s <= loss[1])])
                self._items.append(Lost(self.key, seq, end, loss[2], loss[3], loss[4]))
                self.cursor = end
            else:
                # held by the journal, but not even its number can be read
                reason = "no readable frame of this number"
                self._items.append(Unreadable(self.key, seq, "*", b"", reason))
                self.cursor = seq
        self._splice()
        if self.cursor >= chunk.last and before == (self.cursor, self.state):
            self._ring.clear()  # sent is journaled: what lies beyond the journal's end is nobody's
        self.last = chunk.last  # not the highest that was heard: on the bus anybody may say anything
        if self.cursor >= chunk.last and not self._ring:
            if chunk.closed:
                self.last = max(chunk.last, self._told)
                self._give_up("power_cut" if chunk.closed == UNKNOWABLE else "journal_gone")
                from_t, to_t = chunk.unknown or (0, 0)
                self._items.append(Closed(self.key, chunk.closed, from_t, to_t))
                self.state = State.DONE
            else:
                self.state = State.LIVE
        return before != (self.cursor, self.state)

    def _splice(self) -> None:
        ring = self._ring
        while ring and ring[0][1].seq <= self.cursor + 1:
            topic, frame = ring.popleft()
            if frame.seq == self.cursor + 1:
                self._take(topic, frame)


def _readable(pairs: Sequence[tuple[bytes, bytes]], key: StreamKey) -> dict[int, tuple[str, AnyFrame | Unreadable]]:
    """Frames of a chunk by number; one that this version cannot read, but whose number can be read, is set aside."""
    out: dict[int, tuple[str, AnyFrame | Unreadable]] = {}
    for raw_topic, payload in pairs:
        topic = raw_topic.decode("ascii", "replace")
        try:
            frame = frames.decode(payload)
            out[frame.seq] = (topic, frame)
        except Malformed as e:
            try:
                head = frames.decode_head(payload)
            except Malformed:
                continue  # not even a number
            cause = "malformed" if head.k in TOPICS else "unknown_kind"
            out[head.seq] = (topic, Unreadable(key, head.seq, topic, payload, str(e), cause))
    return out
