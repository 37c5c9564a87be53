"""The journal in memory against a model: every number is an entry, in a gap, or trimmed; never two of them unsaid."""

import random

import pytest

from common.telemetry import journal as module
from common.telemetry.journal import Journal


def body(size: int) -> bytes:
    return b"\x80" + bytes(size)


@pytest.mark.parametrize("seed", range(30))
def test_every_number_is_accounted_for(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FRAME", 900)
    rng = random.Random(seed)
    journal = Journal(("a", "b"), max_bytes=rng.choice((3000, 20_000)), keep_s=rng.choice((0.0, 1.0)))
    topics = (b"t/1/", b"t/2/")
    stored: dict[str, dict[int, str]] = {"a": {}, "b": {}}
    published: dict[int, tuple[bytes, int]] = {}
    per_topic = dict.fromkeys(topics, 0)
    for now in range(1, 400):
        what = rng.random()
        if what < 0.6:
            topic, size = rng.choice(topics), rng.choice((10, 300, 1000))
            entry = journal.append("k", topic, now, now * 10**8, body(size))
            if entry is None:
                assert size == 1000
            else:
                per_topic[topic] += 1
                published[entry.seq] = (topic, per_topic[topic])
                assert entry.tseq == per_topic[topic]
        elif what < 0.9:
            # a consumer takes a chunk from its cursor on, and says so
            name = rng.choice(("a", "b"))
            mine = stored[name]
            entries, gaps, upto = journal.read(len(mine) + 1, rng.choice((1, 3, 100)))
            found = {e.seq: "frame" for e in entries}
            for gap in gaps:
                for n in range(gap.from_seq, gap.to_seq + 1):
                    found.setdefault(n, gap.cause)
            assert sorted(found) == list(range(len(mine) + 1, upto + 1))
            for e in entries:
                assert (e.topic, e.tseq) == published[e.seq]
            mine |= found
            journal.ack(name, len(mine))
            journal.ack("stranger", 10**9)
        else:
            journal.trim(now * 10**8)
        assert journal.bytes <= 20_000
        assert journal.acked == min(len(mine) for mine in stored.values())
        assert journal.trimmed <= journal.last
    for mine in stored.values():
        # what a consumer has not acknowledged is never given up without a name
        assert "trimmed" not in mine.values()
    losses = {n for mine in stored.values() for n, what in mine.items() if what != "frame"}
    assert len(losses) <= journal.lost


def test_the_oldest_go_when_memory_is_full_and_are_named() -> None:
    journal = Journal(max_bytes=10_000)
    for n in range(100):
        journal.append("k", b"t/", n, n, body(250))
    assert journal.last == 100
    held = journal.frames
    assert 15 < held < 25
    entries, gaps, upto = journal.read(1, 1000)
    assert [(g.from_seq, g.to_seq, g.cause) for g in gaps] == [(1, 100 - held, "journal_full")]
    assert [e.seq for e in entries] == list(range(100 - held + 1, 101))
    assert (upto, journal.lost) == (100, 100 - held)


def test_what_is_stored_goes_without_a_word() -> None:
    journal = Journal(max_bytes=10_000)
    for n in range(100):
        journal.append("k", b"t/", n, n, body(250))
        journal.ack("sink", journal.last)
    assert journal.lost == 0
    assert journal.frames < 25


def test_stored_frames_stay_so_long_that_a_restored_database_can_be_made_whole() -> None:
    journal = Journal(keep_s=60.0)
    for n in range(10):
        journal.append("k", b"t/", n, n * 10**9, body(1))
    journal.ack("sink", 8)
    journal.trim(65 * 10**9)
    assert [e.seq for e in journal.read(1, 100)[0]] == [6, 7, 8, 9, 10]
    journal.trim(10**15)
    assert [e.seq for e in journal.read(1, 100)[0]] == [9, 10]
    assert [(g.from_seq, g.to_seq, g.cause) for g in journal.read(1, 100)[1]] == [(1, 8, "trimmed")]


def test_a_chunk_has_a_bound_and_at_least_one_frame() -> None:
    journal = Journal()
    for n in range(4):
        journal.append("k", b"t/", n, n, body(400_000))
    assert [len(journal.read(n, 100)[0]) for n in (1, 4, 5)] == [1, 1, 0]
    assert journal.read(1, 100)[2] == 1
    assert journal.read(5, 100)[2] == 4
    assert journal.read(9, 100)[2] == 8  # nothing new is there yet
