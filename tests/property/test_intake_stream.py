"""One stream at the sink against a model: live frames that drop, chunks, health, rollbacks; each number once."""

import random

import pytest

from common.frames import Event, encode
from common.intake.stream import RING, State, Stream
from common.journal.replay import Chunk
from common.store.items import Closed, Cursor, Item, Lost, StreamKey, Taken, Unreadable

RUN = "00000000000000aa"
KEY = StreamKey("n", "s", RUN)


def event(seq: int) -> Event:
    return Event(
        event_type="e", source="t", detail=str(seq), node="n", src="s", run=RUN, seq=seq, tseq=seq, t=1, mono=1
    )


class Journal:
    """Numbers 1..last; some are named lost, some hold bytes that nobody can read."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.last, self.closed = rng, 0, 0
        self.lost: set[int] = set()
        self.garbled: set[int] = set()

    def publish(self) -> Event | None:
        self.last += 1
        what = self.rng.random()
        if what < 0.05:
            self.lost.add(self.last)
            return None
        if what < 0.08:
            self.garbled.add(self.last)
            return None
        return event(self.last)

    def chunk(self, from_seq: int) -> Chunk:
        upto = min(self.last, from_seq - 1 + self.rng.choice((1, 5, 500)))
        frames, losses = [], []
        for n in range(from_seq, upto + 1):
            if n in self.lost:
                losses.append((n, n, "queue_full", 1, 2))
            elif n in self.garbled:
                # its identity can be read, its body cannot
                payload = encode(event(n)).replace(b"event_type", b"event_typo")
                frames.append((b"app/event/", payload))
            else:
                frames.append((b"app/event/", encode(event(n))))
        unknown = (1, 2) if self.closed == 3 else None
        return Chunk(frames, losses, upto, self.last, 0, self.closed, unknown)


@pytest.mark.parametrize("seed", range(40))
def test_every_number_once(seed: int) -> None:
    rng = random.Random(seed)
    journal, items, stored = Journal(rng), list[Item](), list[Item]()
    stream = Stream(KEY, Cursor(0, 0), items)
    went_live = False
    for _ in range(1500):
        what = rng.random()
        if what < 0.6:
            frame = journal.publish()
            if frame is not None and rng.random() < 0.97:
                stream.live("app/event/", frame)
        elif what < 0.75 and stream.state is State.CATCHUP:
            stream.replayed(journal.chunk(stream.cursor + 1))
        elif what < 0.85:
            stream.heard(journal.last, ended=False)
        elif what < 0.95:
            stored += items
            items.clear()
        elif what < 0.96:
            items.clear()  # the store refused: back to what it holds
            stream.rewind(Cursor(reached(stored), 0))
        went_live = went_live or stream.state is State.LIVE
    journal.closed = rng.choice((1, 2, 3))
    stream.heard(journal.last, ended=True)
    for _ in range(10_000):
        if stream.state is State.DONE:
            break
        assert stream.replayed(journal.chunk(stream.cursor + 1))
    stored += items
    assert went_live
    assert isinstance(stored[-1], Closed)
    assert stored[-1].kind == journal.closed
    account: dict[int, str] = {}
    for item in stored[:-1]:
        if isinstance(item, Taken):
            numbers, kind = range(item.frame.seq, item.frame.seq + 1), "taken"
            assert item.frame == event(item.frame.seq)
        elif isinstance(item, Unreadable):
            numbers, kind = range(item.seq, item.seq + 1), "unreadable"
        else:
            assert isinstance(item, Lost)
            numbers, kind = range(item.from_seq, item.to_seq + 1), "lost"
        for n in numbers:
            assert n == len(account) + 1  # in order, none twice, none left out
            account[n] = kind
    assert len(account) == journal.last
    assert {n for n, kind in account.items() if kind == "lost"} == journal.lost
    assert {n for n, kind in account.items() if kind == "unreadable"} == journal.garbled


def reached(stored: list[Item]) -> int:
    for item in reversed(stored):
        if isinstance(item, Taken):
            return item.frame.seq
        if isinstance(item, Lost):
            return item.to_seq
        if isinstance(item, Unreadable):
            return item.seq
    return 0


def test_a_live_run_that_is_reported_closed_catches_up() -> None:
    """Otherwise a killed run's tail would wait for the sink's next restart."""
    items: list[Item] = []
    stream = Stream(KEY, Cursor(0, 0), items)
    stream.replayed(Chunk([], [], 0, 0, 0, 0, None))
    assert stream.state is State.LIVE
    stream.live("app/event/", event(1))
    stream.heard(1, ended=True)
    assert stream.state is State.CATCHUP
    stream.replayed(Chunk([], [(2, 3, "killed", 5, 6)], 3, 3, 0, 2, None))
    assert stream.state is State.DONE
    assert items[-2] == Lost(KEY, 2, 3, "killed", 5, 6)


def test_a_chunk_without_progress_says_so() -> None:
    stream = Stream(KEY, Cursor(4, 0), [])
    stream.heard(9, ended=False)
    assert not stream.replayed(Chunk([], [], 4, 9, 0, 0, None))
    assert stream.cursor == 4


def test_a_frame_that_is_held_beats_a_range_that_names_it() -> None:
    items: list[Item] = []
    stream = Stream(KEY, Cursor(0, 0), items)
    frames = [(b"app/event/", encode(event(n))) for n in (2, 5)]
    stream.replayed(Chunk(frames, [(1, 6, "damaged", 1, 2)], 6, 6, 0, 0, None))
    spans = [(i.from_seq, i.to_seq) if isinstance(i, Lost) else i.frame.seq for i in items if not isinstance(i, Closed)]
    assert spans == [(1, 1), 2, (3, 4), 5, (6, 6)]
    assert stream.state is State.LIVE


def test_a_full_ring_costs_a_second_catch_up_and_no_frame() -> None:
    items: list[Item] = []
    stream = Stream(KEY, Cursor(0, 0), items)
    last = RING + 2000
    for seq in range(1, last + 1):
        stream.live("app/event/", event(seq))
    frames = [(b"app/event/", encode(event(n))) for n in range(1, 1001)]
    stream.replayed(Chunk(frames, [], 1000, last, 0, 0, None))
    assert stream.state is State.CATCHUP
    assert stream.cursor == 1000
    frames = [(b"app/event/", encode(event(n))) for n in range(1001, 2001)]
    stream.replayed(Chunk(frames, [], 2000, last, 0, 0, None))
    assert stream.cursor == last
    assert stream.state is State.LIVE
    assert [i.frame.seq for i in items if isinstance(i, Taken)] == list(range(1, last + 1))


def test_a_forged_number_far_ahead_does_not_keep_a_stream_from_living() -> None:
    items: list[Item] = []
    stream = Stream(KEY, Cursor(0, 0), items)
    stream.live("app/event/", event(10**6))
    stream.live("app/event/", event(2**62))
    stream.replayed(Chunk([(b"app/event/", encode(event(1)))], [], 1, 1, 0, 0, None))
    stream.replayed(Chunk([], [], 1, 1, 0, 0, None))
    assert stream.state is State.LIVE
    stream.live("app/event/", event(10**6))
    stream.live("app/event/", event(2))
    stream.live("app/event/", event(3))
    stream.replayed(Chunk([(b"app/event/", encode(event(2)))], [], 2, 2, 0, 0, None))
    assert stream.state is State.LIVE
    assert [i.frame.seq for i in items if isinstance(i, Taken)] == [1, 2, 3]
