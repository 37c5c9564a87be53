"""Daemons that start late, stop early, or are not there at all: the order of starts and stops loses nothing."""

import signal
import sqlite3
import time
from contextlib import closing

import pytest
from rig import ALL, PUBLISHERS, WAIT_S, MakeRig, Rig


def test_a_late_sink_gets_everything(rig: Rig) -> None:
    rig.start("bus", *PUBLISHERS)
    rig.ready("bus", *PUBLISHERS)
    time.sleep(5)
    rig.start("sink")
    rig.caught_up()
    rig.end()
    assert rig.check("numbered")["numbered"].lost == 0
    assert rig.audit().sum("lost") == 0


def test_dead_publishers_journals_are_read_from_the_disk(make_rig: MakeRig) -> None:
    rig = make_rig('journal.place = "disk"')
    rig.start("bus", "numbered", "numbered2")
    for src in ("numbered", "numbered2"):
        rig.until(lambda s=src: rig.offered(s) > 100, f"{src} offers 100")
    rig.stop("numbered")
    rig.kill("numbered2", "bus")
    # no sink has been there yet, and none of the publishers comes back
    rig.start("sink")
    rig.caught_up("numbered")
    rig.until(lambda: rig.audit().sum("pending") == 0, "numbered2's journal is stored too")
    rig.stop("sink")
    account = rig.audit()
    assert account.code == 0, account.document
    assert account.of("numbered", "lost") == 0
    # what the kill took from numbered2's queue is named by its next start
    rig.start("bus", "sink", "numbered2")
    rig.ready("bus", "sink", "numbered2")
    rig.caught_up("numbered2")
    rig.end()
    found = rig.check("numbered", "numbered2")
    assert found["numbered2"].stored > 100


def test_without_a_bus_frames_come_by_the_control_sockets(rig: Rig) -> None:
    rig.start("sink", *PUBLISHERS)
    rig.ready("sink", *PUBLISHERS)
    rig.caught_up()
    rig.start("bus")
    rig.ready("bus")
    rig.caught_up()
    rig.kill("bus")
    before = rig.offered()
    rig.until(lambda: rig.offered() > before, "more is offered")
    rig.caught_up()  # the sink asks by itself when it has heard nothing for 3 s
    rig.start("bus")
    rig.ready("bus")
    rig.caught_up()
    rig.end()
    assert rig.check("numbered")["numbered"].lost == 0
    assert rig.audit().sum("lost") == 0


def test_stale_sockets_of_a_killed_rig_are_no_obstacle(rig: Rig) -> None:
    rig.start(*ALL)
    rig.ready(*ALL)
    rig.kill(*ALL)
    assert len(list(rig.run.glob("*.sock"))) == 7
    rig.start(*ALL)
    rig.ready(*ALL)
    rig.caught_up()
    rig.end()
    rig.check("numbered")


def test_a_second_process_of_a_name_is_refused(rig: Rig) -> None:
    rig.start(*ALL)
    rig.ready(*ALL)
    first, rig.processes = rig.processes, {}
    rig.start(*ALL)
    second, rig.processes = rig.processes, first
    for name, process in second.items():
        assert process.wait(WAIT_S) == 1, name
        assert "another process of this name" in rig.log(name).read_text()
    rig.caught_up()
    rig.end()
    assert rig.check("numbered")["numbered"].lost == 0


@pytest.mark.parametrize("place", ["memory", pytest.param("disk", marks=pytest.mark.slow)])
def test_a_publisher_that_stops_while_the_sink_is_behind_is_stored_later(make_rig: MakeRig, place: str) -> None:
    rig = make_rig(f'journal.place = "{place}"')
    rig.start("bus", "sink", "numbered")
    rig.ready("sink", "numbered")
    rig.signal("sink", signal.SIGSTOP)
    before = rig.offered()
    rig.until(lambda: rig.offered() > before + 100, "100 more are offered")
    rig.stop("numbered")
    assert "they stay in the journal" in rig.log("numbered").read_text()
    rig.signal("sink", signal.SIGCONT)
    rig.caught_up()
    rig.end()
    assert rig.check("numbered")["numbered"].lost == 0


def hold_the_lock(rig: Rig, seconds: float) -> None:
    """A second writer holds the database for so long; the sink must say so, and then store everything."""
    rig.start(*ALL)
    rig.ready(*ALL)
    rig.caught_up()
    with closing(sqlite3.connect(rig.db, isolation_level=None, timeout=30)) as conn:
        conn.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        conn.execute("ROLLBACK")
    rig.caught_up()
    log = rig.log("sink").read_text()
    assert "the store refuses" in log
    assert "takes rows again" in log
    rig.end()
    assert rig.check("numbered")["numbered"].lost == 0
    assert rig.audit().sum("lost") == 0


def test_a_store_locked_for_5_s(rig: Rig) -> None:
    hold_the_lock(rig, 5)


@pytest.mark.slow
def test_a_store_locked_for_30_s(rig: Rig) -> None:
    hold_the_lock(rig, 30)
