"""The consumer: every row once and in order, cursors through the writer, quarantine, pauses, holes, the gate."""

import os
from typing import Any

from common.sinks.output import NotNow, Written


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
    rig.until(lambda: consumer._output.fails is not None and consumer._count_behind() == 1020)
    rig.output.fails = NotNow("the server is down", 0.01)
    rig.output.fails = None
    rig.until(lambda: len(rig.output.got) == 1020)
    assert rig.output.got == list(range(1, 1021))
    said = [line for line in rig.lines if "down" in line]
    assert len(said) == 1
    assert "rows_behind" in said[0]
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
