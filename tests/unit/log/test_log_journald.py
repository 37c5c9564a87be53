"""Under systemd a line is a datagram with fields; journald that does not take it delays nobody, and is told later."""

import io
import os
import re
import threading

import pytest

from common import journald
from common.journald import Journald
from common.log import Log
from common.log_events import LogEvent
from common.secrets import Secret


@pytest.fixture
def log(journal):
    return Log("pulse", io.StringIO(), journal)


def test_a_line_has_its_text_and_each_field_by_itself(log, reader):
    log.warning("no reading", event=LogEvent.DEVICE_LOST, device="bench", reason="timed out", tries=3)
    assert reader.lines() == [
        {
            "MESSAGE": 'no reading device=bench reason="timed out" tries=3',
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "rigbus-pulse",
            "MESSAGE_ID": LogEvent.DEVICE_LOST.value,
            "RIGBUS_EVENT": "device_lost",
            "RIGBUS_DEVICE": "bench",
            "RIGBUS_REASON": "timed out",
            "RIGBUS_TRIES": "3",
        }
    ]


@pytest.mark.parametrize(("level", "priority"), [("error", "3"), ("warning", "4"), ("info", "6")])
def test_the_priority_is_that_of_syslog(log, reader, level, priority):
    getattr(log, level)("text")
    (line,) = reader.lines()
    assert line == {"MESSAGE": "text", "PRIORITY": priority, "SYSLOG_IDENTIFIER": "rigbus-pulse"}


@pytest.mark.parametrize("value", ["a\nb", "\n", "ends\n", "=\nMESSAGE=forged", "ü\n…", "", "x=y"])
def test_a_value_with_line_feeds_arrives_whole_and_forges_no_field(log, reader, value):
    log.error("it broke", reason=value)
    (line,) = reader.lines()
    assert line["RIGBUS_REASON"] == value
    assert "\n" not in line["MESSAGE"]
    assert set(line) == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "RIGBUS_REASON"}


def test_what_the_text_says_already_is_a_field_for_journald_alone(log, reader):
    log.info("csv: goes on", also={"output": "csv"})
    (line,) = reader.lines()
    assert (line["MESSAGE"], line["RIGBUS_OUTPUT"]) == ("csv: goes on", "csv")
    text = io.StringIO()
    Log("sink", text).info("csv: goes on", also={"output": "csv"}, event=LogEvent.OUTPUT_BACK)
    assert text.getvalue() == "sink: csv: goes on\n"


def test_half_a_character_and_a_huge_value_are_no_reason_to_fail(log, reader):
    log.error("it broke", reason="\ud800", body="ü" * 1_000_000)
    (line,) = reader.lines()
    assert line["RIGBUS_REASON"] == "\\ud800"
    assert line["RIGBUS_BODY"].endswith("ü…")
    assert 8000 < len(line["RIGBUS_BODY"].encode()) < 8300


def test_a_token_shows_in_no_field(log, reader):
    log.error("refused", token=Secret("hunter2", "test"))
    assert "hunter2" not in str(reader.lines())


def test_what_is_noted_is_for_journald_alone_and_what_is_watched_for_people(log, reader):
    text = io.StringIO()
    for one in (log, Log("pulse", text)):
        one.noted(LogEvent.START, "starts")
        one.watched("queue", rows=5)
    assert [line["MESSAGE"] for line in reader.lines()] == ["starts"]
    assert text.getvalue() == "pulse: queue rows=5\n"


def test_what_is_noted_seldom_is_one_line_a_minute(log, reader):
    for _ in range(100):
        log.noted(LogEvent.PUMP_REFUSED, "a run is refused", warn=True, seldom="refused a")
    log.noted(LogEvent.PUMP_REFUSED, "a run is refused", seldom="refused b")
    assert [line["PRIORITY"] for line in reader.lines()] == ["4", "6"]


def test_without_journald_a_line_goes_to_stderr_with_its_priority(reader, tmp_path):
    text = io.StringIO()
    log = Log("sink", text, Journald(str(tmp_path / "nobody")))
    log.error("it broke", reason="x")
    assert text.getvalue() == "<3>sink: it broke reason=x\n"
    log._journal.close()


def test_a_journald_that_was_started_anew_is_found(log, reader):
    log.info("before")
    reader.lines()
    reader.socket.close()
    os.unlink(reader.path)
    log.info("meanwhile")
    reader.listen()
    log.info("after")
    assert [line["MESSAGE"] for line in reader.lines()] == ["after"]
    assert log._stream.getvalue() == "<6>pulse: meanwhile\n"


def test_a_journald_that_hangs_delays_nobody_and_what_was_dropped_is_told(journal, reader):
    """Its socket is full, and so is its end of our stderr."""
    back, front = os.pipe()
    os.set_blocking(front, False)
    with os.fdopen(front, "w") as stderr:
        log = Log("pulse", stderr, journal)
        done = threading.Thread(target=lambda: [log.info("x" * 4000) for _ in range(2000)], daemon=True)
        done.start()
        done.join(60)
        assert not done.is_alive()
        taken, dropped = len(reader.lines()), log._dropped
        assert dropped > 0
        assert taken + dropped < 2000  # some went to stderr, as far as there was room
        log.info("again")
        first, second = reader.lines()
    os.close(back)
    assert first["RIGBUS_COUNT"] == str(dropped)
    assert second["MESSAGE"] == "again"
    assert log._dropped == 0


def test_journald_is_used_where_it_reads_our_stderr(monkeypatch):
    stream = os.fstat(2)
    for value, used in [("", False), ("8:1", False), (f"{stream.st_dev}:{stream.st_ino}", True)]:
        monkeypatch.setenv("JOURNAL_STREAM", value)
        found = journald.of_stderr()
        assert (found is not None) == used
        if found is not None:
            found.close()


def test_the_ids_are_128_bits_and_none_stands_there_twice():
    ids = [event.value for event in LogEvent]
    assert len(set(ids)) == len(ids) > 30
    assert all(re.fullmatch(r"[0-9a-f]{32}", found) for found in ids)


def test_what_is_told_seldom_does_not_grow_without_end(log):
    for number in range(10_000):
        log.seldom(f"key {number}", "text")
    assert len(log._last) <= 256
