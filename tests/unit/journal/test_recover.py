"""Opening a journal: how a run's end is named, and that a start cut at any byte comes out the same."""

import shutil
from pathlib import Path

import pytest

from common import clock
from common.journal import recover
from common.journal.counter import Slot
from common.journal.entries import Entry, Limits
from common.journal.journal import Journal
from common.journal.replay import replay
from common.journal.state import CLEAN, KILLED, UNKNOWABLE

A, B, C = "00000000000000aa", "00000000000000bb", "00000000000000cc"
LIMITS = Limits(1 << 20, 0.0, 0.0, False, ("sink",))
OTHER_BOOT = "ff" * 16


def first_run(folder: Path, *, clean: bool = False) -> None:
    journal = recover.open_journal(folder, LIMITS, A, [])
    journal.append([Entry(seq, b"app/event/", b"frame %d" % seq, False) for seq in range(1, 11)])
    if clean:
        journal.close()
    journal.release()


def slot(run: str = A, *, offered: int, closed: bool = False, boot: str | None = None) -> Slot:
    return Slot(run, boot or clock.boot_id(), offered, closed, 1, 2)


def end_of(journal: Journal, run: str = A) -> tuple[int, int, list[tuple[int, int, str]]]:
    """(closed, last, losses) as a sink sees them."""
    chunk = replay(journal.snapshot(), run, 1, 1000)
    assert chunk is not None
    return chunk.closed, chunk.last, [loss[:3] for loss in chunk.losses]


def test_killed_in_this_boot_is_exact(tmp_path: Path) -> None:
    first_run(tmp_path)
    journal = recover.open_journal(tmp_path, LIMITS, B, [slot(offered=13)])
    assert end_of(journal) == (KILLED, 13, [(11, 13, "killed")])
    assert [loss.cause for _, loss in journal.take_news()] == ["killed"]
    journal.release()


def test_killed_with_nothing_in_flight_loses_nothing(tmp_path: Path) -> None:
    first_run(tmp_path)
    journal = recover.open_journal(tmp_path, LIMITS, B, [slot(offered=10)])
    assert end_of(journal) == (KILLED, 10, [])
    journal.release()


def test_power_cut_is_unknowable_beyond_what_is_known(tmp_path: Path) -> None:
    first_run(tmp_path)
    journal = recover.open_journal(tmp_path, LIMITS, B, [slot(offered=12, boot=OTHER_BOOT)])
    assert end_of(journal) == (UNKNOWABLE, 12, [(11, 12, "power_cut")])
    chunk = replay(journal.snapshot(), A, 13, 10)
    assert chunk is not None
    assert chunk.unknown is not None
    journal.release()


def test_a_clean_end_stays_clean_after_another_boot(tmp_path: Path) -> None:
    first_run(tmp_path, clean=True)
    journal = recover.open_journal(tmp_path, LIMITS, B, [slot(offered=10, closed=True, boot=OTHER_BOOT)])
    assert end_of(journal) == (CLEAN, 10, [])
    journal.release()


def test_a_memory_journal_gone_with_the_boot(tmp_path: Path) -> None:
    """The counter is all that is left: a closed run is exact, an open one unknowable beyond it."""
    slots = [slot(A, offered=10, closed=True, boot=OTHER_BOOT), slot(B, offered=7, boot=OTHER_BOOT)]
    journal = recover.open_journal(tmp_path, LIMITS, C, slots)
    assert end_of(journal, A) == (CLEAN, 10, [(1, 10, "journal_gone")])
    assert end_of(journal, B) == (UNKNOWABLE, 7, [(1, 7, "journal_gone")])
    assert journal.damaged
    journal.release()


def test_old_counter_slots_do_not_come_back_once_they_are_pruned(tmp_path: Path) -> None:
    first_run(tmp_path, clean=True)
    pruned = Slot("0000000000000001", clock.boot_id(), 5, True, 1, 2)
    journal = recover.open_journal(tmp_path, LIMITS, B, [pruned, slot(offered=10, closed=True)])
    assert [run.id for run in journal.snapshot().runs] == [A, B]
    journal.release()


