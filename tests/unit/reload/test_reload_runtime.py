"""What every daemon takes alike: the CPUs that it may use, and the bounds of its journal."""

import io
import os
import threading

import pytest

from common.journal.entries import Entry, Limits
from common.journal.recover import open_journal
from common.log import Log
from common.realtime import pin_again

MB = 1 << 20


@pytest.fixture
def threads():
    """Two threads that stay, by their ids; all of them get their CPUs back."""
    before, over, ids = os.sched_getaffinity(0), threading.Event(), []
    made = [threading.Thread(target=lambda: (ids.append(threading.get_native_id()), over.wait(60))) for _ in range(2)]
    for thread in made:
        thread.start()
    while len(ids) < 2:
        over.wait(0.001)
    yield ids
    over.set()
    for thread in made:
        thread.join()
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), before)


def test_all_threads_move_to_another_cpu_and_back(threads):
    given = os.sched_getaffinity(0)
    one = max(given)
    out = io.StringIO()
    pin_again(one, "pulse", Log("pulse", out))
    assert [os.sched_getaffinity(thread) for thread in (0, *threads)] == [{one}] * 3
    pin_again("none", "pulse", Log("pulse", out))
    assert [os.sched_getaffinity(thread) for thread in (0, *threads)] == [given] * 3
    assert out.getvalue() == ""


def test_a_cpu_that_is_not_there_is_one_line_and_changes_nothing(threads):
    given = os.sched_getaffinity(0)
    out = io.StringIO()
    pin_again(1023, "pulse", Log("pulse", out))
    assert os.sched_getaffinity(threads[0]) == given
    assert out.getvalue().startswith("pulse: not pinned: no such CPU here cpu=[1023]")
    assert out.getvalue().count("\n") == 1


def numbers(losses):
    return {seq for loss in losses for seq in range(loss.from_seq, loss.to_seq + 1)}


@pytest.mark.parametrize(("first", "then"), [(8 * MB, 2 * MB), (1 * MB, 4 * MB)])
def test_another_bound_of_the_journal_holds_while_it_runs(tmp_path, first, then):
    def limits(max_bytes):
        return Limits(max_bytes, 60.0, 1.0, False, ("sink",))

    journal = open_journal(tmp_path / "j", limits(first), "a" * 16, [], None)

    def fill(seqs):
        for seq in seqs:
            assert journal.append([Entry(seq, b"event/x/", bytes(50_000), False)]) == 1
        return sum(path.stat().st_blocks * 512 for path in (tmp_path / "j").iterdir())

    assert fill(range(1, 301)) <= first + MB
    segment = journal.segment_size
    journal.limits = limits(then)
    assert fill(range(301, 601)) <= then + MB
    assert journal.fill()[1] <= then
    assert journal.segment_size == segment
    lost = numbers(journal.losses)
    assert 0 < len(lost) < 600
    journal.release()
    # the next start, with the segments of another size, finds all that is left
    again = open_journal(tmp_path / "j", limits(then), "b" * 16, [], journal.id)
    assert numbers(again.losses) == lost
    again.release()
