"""What the sink and the audit make of an application's counter file, in every state that it can be left in."""

import os
from pathlib import Path

import pytest

from common import clock
from common.audit import audit
from common.config.schema import Config
from common.frames import Event
from common.intake.application import DeadApplication, is_alive
from common.intake.stream import State, Stream
from common.journal.replay import Chunk
from common.paths import Folders, Lock
from common.store.items import Closed, Cursor, Item, Lost, StreamKey, Taken
from common.store.writer import Store
from common.telemetry.counter import Counter

RUN = "00000000000000aa"
KEY = StreamKey("n", "robot", RUN)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path / "d", tmp_path / "r")
    made.make()
    (made.run / "robot.lock").touch()
    return made


def count(folders: Folders, offered: int, *, run: str = RUN, closed: bool = False, boot: str = "") -> None:
    counter = Counter(folders.application("robot"))
    counter.begin(run, boot or clock.boot_id(), 1000, 0)
    counter.offer(offered)
    if closed:
        counter.close_run()
    counter.close()


def event(n: int) -> Event:
    return Event(event_type="e", source="s", node="n", src="robot", run=RUN, seq=n, tseq=n, t=1, mono=1)


def test_a_killed_one_is_exact(folders: Folders) -> None:
    count(folders, 9)
    dead = DeadApplication(folders, "robot")
    assert [(r.run, r.last, r.closed) for r in dead.runs() or []] == [(RUN, 9, 2)]
    chunk = dead.replay(RUN, 4, 100)
    assert chunk is not None
    assert ([loss[:4] for loss in chunk.losses], chunk.upto, chunk.closed) == ([(4, 9, "app_killed", 1000)], 9, 2)
    assert chunk.unknown is None
    items: list[Item] = []
    stream = Stream(KEY, Cursor(3, 0, 5), items)
    assert stream.replayed(chunk)
    assert stream.state is State.DONE
    assert [(i.from_seq, i.to_seq) if isinstance(i, Lost) else i for i in items[:1]] == [(4, 9)]
    assert isinstance(items[1], Closed)


def test_of_one_that_is_stored_whole_nothing_is_lost(folders: Folders) -> None:
    count(folders, 9, closed=True)
    dead = DeadApplication(folders, "robot")
    dead.runs()
    assert dead.replay(RUN, 10, 100) == Chunk([], [], 9, 9, 9, 1, None)
    assert dead.replay("f" * 16, 1, 100) is None


def test_one_that_ended_in_order_without_a_sink(folders: Folders) -> None:
    count(folders, 9, closed=True)
    dead = DeadApplication(folders, "robot")
    assert [r.closed for r in dead.runs() or []] == [1]
    chunk = dead.replay(RUN, 1, 100)
    assert chunk is not None
    assert chunk.losses[0][:3] == (1, 9, "app_stopped")


def test_after_another_boot_the_rest_is_unknown(folders: Folders) -> None:
    count(folders, 9, boot="ab" * 16)
    dead = DeadApplication(folders, "robot")
    assert [r.closed for r in dead.runs() or []] == [3]
    chunk = dead.replay(RUN, 8, 100)
    assert chunk is not None
    assert chunk.losses[0][:3] == (8, 9, "power_cut")
    assert chunk.unknown is not None


def test_a_living_one_is_not_touched(folders: Folders) -> None:
    count(folders, 9)
    lock = Lock(folders.run / "robot.lock")
    dead = DeadApplication(folders, "robot")
    assert is_alive(folders, "robot")
    assert dead.runs() is None
    lock.release()
    assert dead.runs()
    lock = Lock(folders.run / "robot.lock")
    assert dead.replay(RUN, 1, 100) is None
    lock.release()


def test_a_lock_that_cannot_be_looked_at_counts_as_held(folders: Folders) -> None:
    count(folders, 9)
    path = folders.run / "robot.lock"
    path.unlink()
    assert not is_alive(folders, "robot")
    os.symlink("robot.lock", path)  # ELOOP, also for root
    assert is_alive(folders, "robot")
    assert DeadApplication(folders, "robot").runs() is None


def test_no_counter_file_is_no_answer(folders: Folders) -> None:
    assert DeadApplication(folders, "robot").runs() is None


def test_a_forsaken_stream_says_what_it_knew_and_that_it_knows_no_more() -> None:
    items: list[Item] = []
    stream = Stream(KEY, Cursor(4, 0, 6), items)
    stream.heard(6, ended=True)
    stream.forsake()
    lost, closed = items
    assert isinstance(lost, Lost)
    assert (lost.from_seq, lost.to_seq, lost.cause) == (5, 6, "app_gone")
    assert isinstance(closed, Closed)
    assert (closed.kind, closed.cause) == (3, "app_gone")
    assert stream.state is State.DONE


def store(folders: Folders, to: int, *end: Item) -> None:
    opened = Store.open(folders.store)
    opened.commit([*[Taken(KEY, "app/event/", event(n)) for n in range(1, to + 1)], *end], {KEY: (to, clock.boot_id())})
    opened.close()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        # published, stored, lost, pending, unknown, ok
        ("alive", (9, 6, 0, 3, 0, True)),
        ("killed", (9, 6, 3, 0, 0, True)),
        ("stopped", (9, 6, 3, 0, 0, True)),
        ("rebooted", (9, 6, 3, 0, 1, False)),
    ],
)
def test_the_audit_sees_what_the_sink_has_not_said_yet(folders: Folders, state: str, expected: tuple[int, ...]) -> None:
    store(folders, 6)
    count(folders, 9, closed=state == "stopped", boot="ab" * 16 if state == "rebooted" else "")
    lock = Lock(folders.run / "robot.lock") if state == "alive" else None
    account = audit(Config(node="n"), folders)
    [s] = account.streams
    assert (s.published, s.stored, s.lost, s.pending, s.unknown, s.ok) == expected
    assert account.ok is expected[-1]
    if lock:
        lock.release()


def test_the_audit_sees_a_run_that_no_sink_has_heard_of(folders: Folders) -> None:
    count(folders, 9, closed=True)
    [s] = audit(Config(node="n"), folders).streams
    assert (s.src, s.published, s.stored, s.lost) == ("robot", 9, 0, 9)


def test_the_ledger_of_a_forsaken_stream(folders: Folders) -> None:
    store(folders, 6, Closed(KEY, 3, 0, 5, "app_gone"))
    account = audit(Config(node="n"), folders)
    assert [(s.stored, s.unknown, s.ok) for s in account.streams] == [(6, 1, False)]
    assert audit(Config(node="n"), folders, allow_unknown=True).ok
