"""What a thermostat may do wrong: the device's thread goes on, counts each missed poll, and reads again when it can."""

import socket
import struct
import time

import pytest
from thermostat_peers import Peer, good, report, running, until


def silent(peer, conn):
    for _ in peer.lines(conn):
        pass


def hanging_up(peer, conn):
    next(peer.lines(conn))


def hanging_up_at_once(peer, conn):
    pass


def resetting(peer, conn):
    next(peer.lines(conn))
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def babbling(peer, conn):
    conn.sendall(b"Welcome!\r\nlogin: \n" * 100)
    while True:
        conn.sendall(b"blah blah blah\n" * 1000)


def babbling_json(peer, conn):
    while True:
        conn.sendall(b'[{"temperature": 1}]\n[1]\n"x"\n3\n' * 500)


def endless_line(peer, conn):
    while True:
        conn.sendall(b"[" * 65536)


def slow_endless_line(peer, conn):
    while True:
        conn.sendall(b"x")
        time.sleep(0.01)


def answering(data):
    def behave(peer, conn):
        for _ in peer.lines(conn):
            conn.sendall(data)

    return behave


BAD = {
    "silent": (silent, "timeout"),
    "hanging up": (hanging_up, "disconnected"),
    "hanging up at once": (hanging_up_at_once, "disconnected"),
    "resetting": (resetting, "disconnected"),
    "babbling": (babbling, "malformed"),
    "babbling JSON": (babbling_json, "malformed"),
    "endless line": (endless_line, "malformed"),
    "slow endless line": (slow_endless_line, "timeout"),
    "non-UTF-8": (answering(b"\xff\xfe[\x00]\x00\n"), "malformed"),
    "NULs": (answering(b"\0\0\0\n"), "malformed"),
    "no newline": (answering(b"[]"), "timeout"),
    "half a report": (answering(report(1.0)[:100].encode() + b"\n"), "malformed"),
    "a list of numbers": (answering(b"[1, 2]\n"), "malformed"),
    "an empty list": (answering(b"[]\n"), "malformed"),
    "a channel twice": (answering(b'[{"channel":0,"temperature":1},{"channel":0,"temperature":2}]\n'), "malformed"),
    "deep nesting": (answering(b"[" * 5000 + b"\n"), "malformed"),
    "an error": (answering(b'{ "error": "invalid input" }\n'), "device_error"),
    "an error that is no JSON": (answering(b'{{"error": "flash config not found"}}\n'), "device_error"),
    "something else": (answering(b"{}\n"), "device_error"),
}


def whole(device, record):
    """Each deadline was a frame or a poll lost."""
    assert len(record.frames) + record.lost() == device._account.total
    assert all((loss.stream, loss.unit) == ("thermostat/bench/", "poll") for loss in record.losses)


@pytest.mark.parametrize(("behave", "cause"), BAD.values(), ids=BAD)
def test_each_missed_poll_is_counted_and_it_reads_again(tmp_path, behave, cause):
    with Peer(good) as peer:
        with running(tmp_path, peer.port) as (device, record):
            until(lambda: len(record.frames) >= 3, "three readings")
            peer.change(behave)
            until(lambda: record.lost(cause), f"a poll lost by {cause}")
            assert device.status()["last_error"]
            frames = len(record.frames)
            peer.change(good)
            until(lambda: len(record.frames) > frames + 2, "readings again")
            assert device.status()["connected"]
        whole(device, record)
        assert record.lines.getvalue().count("no reading") <= 3  # a change of state is a line, a retry is none


def test_bad_from_the_start(tmp_path):
    with Peer(silent) as peer:
        with running(tmp_path, peer.port) as (device, record):
            until(lambda: record.lost("timeout") >= 2, "two polls lost")
            assert not device.status()["connected"]
            assert device.summary() == "bench timeout"
            peer.change(good)
            until(lambda: len(record.frames) >= 2, "readings")
            assert device.summary() == "bench 25.0 °C 31.9 °C"
        whole(device, record)


def test_refusing(tmp_path):
    with Peer(good) as peer:
        with running(tmp_path, peer.port) as (device, record):
            until(lambda: len(record.frames) >= 2, "readings")
            peer.refuse()
            until(lambda: record.lost("refused"), "a poll lost")
            before = peer.connections
            peer.accept_again()
            until(lambda: peer.connections > before, "another connection")
            frames = len(record.frames)
            until(lambda: len(record.frames) > frames, "readings again")
        whole(device, record)


