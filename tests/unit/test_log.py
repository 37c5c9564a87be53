"""Log lines: one line each, whatever stands in them, and never a reason to fail."""

import io

import pytest

from common import log as log_module
from common.log import Log


@pytest.fixture
def stream(monkeypatch):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    return io.StringIO()


def test_a_line_has_source_text_and_fields(stream):
    Log("pulse", stream).info("journal opened", runs=3, folder="a/b")
    assert stream.getvalue() == "pulse: journal opened runs=3 folder=a/b\n"


@pytest.mark.parametrize(
    ("value", "shown"), [("", '""'), ("two words", '"two words"'), (None, "None"), ([1, 2], '"[1, 2]"'), (0.5, "0.5")]
)
def test_a_value_with_a_space_or_of_nothing_is_quoted(stream, value, shown):
    Log("x", stream).info("t", k=value)
    assert stream.getvalue() == f"x: t k={shown}\n"


@pytest.mark.parametrize(("level", "end"), [("error", "  [error]"), ("warning", "  [warning]"), ("info", "")])
def test_what_is_not_normal_is_marked_for_people(stream, level, end):
    getattr(Log("x", stream), level)("text", a=1)
    assert stream.getvalue() == f"x: text a=1{end}\n"


def test_an_error_of_many_lines_stays_one_line(stream):
    Log("x", stream).error("it\nbroke", reason="a\nb\nc")
    assert stream.getvalue().count("\n") == 1


class _Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_is_dropped(stream):
    Log("x", _Full()).error("disk full")
    stream.close()
    Log("x", stream).error("closed")


def test_what_repeats_is_one_line_a_key_and_interval(stream, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(log_module.time, "monotonic", lambda: now[0])
    log = Log("x", stream)
    for second in range(181):
        now[0] = float(second)
        log.seldom("late", "the loop is late", at=second)
        log.seldom("other", "something else", every_s=100, at=second)
    lines = stream.getvalue().splitlines()
    assert [line.split("at=")[1].split()[0] for line in lines if "late" in line] == ["0", "60", "120", "180"]
    assert [line.split("at=")[1].split()[0] for line in lines if "else" in line] == ["0", "100"]


def test_without_a_stream_it_writes_to_what_stderr_is_at_that_moment(capsys, monkeypatch):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    Log("x").info("hello")
    assert capsys.readouterr().err == "x: hello\n"
