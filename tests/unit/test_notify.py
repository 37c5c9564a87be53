"""sd_notify: a datagram where systemd listens, nothing where it does not, and never a wait."""

import socket
import threading

import pytest

from common import notify
from common.notify import Notifier, Rounds


@pytest.fixture
def listener(tmp_path, monkeypatch):
    """The socket that systemd would give."""
    path = tmp_path / "n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(path))
        made.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield made


@pytest.fixture
def make(request, monkeypatch):
    """Notifiers that are closed after the test."""

    def build():
        made = Notifier()
        if made._socket is not None:
            request.addfinalizer(made._socket.close)
        return made

    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    return build


@pytest.fixture
def clock(monkeypatch):
    """Sets the monotonic time, in seconds."""
    now = [100.0]
    monkeypatch.setattr(notify.time, "monotonic", lambda: now[0])
    return now


def received(listener):
    out = []
    while True:
        try:
            out.append(listener.recv(4096).decode())
        except BlockingIOError:
            return out


def test_lines_go_out_as_one_datagram(listener, make):
    make().send("READY=1", "STATUS=800 Hz, 0 lost")
    assert received(listener) == ["READY=1\nSTATUS=800 Hz, 0 lost"]


def test_an_abstract_address_begins_with_a_zero_byte(make, monkeypatch, tmp_path):
    name = f"rigbus-test-{tmp_path.name}-{id(make)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        make().send("READY=1")
        assert received(listener) == ["READY=1"]


def test_a_full_socket_does_not_block(listener, make):
    """systemd may be stopped, or busy: a daemon that waits for it stops measuring."""
    notifier = make()

    def flood():
        for number in range(5000):
            notifier.send(f"STATUS={number}")

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    got = received(listener)
    assert 0 < len(got) < 5000
    assert got[0] == "STATUS=0"


def test_a_receiver_that_is_gone_is_no_error(make, monkeypatch, tmp_path):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    make().send("READY=1")


def test_without_systemd_nothing_happens(make, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = make()
    assert notifier._socket is None
    notifier.send("READY=1")
    notifier.progress()


def test_the_watchdog_hears_of_progress_at_under_half_of_its_limit(listener, make, monkeypatch, clock):
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    notifier = make()
    beats = []
    for tenth in range(60):
        clock[0] = 100 + tenth / 10
        notifier.progress()
        beats += [clock[0]] * len(received(listener))
    assert beats == pytest.approx([100.0, 101.0, 102.0, 103.0, 104.0, 105.0])


def test_no_progress_is_no_beat(listener, make, monkeypatch, clock):
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    notifier = make()
    clock[0] += 1000
    notifier.send("STATUS=busy")
    assert received(listener) == ["STATUS=busy"]


@pytest.mark.parametrize("limit", [None, "", "0"])
def test_without_a_watchdog_there_are_no_beats(listener, make, monkeypatch, limit):
    if limit is not None:
        monkeypatch.setenv("WATCHDOG_USEC", limit)
    make().progress()
    assert received(listener) == []


# ---- threads that must live


def test_a_thread_that_hangs_stops_the_beat_until_it_goes_on(listener, make, monkeypatch, clock):
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    notifier, rounds = make(), Rounds(5.0)
    notifier.watched["writer"] = rounds
    assert notifier.progress() == []
    clock[0] += 4.9
    assert notifier.progress() == []
    assert received(listener) == ["WATCHDOG=1"] * 2
    clock[0] += 1.0
    assert notifier.progress() == ["writer"]
    assert received(listener) == []
    rounds.turn()
    assert notifier.progress() == []
    assert received(listener) == ["WATCHDOG=1"]


def test_a_thread_that_waits_for_others_may_wait_for_ever(clock):
    rounds = Rounds(5.0)
    rounds.idle()
    clock[0] += 1e6
    assert rounds.alive
    rounds.turn()
    clock[0] += 5.1
    assert not rounds.alive


def test_a_round_may_be_given_longer(clock):
    rounds = Rounds(5.0)
    rounds.turn(60.0)
    clock[0] += 64.9
    assert rounds.alive
    clock[0] += 0.2
    assert not rounds.alive


def test_patience_ends_with_the_next_beat(listener, make, monkeypatch, clock):
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    notifier = make()
    notifier.be_patient(3600)
    clock[0] += 1000
    notifier.progress()
    clock[0] += 1
    notifier.progress()
    assert received(listener) == ["WATCHDOG_USEC=3600000000", "WATCHDOG_USEC=3000000", "WATCHDOG=1", "WATCHDOG=1"]


def test_without_a_watchdog_patience_says_nothing(listener, make):
    """WATCHDOG_USEC would switch one on."""
    make().be_patient(3600)
    assert received(listener) == []
