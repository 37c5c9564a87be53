"""The journal's writer: trimming, its bound, a full place, files taken away, frames too large."""

import errno
import os
from pathlib import Path

import pytest

from common.journal import files, recover
from common.journal import journal as module
from common.journal.counter import Slot
from common.journal.entries import Entry, Gap, Limits
from common.journal.folder import scan_folder
from common.journal.journal import Journal
from common.journal.replay import replay

RUN = "00000000000000aa"
LIMITS = Limits(1 << 20, 0.0, 0.0, False, ("sink",))


def open_new(folder: Path, limits: Limits = LIMITS, run: str = RUN, slots: list[Slot] | None = None) -> Journal:
    return recover.open_journal(folder, limits, run, slots or [])


def entries(first: int, n: int, size: int = 1000) -> list[Entry | Gap]:
    return [Entry(seq, b"app/event/", bytes([seq % 256]) * size, False) for seq in range(first, first + n)]


def account(journal: Journal, run: str = RUN) -> dict[int, str]:
    """number → what replay says of it."""
    out: dict[int, str] = {}
    while True:
        chunk = replay(journal.snapshot(), run, len(out) + 1, 500)
        assert chunk is not None
        named = {n: cause for a, b, cause, _, _ in chunk.losses for n in range(a, b + 1)}
        held = iter(range(chunk.upto - len(chunk.frames) - len(named) + 1, chunk.upto + 1))
        for n in held:
            out[n] = named.get(n, "frame")
        if len(out) >= chunk.last:
            return out


def test_acknowledged_segments_go_and_the_last_stays(tmp_path: Path) -> None:
    journal = open_new(tmp_path)
    assert journal.append(entries(1, 600)) == 600
    before = len(list(tmp_path.glob("seg-*")))
    assert before > 3
    journal.ack("sink", {RUN: 300})
    journal.maintain()
    half = len(list(tmp_path.glob("seg-*")))
    assert 1 < half < before
    journal.ack("sink", {RUN: 600})
    journal.maintain()
    assert len(list(tmp_path.glob("seg-*"))) == 1
    assert journal.snapshot().trimmed(1) > 300
    assert not journal.take_news()
    journal.release()


def test_acknowledged_frames_stay_keep_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    journal = open_new(tmp_path, LIMITS._replace(keep_s=60.0))
    journal.append(entries(1, 300))
    journal.ack("sink", {RUN: 300})
    journal.maintain()
    now[0] += 59
    journal.maintain()
    assert account(journal) == dict.fromkeys(range(1, 301), "frame")
    now[0] += 2
    journal.maintain()
    assert len(list(tmp_path.glob("seg-*"))) == 1
    journal.release()


def test_only_the_slowest_consumer_trims(tmp_path: Path) -> None:
    journal = open_new(tmp_path, LIMITS._replace(consumers=("sink", "second")))
    journal.append(entries(1, 300))
    journal.ack("sink", {RUN: 300})
    journal.ack("stranger", {RUN: 300})
    journal.maintain()
    assert len(list(tmp_path.glob("seg-*"))) > 1
    journal.ack("second", {RUN: 300})
    journal.maintain()
    assert len(list(tmp_path.glob("seg-*"))) == 1
    journal.release()


def test_the_bound_discards_the_oldest_by_name(tmp_path: Path) -> None:
    journal = open_new(tmp_path)
    assert journal.append(entries(1, 3000)) == 3000
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) <= LIMITS.max_bytes
    found = account(journal)
    assert set(found.values()) == {"frame", "journal_full"}
    lost = [n for n, what in found.items() if what == "journal_full"]
    assert lost == list(range(1, len(lost) + 1))  # the oldest, and no hole
    assert {loss.cause for _, loss in journal.take_news()} == {"journal_full"}
    journal.release()


def test_an_endless_outage_does_not_make_endless_records(tmp_path: Path) -> None:
    journal = open_new(tmp_path)
    for first in range(1, 40_001, 500):
        assert journal.append(entries(first, 500)) == 500
    assert len(journal.losses) <= 10
    assert sorted(account(journal)) == list(range(1, 40_001))
    journal.release()


def test_a_full_place_blocks_and_goes_on_when_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_new(tmp_path)
    journal.append(entries(1, 10))

    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(files.os, "posix_fallocate", full)
    taken = 0
    for first in range(11, 400):
        taken += journal.append(entries(first, 1))
        if taken < first - 10:
            break
    assert 0 < taken < 200
    assert journal.append(entries(11 + taken, 5)) == 0
    journal.give_up(Gap(11 + taken, 20 + taken, "journal_blocked", 1, 2))  # control records still find room
    monkeypatch.undo()
    module.time.sleep(0.15)
    assert journal.append(entries(21 + taken, 5)) == 5
    found = account(journal)
    assert [n for n, what in found.items() if what != "frame"] == list(range(11 + taken, 21 + taken))
    journal.release()


def test_a_full_place_voids_keep_s_of_what_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_new(tmp_path, LIMITS._replace(keep_s=3600.0))
    journal.append(entries(1, 300))
    journal.ack("sink", {RUN: 300})
    real, calls = os.posix_fallocate, []

    def full_once(fd: int, offset: int, size: int) -> None:
        calls.append(size)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, "no space")
        real(fd, offset, size)

    monkeypatch.setattr(files.os, "posix_fallocate", full_once)
    assert journal.append(entries(301, 200)) == 200
    assert not journal.take_news()
    assert journal.snapshot().trimmed(1) > 0
    journal.release()


def test_a_short_write_leaves_nothing_that_verifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_new(tmp_path)
    journal.append(entries(1, 5))
    real = os.pwrite

    def short(fd: int, data: bytes, offset: int) -> int:
        return real(fd, data[: len(data) // 2], offset) if data[:4] == b"RBJ1" else real(fd, data, offset)

    monkeypatch.setattr(module.os, "pwrite", short)
    assert journal.append(entries(6, 6)) == 0
    held = scan_folder(tmp_path, alive=True).held
    assert held == {1: [[1, 5]]}
    monkeypatch.undo()
    assert journal.append(entries(6, 6)) == 6
    assert account(journal) == dict.fromkeys(range(1, 12), "frame")
    journal.release()


def test_segments_taken_away_by_a_foreign_hand_are_losses(tmp_path: Path) -> None:
    journal = open_new(tmp_path)
    journal.append(entries(1, 200))
    for path in tmp_path.glob("seg-*"):
        path.unlink()
    for _ in range(10):
        journal.maintain()
    assert journal.append(entries(201, 5)) == 5
    found = account(journal)
    assert sorted(found) == list(range(1, 206))
    assert [n for n, what in found.items() if what == "frame"] == list(range(201, 206))
    journal.release()


def test_max_frame_fits_and_the_totals_live_with_the_frames(tmp_path: Path) -> None:
    journal = open_new(tmp_path)
    big = Entry(1, b"pulse/import/", bytes(journal.max_frame - 20), True, "import", 77)
    assert journal.append([big, Entry(2, b"pulse/import/", b"x", True, "import", 78)]) == 2
    journal.release()
    again = open_new(tmp_path, run="00000000000000bb", slots=[Slot(RUN, again_boot(), 2, False, 1, 2)])
    assert again.state.totals == {"import": 78}
    again.release()


def again_boot() -> str:
    from common import clock

    return clock.boot_id()
