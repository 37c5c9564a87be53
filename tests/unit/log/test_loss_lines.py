"""Each row of the ledger is a line in journald; a flood of one kind is a line a minute with the sum."""

import io
import re

import pytest

from common import clock
from common.intake import lines
from common.intake.lines import CatchUpLines, LossLines
from common.log import Log
from common.log_events import LogEvent
from common.store.items import Noise
from common.store.writer import Store


@pytest.fixture
def now(monkeypatch):
    """Sets the monotonic time, in seconds."""
    at = [1000.0]
    monkeypatch.setattr(lines.time, "monotonic", lambda: at[0])
    return at


@pytest.fixture
def log(journal):
    return Log("sink", io.StringIO(), journal)


@pytest.fixture
def store(tmp_path):
    made = Store.open(tmp_path / "rigbus.db")
    yield made
    made.close()


def lose(store, *, stream="pulse/import/", unit="edge", count=1, cause="kernel_overflow", detail="", t=0):
    row = (clock.wall_ns(), stream, unit, count, cause, t, t + 10**9, detail)
    columns = "t_ns, stream, unit, count, cause, from_t_ns, to_t_ns, detail"
    store.work(lambda conn: conn.execute(f"INSERT INTO ledger ({columns}) VALUES (?,?,?,?,?,?,?,?)", row).fetchall())


def test_a_row_is_a_line_with_what_a_reader_looks_for(store, log, reader, now):
    told = LossLines(store, log)
    lose(store, count=3, detail="a burst", t=1_760_000_000 * 10**9)
    told.look(store)
    (line,) = reader.lines()
    assert line["MESSAGE_ID"] == LogEvent.LOSS.value
    assert {name: value for name, value in line.items() if name.startswith("RIGBUS")} == {
        "RIGBUS_EVENT": "loss",
        "RIGBUS_STREAM": "pulse/import/",
        "RIGBUS_UNIT": "edge",
        "RIGBUS_COUNT": "3",
        "RIGBUS_CAUSE": "kernel_overflow",
        "RIGBUS_FROM": "2025-10-09T08:53:20+00:00",
        "RIGBUS_TO": "2025-10-09T08:53:21+00:00",
        "RIGBUS_DETAIL": "a burst",
    }
    told.look(store)
    assert reader.lines() == []


def test_what_an_earlier_process_told_is_not_told_again(store, log, reader, now):
    lose(store)
    LossLines(store, log).look(store)
    assert reader.lines() == []


def test_a_flood_is_a_line_a_minute_and_the_counts_add_up(store, log, reader, now):
    told = LossLines(store, log)
    counts = []
    for _ in range(300):
        now[0] += 1
        lose(store, count=2)
        told.look(store)
        counts += [int(line["RIGBUS_COUNT"]) for line in reader.lines()]
    assert 5 <= len(counts) <= 6
    told.look(store, last=True)
    counts += [int(line["RIGBUS_COUNT"]) for line in reader.lines()]
    assert sum(counts) == 600


def test_an_unknown_count_is_never_a_zero(store, log, reader, now):
    told = LossLines(store, log)
    lose(store, count=None)
    told.look(store)
    lose(store, count=None)
    lose(store, count=4)
    now[0] += 61
    told.look(store)
    assert [line["RIGBUS_COUNT"] for line in reader.lines()] == ["unknown", "at least 4"]


def test_another_cause_is_another_line_at_once(store, log, reader, now):
    told = LossLines(store, log)
    for cause in ("late", "down", "late"):
        lose(store, cause=cause)
    told.look(store)
    assert sorted(line["RIGBUS_CAUSE"] for line in reader.lines()) == ["down", "late"]


def test_of_many_kinds_at_once_the_rest_is_told_as_one(store, log, reader, now):
    told = LossLines(store, log)
    for number in range(200):
        lose(store, stream=f"x/{number}/", count=1)
    told.look(store)
    # what the socket has no room for goes to stderr
    found = [line["MESSAGE"] for line in reader.lines()] + log._stream.getvalue().splitlines()
    assert len(found) == 65
    assert sum(int(re.search(r" count=(\d+) ", line)[1]) for line in found) == 200


def test_rows_of_every_writer_are_told(store, log, reader, now):
    """Noise is no frame of any stream; the committer writes it."""
    told = LossLines(store, log)
    store.commit([Noise("x/y/", 7, "malformed", "two parts")])
    told.look(store)
    (line,) = reader.lines()
    assert (line["RIGBUS_CAUSE"], line["RIGBUS_COUNT"]) == ("malformed", "7")


def test_catching_up_is_two_lines_however_long_it_takes(log, reader, now):
    told = CatchUpLines(log)
    for _ in range(100):
        told.look({"pulse": 30, "highspeed": 2})
        now[0] += 1
    told.look({})
    told.look({})
    first, last = reader.lines()
    assert (first["RIGBUS_EVENT"], first["RIGBUS_SRCS"], first["RIGBUS_FRAMES"]) == (
        "catch_up",
        "highspeed,pulse",
        "32",
    )
    assert last["RIGBUS_EVENT"] == "caught_up"


def test_the_moment_of_a_start_is_no_line(log, reader, now):
    told = CatchUpLines(log)
    for _ in range(4):
        told.look({"pulse": 30})
        now[0] += 1
    told.look({})
    assert reader.lines() == []
