"""The consumer: every row once and in order, cursors through the writer, quarantine, pauses, holes, the gate."""

import os
import threading
from typing import Any

import pytest

from common.errors import ConfigError
from common.sinks.output import Feed, NotNow, Refused, Written
from common.sinks.outputs import Queue
from common.store import readonly
from common.store.moves import Move


def cursor(rig: Any) -> int:
    found = rig.filler.rows("SELECT last_id FROM output_cursors WHERE output = 'memory'")
    return found[0][0] if found else 0


def test_every_row_comes_once_and_in_order(rig: Any) -> None:
    rig.commit(250)
    consumer = rig.consume()
    rig.until(lambda: len(rig.output.got) == 250)
    for _ in range(5):
        rig.commit(7)
    rig.until(lambda: len(rig.output.got) == 285)
    assert rig.output.got == list(range(1, 286))
    assert max(rig.output.pages) == 100
    rig.until(lambda: consumer.behind == 0)
    rig.commit()
    assert cursor(rig) == 285
    rig.until(lambda: rig.output.commits > 0)


def test_what_was_not_committed_comes_again(rig: Any) -> None:
    rig.commit(10)
    first = rig.consume()
    rig.until(lambda: len(rig.output.got) == 10)
    rig.consumers.clear()  # killed: its move never reached the store
    first.stop(1.0)
    assert first.join(5.0)
    rig.output.got.clear()
    rig.consume()
    rig.until(lambda: len(rig.output.got) == 10)
    rig.commit()
    assert cursor(rig) == 10


def test_a_stalled_output_holds_one_page_and_logs_changes_only(rig: Any) -> None:
    rig.output.fails = NotNow("the server is down", 0.01)
    rig.commit(1000)
    consumer = rig.consume()
    rig.until(lambda: consumer.state == "waiting")
    for _ in range(20):
        rig.commit(1)
    assert consumer.position("pulses") == 0
    rig.output.fails = None
    rig.until(lambda: len(rig.output.got) == 1020)
    assert rig.output.got == list(range(1, 1021))
    said = [line for line in rig.lines if "down" in line]
    assert len(said) == 1
    rig.until(lambda: any("goes on" in line for line in rig.lines))


def test_a_fault_in_the_output_is_logged_and_tried_again(rig: Any) -> None:
    rig.output.fails = ZeroDivisionError("oh")
    rig.commit(3)
    consumer = rig.consume()
    rig.until(lambda: consumer.state == "waiting")
    assert "ZeroDivisionError: oh" in consumer.reason
    rig.output.fails = None
    consumer.retry()
    rig.until(lambda: rig.output.got == [1, 2, 3])


def test_refused_rows_stand_in_quarantine_and_can_be_sent_again(rig: Any) -> None:
    rig.output.refuses = {3, 5}
    rig.commit(10)
    consumer = rig.consume()
    rig.until(lambda: len(rig.output.got) == 8)
    rig.until(lambda: consumer.mailbox.take() is not None)
    rig.commit()
    rows = rig.filler.rows("SELECT output, table_name, row_id, reason, line FROM quarantine ORDER BY id")
    assert rows == [("memory", "pulses", 3, "no", b"line"), ("memory", "pulses", 5, "no", b"line")]
    rig.output.refuses = {5}
    rig.filler.store.work(lambda conn: conn.execute("UPDATE quarantine SET requeued = 1"))
    rig.commit(1)
    rig.until(lambda: 3 in rig.output.got)
    rig.until(lambda: consumer.mailbox.take() is not None)
    rig.commit()
    assert rig.filler.rows("SELECT row_id, requeued FROM quarantine") == [(5, 0)]
    assert sorted(rig.output.got) == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]


def test_the_gate_holds_rows_back(rig: Any) -> None:
    rig.gate.hold({"pulses": 4}, "the clock is not set")
    rig.commit(10)
    consumer = rig.consume()
    rig.until(lambda: rig.output.got == [1, 2, 3, 4])
    rig.commit(5)
    rig.until(lambda: consumer.reach.get("pulses") == 4)
    assert rig.output.got == [1, 2, 3, 4]
    rig.gate.open()
    rig.commit()
    rig.until(lambda: rig.output.got == list(range(1, 16)))


def test_what_retention_took_from_an_output_that_was_off_is_counted(rig: Any) -> None:
    rig.commit(10)
    rig.consume()
    rig.until(lambda: len(rig.output.got) == 10)
    rig.commit()
    rig.close()
    rig.consumers.clear()
    rig.commit(10)
    rig.filler.store.work(lambda conn: conn.execute("DELETE FROM pulses WHERE id <= 15"))
    rig.output.got.clear()
    rig.consume()
    rig.until(lambda: len(rig.output.got) == 5)
    rig.commit()
    assert rig.output.got == [16, 17, 18, 19, 20]
    rows = rig.filler.rows("SELECT stream, unit, count, cause FROM ledger")
    assert rows == [("memory/pulses", "row", 5, "pruned")]
    assert cursor(rig) == 20


