"""The account of rigs in every state: balanced, pending, killed, power cut, store gone, taken apart."""

from pathlib import Path

import pytest

from common import clock
from common.audit import Account, audit
from common.config.schema import Config
from common.frames import Event, encode
from common.journal import recover
from common.journal.counter import Counter
from common.journal.entries import Entry, Limits
from common.paths import Folders
from common.store.items import Closed, Lost, StreamKey, Taken
from common.store.recount import recount
from common.store.writer import Store

RUN, SRC = "00000000000000aa", "pulse"
KEY = StreamKey("n", SRC, RUN)
LIMITS = Limits(1 << 20, 60.0, 0.0, False, ("sink",))


class Rig:
    """A data and a run folder as a killed daemon and a stopped sink leave them."""

    def __init__(self, tmp: Path) -> None:
        self.folders = Folders(tmp / "data", tmp / "run")
        self.folders.make()
        self.config = Config(node="n")

    def publish(self, journaled: int, *, offered: int, closed: bool = False, boot: str | None = None) -> None:
        here = self.folders.counters(SRC)
        here.mkdir(parents=True)
        counter = Counter(here / "counter")
        counter.begin(RUN, boot or clock.boot_id(), 1)
        counter.offer(offered)
        journal = recover.open_journal(self.folders.journal(SRC, "memory"), LIMITS, RUN, [])
        if boot:
            journal.run.boot_id = boot
        journal.append([Entry(n, b"app/event/", encode(event(n)), False) for n in range(1, journaled + 1)])
        if closed:
            journal.close()
            counter.close_run()
        journal.release()
        counter.close()

    def store(self, to: int, *, closed: int = 0, lost: tuple[int, int] | None = None) -> None:
        store = Store.open(self.folders.store)
        items = [Taken(KEY, "app/event/", event(n)) for n in range(1, to + 1)]
        tail = [Lost(KEY, *lost, "killed", 1, 2)] if lost else []
        end = [Closed(KEY, closed, 1, 2)] if closed else []
        store.commit([*items, *tail, *end], {KEY: (to, clock.boot_id())})
        store.close()

    def audit(self, **kw: bool) -> Account:
        return audit(self.config, self.folders, **kw)


def event(n: int) -> Event:
    return Event(event_type="e", source="t", node="n", src=SRC, run=RUN, seq=n, tseq=n, t=n, mono=n)


def numbers(account: Account) -> tuple[int, int, int, int, int]:
    (s,) = account.streams
    return s.published, s.stored, s.lost, s.pending, s.unknown


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_nothing_yet(rig: Rig) -> None:
    assert rig.audit() == Account([], [], True)


def test_a_clean_rig_balances(rig: Rig) -> None:
    rig.publish(10, offered=10, closed=True)
    rig.store(10, closed=1)
    account = rig.audit()
    assert numbers(account) == (10, 10, 0, 0, 0)
    assert account.ok
    assert recount(rig.folders.store) == []


def test_what_is_journaled_and_not_stored_is_pending(rig: Rig) -> None:
    rig.publish(10, offered=10, closed=True)
    rig.store(4)
    assert numbers(rig.audit()) == (10, 4, 0, 6, 0)
    assert rig.audit().ok


def test_without_a_store_all_is_pending(rig: Rig) -> None:
    rig.publish(10, offered=10, closed=True)
    assert numbers(rig.audit()) == (10, 0, 0, 10, 0)


def test_what_a_killed_daemon_had_in_flight_is_lost_already(rig: Rig) -> None:
    """As its next start will write it: the counts are exact in the same boot."""
    rig.publish(10, offered=13)
    rig.store(10)
    assert numbers(rig.audit()) == (13, 10, 3, 0, 0)
    assert rig.audit().ok


def test_a_power_cut_leaves_an_unknown_and_only_then_the_flag_matters(rig: Rig) -> None:
    rig.publish(10, offered=10, boot="ee" * 16)
    rig.store(10)
    assert numbers(rig.audit()) == (10, 10, 0, 0, 1)
    assert not rig.audit().ok
    assert rig.audit(allow_unknown=True).ok


def test_the_ledger_counts_once(rig: Rig) -> None:
    rig.publish(10, offered=13)
    rig.store(10, lost=(11, 13), closed=2)
    assert numbers(rig.audit()) == (13, 10, 3, 0, 0)
    assert rig.audit().ok


def test_rows_that_vanish_are_found_by_deep_only(rig: Rig) -> None:
    import sqlite3

    rig.publish(10, offered=10, closed=True)
    rig.store(10, closed=1)
    with sqlite3.connect(rig.folders.store) as db:
        db.execute("DELETE FROM system_events WHERE frame_seq = 3")
    db.close()
    assert rig.audit().ok
    (fault,) = recount(rig.folders.store)
    assert "10 frames are said to be stored, 9 were found" in fault


def test_deep_finds_doubles_and_stored_losses(rig: Rig) -> None:
    import sqlite3

    rig.publish(10, offered=13)
    rig.store(10, lost=(11, 13), closed=2)
    with sqlite3.connect(rig.folders.store) as db:
        copy = "INSERT INTO system_events (ts, event_type, source, stream_id, frame_seq) VALUES (1, 'e', 't', 1, ?)"
        db.executemany(copy, [(5,), (12,)])
    db.close()
    faults = "\n".join(recount(rig.folders.store))
    assert "frame 5 stands 2 times" in faults
    assert "frame 12 is both" in faults


def test_a_frame_nobody_accounts_for_fails_it(rig: Rig) -> None:
    rig.publish(10, offered=10, closed=True)
    rig.store(10, closed=1)
    import sqlite3

    with sqlite3.connect(rig.folders.store) as db:
        db.execute("UPDATE streams SET stored = 9")
    db.close()
    account = rig.audit()
    assert not account.ok
    assert account.streams[0].balance() == 1


def test_an_older_copy_of_the_store_behind_the_trim_is_a_loss_before_the_sink_says_so(rig: Rig) -> None:
    """What the journal has trimmed since then cannot come again; replay will name it."""
    here = rig.folders.counters(SRC)
    here.mkdir(parents=True)
    counter = Counter(here / "counter")
    counter.begin(RUN, clock.boot_id(), 1)
    counter.offer(600)
    journal = recover.open_journal(rig.folders.journal(SRC, "memory"), LIMITS._replace(keep_s=0.0), RUN, [])
    journal.append([Entry(n, b"app/event/", encode(event(n)) + bytes(1000), False) for n in range(1, 601)])
    journal.ack("sink", {RUN: 600})
    journal.maintain()
    trimmed = journal.snapshot().trimmed(1)
    journal.close()
    counter.close_run()
    journal.release()
    counter.close()
    rig.store(50)
    assert trimmed > 100
    assert numbers(rig.audit()) == (600, 50, trimmed - 50, 600 - trimmed, 0)
    assert rig.audit().ok