def test_a_second_start_changes_nothing_of_the_first_run(tmp_path: Path) -> None:
    first_run(tmp_path)
    journal = recover.open_journal(tmp_path, LIMITS, B, [slot(offered=13)])
    once = end_of(journal)
    journal.release()
    journal = recover.open_journal(tmp_path, LIMITS, C, [slot(offered=13), slot(B, offered=0)])
    assert end_of(journal) == once
    assert end_of(journal, B) == (KILLED, 0, [])
    journal.release()


@pytest.mark.parametrize("fresh", [False, True])
def test_a_start_cut_at_any_byte_comes_out_the_same(tmp_path: Path, fresh: bool) -> None:
    base = tmp_path / "base"
    if not fresh:
        first_run(base)
    slots = [slot(offered=13)]
    whole = tmp_path / "whole"
    if base.exists():
        shutil.copytree(base, whole)
    journal = recover.open_journal(whole, LIMITS, B, slots)
    expected = end_of(journal)
    end = journal.snapshot().segments[-1].end
    journal.release()
    path = next(whole.glob("seg-*"))
    data = path.read_bytes()
    start = len((base / path.name).read_bytes().rstrip(b"\0")) if base.exists() else 0
    for cut in range(start, end, 3 if fresh else 1):
        here = tmp_path / "cut"
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        (here / path.name).write_bytes(data[:cut] + bytes(len(data) - cut))
        journal = recover.open_journal(here, LIMITS, C, [*slots, slot(B, offered=0)])
        assert end_of(journal) == expected, cut
        journal.release()


def test_no_room_at_all_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from common.errors import JournalError

    monkeypatch.setattr(recover, "make_spare", lambda *a, **k: False)
    with pytest.raises(JournalError, match="no room for a segment"):
        recover.open_journal(tmp_path / "j", LIMITS, A, [])


def test_a_daemon_that_fails_at_each_start_does_not_fill_its_journal(tmp_path: Path) -> None:
    """Device missing, restarted each ten seconds for days: the past is pruned, the bound holds."""
    slots: list[Slot] = []
    for n in range(1, 400):
        run = f"{n:016x}"
        journal = recover.open_journal(tmp_path, LIMITS, run, slots[-62:])
        journal.maintain()
        journal.close()
        journal.release()
        slots.append(slot(run, offered=0, closed=True))
        assert len(journal.state.runs) <= 66
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) <= LIMITS.max_bytes


def test_starts_that_ended_before_the_journal_are_closed_by_the_next(tmp_path: Path) -> None:
    """Killed between counter and journal, twice, then a reboot: nothing was published, and that is known for good."""
    first_run(tmp_path, clean=True)
    lost = [slot(f"{n:016x}", offered=0, boot=OTHER_BOOT) for n in (1, 2)]
    journal = recover.open_journal(tmp_path, LIMITS, B, [slot(offered=10, closed=True), *lost])
    assert [(r.id[-1], r.closed) for r in journal.snapshot().runs] == [
        ("a", CLEAN), ("1", KILLED), ("2", KILLED), ("b", 0),
    ]  # fmt: skip
    journal.release()


def test_after_many_discards_no_number_is_named_twice(tmp_path: Path) -> None:
    journal = recover.open_journal(tmp_path, LIMITS, A, [])
    for seq in range(1, 301):
        journal.append([Entry(seq, b"app/event/", bytes(50_000), False)])
    named = sorted((x.from_seq, x.to_seq) for x in journal.losses)
    assert named
    journal.release()
    again = recover.open_journal(tmp_path, LIMITS, B, [slot(offered=300)])
    assert sorted((x.from_seq, x.to_seq) for x in again.losses) == named
    again.release()