def test_half_open(tmp_path):
    """The kernel takes the connection, but nobody is there: what a device does that lost its power, and came back."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listener:
        with running(tmp_path, listener.getsockname()[1]) as (device, record):
            until(lambda: record.lost("timeout") >= 3, "polls lost")
            assert not device.status()["connected"]
        whole(device, record)


def test_a_name_that_nobody_knows(tmp_path):
    with running(tmp_path, 1, host="no such host.invalid") as (_, record):
        until(lambda: record.lost("refused"), "a poll lost")


def test_one_connection_for_all_polls(tmp_path):
    with Peer(good) as peer:
        with running(tmp_path, peer.port, timeout_s=10) as (device, record):
            until(lambda: len(record.frames) >= 10, "readings")
            assert device.save_once().result(30)["readings"]
        assert peer.connections == 1


def test_no_more_than_one_connection_at_a_time(tmp_path):
    """A thermostat has four sockets; each that is given up is closed first."""
    open_now = most = 0

    def behave(peer, conn):
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        for n, _ in enumerate(peer.lines(conn)):
            conn.sendall(report(peer.now()).encode() + b"\n" if n < 5 else b"?\n")
        open_now -= 1

    with Peer(behave) as peer:
        with running(tmp_path, peer.port):
            until(lambda: peer.connections >= 4, "it connects again and again")
        until(lambda: open_now == 0, "the last one is closed too")
    assert most == 1


@pytest.mark.parametrize("pause_s", [0.0, 0.0005])
def test_byte_by_byte(tmp_path, pause_s):
    def behave(peer, conn):
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in peer.lines(conn):
            text = report(peer.now()) if request == "report" else '{"error":"?"}'
            for byte in text.encode() + b"\r\n":
                conn.sendall(bytes([byte]))
                time.sleep(pause_s)

    with Peer(behave) as peer, running(tmp_path, peer.port, timeout_s=10, period_s=0.5) as (_, record):
        until(lambda: len(record.frames) >= 3, "readings")
        assert not record.lost("timeout", "malformed", "disconnected", "device_error")
    assert [r["temperature"] for r in record.frames[0].readings] == [25.0, 31.9]


@pytest.mark.parametrize(("timeout_s", "cause"), [(20.0, "late"), (0.3, "timeout")])
def test_after_a_stall_there_is_no_burst(tmp_path, timeout_s, cause):
    """Nothing is made up for: what was due in the meantime is lost, and counted."""
    stalls = [5.0]

    def behave(peer, conn):
        for request in peer.lines(conn):
            if len(peer.requests) > 10 and stalls:
                time.sleep(stalls.pop())
            conn.sendall((report(peer.now()) if request == "report" else '{"error":"?"}').encode() + b"\n")

    with Peer(behave) as peer:
        with running(tmp_path, peer.port, timeout_s=timeout_s) as (device, record):
            until(lambda: record.lost(cause), "polls lost")
            frames = len(record.frames)
            until(lambda: len(record.frames) >= frames + 10, "readings again")
        whole(device, record)
        if cause == "late":
            assert record.lost("late") >= 45
            assert peer.requests.count("report") <= len(record.frames) + 3


def test_an_outage_is_told_in_few_losses_the_first_at_once(tmp_path):
    with Peer(silent) as peer, running(tmp_path, peer.port, timeout_s=0.05) as (device, record):
        until(lambda: record.losses, "the first loss")
        assert device.status()["missed"] >= record.losses[0].count == record.lost()
        until(lambda: device.status()["missed"] >= 10, "ten polls missed")
        assert len(record.losses) == 1
    assert record.lost() == device.status()["missed"]  # the rest was told at the stop


@pytest.mark.parametrize("behave", [silent, slow_endless_line, babbling, good], ids=lambda f: f.__name__)
def test_it_stops_at_once_whatever_the_peer_does(tmp_path, behave):
    with Peer(behave) as peer:
        with running(tmp_path, peer.port, timeout_s=60):
            until(lambda: peer.connections, "it connects")
            begin = time.monotonic()
        assert time.monotonic() - begin < 5


def test_unasked_reports_are_not_taken_for_answers(tmp_path):
    """Another client's stream, or a late answer: flushed before each request."""

    def behave(peer, conn):
        for request in peer.lines(conn):
            conn.sendall((report(peer.now()) if request == "report" else '{"error":"?"}').encode() + b"\n")
            if len(peer.requests) > 5:
                conn.sendall(report(999.0, temperature=-1.0).encode() + b"\n")

    with Peer(behave) as peer, running(tmp_path, peer.port) as (_, record):
        until(lambda: len(record.frames) >= 10, "readings")
    assert {r["temperature"] for frame in record.frames for r in frame.readings} == {25.0, 31.9}