def test_what_the_writer_gave_up_is_skipped_without_a_second_account(rig: Any) -> None:
    rig.output.fails = NotNow("down", 60.0)
    rig.commit(500)
    consumer = rig.consume()
    rig.until(lambda: consumer.state == "waiting")
    assert consumer.reach == {"pulses": 100}
    rig.filler.store.work(lambda conn: conn.execute("DELETE FROM pulses WHERE id <= 300"))
    consumer.skip("pulses", 300)
    rig.output.fails = None
    consumer.retry()
    rig.until(lambda: len(rig.output.got) == 200)
    assert rig.output.got == list(range(301, 501))
    rig.commit()
    assert rig.filler.rows("SELECT * FROM ledger") == []


def test_a_store_that_was_replaced_is_read_from_its_start(rig: Any) -> None:
    rig.commit(10)
    consumer = rig.consume()
    rig.until(lambda: len(rig.output.got) == 10)
    rig.commit()
    os.rename(rig.filler.path, f"{rig.filler.path}.old")
    for suffix in ("-wal", "-shm"):
        os.rename(f"{rig.filler.path}{suffix}", f"{rig.filler.path}.old{suffix}")
    before = rig.filler.store.generation
    rig.filler.store.cursors()
    assert rig.filler.store.generation != before
    rig.filler.seq = 0
    consumer.restart()
    rig.commit(3)
    rig.until(lambda: len(rig.output.got) == 13)
    assert rig.output.got[10:] == [1, 2, 3]
    assert rig.output.restored == [{}, {}]


def test_a_requeued_row_of_a_table_that_is_not_read_waits_and_keeps_none_waiting(rig: Any) -> None:
    rig.output.refuses = {3}
    rig.commit(10)
    consumer = rig.consume()
    rig.until(lambda: consumer.refused == 1)
    rig.commit()
    columns = "output, table_name, row_id, reason, t_ns, requeued"
    sql = f"INSERT INTO quarantine ({columns}) VALUES ('memory', 'x', 1, '', 0, 1)"
    rig.filler.store.work(lambda conn: [conn.execute(sql) for _ in range(600)])
    rig.filler.store.work(lambda conn: conn.execute("UPDATE quarantine SET requeued = 1 WHERE table_name = 'pulses'"))
    rig.output.refuses = set()
    rig.commit(1)
    rig.until(lambda: 3 in rig.output.got)
    rig.commit()
    idle: list[bool] = []
    rig.output.idle = lambda: idle.append(True) or Written()
    rig.until(lambda: idle)
    assert rig.filler.rows("SELECT table_name, count(*) FROM quarantine GROUP BY 1") == [("x", 600)]


def test_a_wait_that_the_other_side_asked_for_makes_no_later_one_longer(rig: Any) -> None:
    rig.output.fails = NotNow("busy", 0.001)
    rig.commit(3)
    consumer = rig.consume()
    rig.until(lambda: consumer.state == "waiting")
    before, tries = consumer._pause_s, []
    write = rig.output.write
    rig.output.write = lambda table, rows: tries.append(table) or write(table, rows)
    rig.until(lambda: len(tries) > 20)
    assert consumer._pause_s == before


def replaced(rig: Any) -> None:
    """Another, empty database stands in the store's place."""
    for suffix in ("", "-wal", "-shm"):
        os.rename(f"{rig.filler.path}{suffix}", f"{rig.filler.path}.old{suffix}")
    rig.filler.store.cursors()
    rig.filler.seq = 0


def test_a_page_under_way_moves_no_cursor_in_a_store_that_came_after(rig: Any) -> None:
    rig.commit(50)
    held, go = threading.Event(), threading.Event()
    write = rig.output.write

    def slow(table: str, rows: Any) -> Any:
        held.set()
        assert go.wait(20)
        return write(table, rows)

    rig.output.write = slow
    consumer = rig.consume()
    assert held.wait(20)
    replaced(rig)
    consumer.restart()
    rig.commit(3)
    go.set()
    rig.until(lambda: rig.output.got[50:] == [1, 2, 3])
    rig.until(lambda: rig.commit() or cursor(rig) == 3)
    rig.commit(2)
    rig.until(lambda: rig.output.got[50:] == [1, 2, 3, 4, 5])


def test_what_was_given_up_in_one_store_says_nothing_of_the_next(rig: Any) -> None:
    rig.commit(5)
    consumer = rig.consume()
    rig.until(lambda: len(rig.output.got) == 5)
    consumer.skip("pulses", 1000)
    replaced(rig)
    consumer.restart()
    rig.commit(7)
    rig.until(lambda: rig.output.got[5:] == [1, 2, 3, 4, 5, 6, 7])


def test_the_store_drops_moves_that_were_made_for_another(rig: Any) -> None:
    rig.commit(5)
    consumer = rig.consume()
    rig.until(lambda: len(rig.output.got) == 5)
    moves, before = [consumer.mailbox.take()], rig.filler.store.generation
    replaced(rig)
    assert rig.filler.store.commit([], moves=moves, generation=before) == []
    assert cursor(rig) == 0
    assert rig.filler.store.commit([], moves=moves, generation=rig.filler.store.generation) == []
    assert cursor(rig) == 5


