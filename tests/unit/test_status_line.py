"""The status that systemd shows: what the daemon says, what is lost, the journal; seldom changed."""

from types import SimpleNamespace

import pytest

from common import status_line
from common.status_line import StatusLine


class Notifier:
    listens = True

    def __init__(self):
        self.sent = []

    def send(self, *lines):
        self.sent += lines


def journal(*losses):
    found = [SimpleNamespace(run=run, from_seq=a, to_seq=b) for run, a, b in losses]
    return SimpleNamespace(run=SimpleNamespace(number=7), losses=found, fill=lambda: (3, 1_200_000, 1))


@pytest.fixture
def at(monkeypatch):
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(status_line.time, "monotonic", lambda: now.s)
    return now


def test_it_says_what_is_lost_since_the_start(at):
    line = StatusLine(notifier := Notifier())
    line.tell("800.0 Hz", journal((6, 1, 100)))
    at.s += 10
    line.lose("sample", 30, "late")
    line.lose("sample", 1, "nack")
    line.lose("edge", 1, "kernel_overrun")
    line.lose("sample", 500, "paused")  # somebody asked for it
    line.lose("sample", None, "down")  # nobody knows how many
    line.tell("800.0 Hz", journal((6, 1, 100), (7, 11, 12)))
    assert notifier.sent == [
        "STATUS=800.0 Hz, 0 lost, journal 1.2 MB",
        "STATUS=800.0 Hz, 31 samples and 1 edge and 2 frames lost, journal 1.2 MB",
    ]


def test_without_a_journal_it_is_the_daemons_own_words(at):
    StatusLine(notifier := Notifier()).tell("storing, 5 frames, 0 behind", None)
    assert notifier.sent == ["STATUS=storing, 5 frames, 0 behind"]


def test_it_changes_every_few_seconds_at_most_and_the_last_word_is_told(at):
    line = StatusLine(notifier := Notifier())
    for second in range(10):
        at.s += 1
        line.tell(f"import {min(second, 8)}", None)
    at.s += 3
    line.tell("import 8", None)
    at.s += 3
    line.tell("import 8", None)
    assert notifier.sent == [f"STATUS=import {n}" for n in (0, 3, 6, 8)]


def test_after_the_stop_was_told_nothing_is(at):
    line = StatusLine(notifier := Notifier())
    line.stop()
    at.s += 10
    line.tell("import 8", None)
    assert [word.partition("=")[0] for word in notifier.sent] == ["STOPPING", "STATUS"]


def test_before_the_daemon_has_said_anything_nothing_is_told(at):
    StatusLine(notifier := Notifier()).tell("", journal())
    assert notifier.sent == []


def test_without_systemd_nothing_is_sent(at):
    notifier = Notifier()
    notifier.listens = False
    StatusLine(notifier).tell("idle", journal())
    assert notifier.sent == []