def test_a_move_that_cannot_be_stored_stops_nobody_else(rig: Any) -> None:
    bad = Move("memory", refused=[Refused("pulses", 1, "no \ud800")])
    rig.filler.pulses(3)
    faults = rig.filler.store.commit([], moves=[bad, Move("other", {"pulses": 3})])
    assert len(faults) == 1
    assert "memory: UnicodeEncodeError" in faults[0]
    assert rig.filler.rows("SELECT output, last_id FROM output_cursors") == [("other", 3)]


@pytest.mark.parametrize(
    "wrong", [Refused("pulses", 99, "no"), Refused("events", 1, "no"), Refused("pulses", None, "no")]
)
def test_an_output_that_speaks_of_rows_it_was_not_given_is_at_fault(rig: Any, wrong: Any) -> None:
    rig.output.write = lambda table, rows: Written([wrong])
    rig.commit(3)
    consumer = rig.consume()
    rig.until(lambda: consumer.state == "waiting")
    assert "TypeError: refused" in consumer.reason
    rig.commit(2)
    assert rig.filler.rows("SELECT count(*) FROM quarantine") == [(0,)]


def test_a_reason_that_is_no_text_for_a_database_is_made_one(rig: Any) -> None:
    rig.output.write = lambda table, rows: Written([Refused(table, rows[0][0], "no \ud800")])
    rig.commit(1)
    rig.consume()
    rig.until(lambda: rig.commit() or rig.filler.rows("SELECT reason FROM quarantine") == [("no \\ud800",)])


def test_losses_are_counted_once_though_the_start_is_tried_again(rig: Any) -> None:
    rig.commit(10)
    rig.consume()
    rig.until(lambda: len(rig.output.got) == 10)
    rig.commit()
    rig.close()
    rig.consumers.clear()
    rig.commit(10)
    rig.filler.store.work(lambda conn: conn.execute("DELETE FROM pulses WHERE id BETWEEN 12 AND 16"))
    restore, tries = rig.output.restore, []

    def fails(cursors: Any, files: Any) -> Any:
        tries.append(1)
        if len(tries) < 4:
            raise NotNow("no folder", 0.01)
        return restore(cursors, files)

    rig.output.restore = fails
    rig.output.got.clear()
    for _ in range(2):  # and a second start counts nothing again
        consumer = rig.consume()
        rig.until(consumer.mailbox.take)
        rig.commit()
        consumer.stop(5.0)
        assert consumer.join(10.0)
        rig.consumers.clear()
        rig.filler.pulses(1)
    assert rig.filler.rows("SELECT stream, count, cause FROM ledger") == [("memory/pulses", 5, "pruned")]


def test_a_reader_that_came_before_the_writers_log_sees_what_comes(rig: Any, monkeypatch: Any) -> None:
    rig.commit(5)
    connect, frozen = readonly.connect, [True, True]

    def first_without(path: str) -> Any:
        conn, _ = connect(path)
        return conn, bool(frozen and frozen.pop())

    monkeypatch.setattr(readonly, "connect", first_without)
    rig.consume()
    rig.commit(5)
    rig.until(lambda: len(rig.output.got) == 10)
    assert not frozen


def test_the_queue_is_in_the_log_while_it_does_not_get_shorter(rig: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("common.sinks.outputs.QUEUE_LOG_S", 0.0)
    rig.output.fails = NotNow("down", 60.0)
    rig.commit(500)
    consumer = rig.consume()
    queue = Queue(consumer, rig.log)
    rig.until(lambda: consumer.state == "waiting")
    consumer.caught_up = False
    for _ in range(3):
        queue.count({"pulses": 500})
    assert [line for line in rig.lines if "queue" in line] == ["sink: memory: queue rows=500\n"] * 3
    assert consumer.behind == 500
    rig.output.fails = None
    consumer.retry()
    rig.until(lambda: consumer.caught_up)
    queue.count({"pulses": 510})
    queue.count({"pulses": 500})
    assert (consumer.behind, [line for line in rig.lines if "nothing is behind" in line]) == (
        0,
        ["sink: memory: nothing is behind\n"],
    )


def test_a_table_that_cannot_be_written_keeps_no_other_waiting(rig: Any) -> None:
    write = rig.output.write

    def only_pulses(table: str, rows: Any) -> Any:
        if table == "streams":
            raise NotNow("no folder for streams", 60.0, of_table=True)
        return write(table, rows)

    rig.output.write = only_pulses
    rig.output.feeds = lambda: [Feed("streams", "src", retained=False), Feed("pulses", "t_ns", 100, retained=False)]
    rig.commit(550)
    consumer = rig.consume()
    rig.until(lambda: consumer.state == "waiting")
    assert rig.output.got == list(range(1, 551))
    assert (consumer.position("streams"), consumer.position("pulses")) == (0, 550)


def test_two_feeds_of_one_table_are_refused(rig: Any) -> None:
    rig.output.feeds = lambda: [Feed("pulses", "t_ns"), Feed("pulses", "channel")]
    with pytest.raises(ConfigError, match="asks for one table twice"):
        rig.consume()
