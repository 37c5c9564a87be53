"""The simulated thermostat has the oddities that the real one is known for."""

import json
import math
import socket
import time

import pytest

from common.errors import UsageError
from common.sims.thermostat import SOCKETS, Server, quirks_of
from common.sims.thermostat_firmware import Firmware, Session

DIALECTS = ("old", "swap", "new")
INVALID = [b'{ "error": "invalid input" }']


class Bench:
    """A firmware whose clock the test moves on."""

    def __init__(self, dialect="new"):
        self.now = 1000.0
        self.firmware = Firmware(dialect, lambda: self.now)
        self.session = Session(self.firmware)

    def ask(self, line):
        return self.session.feed(line.encode() + b"\n")

    def report(self):
        (line,) = self.ask("report")
        return json.loads(line)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_report(dialect):
    bench = Bench(dialect)
    bench.now += 10.05
    (line,) = bench.ask("report")
    assert len(line) <= 1024
    first, second = json.loads(line)
    assert (first["channel"], second["channel"]) == (0, 1)
    assert first["time"] == pytest.approx(10.0)
    assert first["interval"] == pytest.approx(0.1)
    assert ("current_swapped" in first) == (dialect == "swap")
    assert ("vref" in first) == (dialect == "old")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_words_of_a_dialect(dialect):
    bench, new = Bench(dialect), dialect == "new"
    for word, known in [("output", new), ("pwm", not new), ("b-p", new), ("s-h", not new), ("swap", False)]:
        assert (bench.ask(word) == INVALID) != known, word
    assert (bench.ask("report mode on") == INVALID) == new
    assert (bench.ask("swap 0") == INVALID) == (dialect != "swap")
    assert (bench.ask("output 0 polarity reversed") == INVALID) == (not new)
    limits = json.loads(bench.ask("output" if new else "pwm")[0])[0]
    assert (limits["max_v"] == 4.0) == new
    assert ("polarity" in limits) == new


def test_the_pid_brings_a_channel_to_its_target_and_a_current_disengages_it():
    bench = Bench()
    assert bench.ask("pid 0 target 18.5") == [b"{}"]
    bench.now += 59
    bench.report()
    bench.now += 59
    assert bench.report()[0]["temperature"] == pytest.approx(18.5, abs=0.5)
    assert bench.report()[0]["i_set"] > 0  # positive current cools
    bench.ask("output 0 i_set -0.5")
    assert bench.report()[0]["pid_engaged"] is False
    bench.now += 59
    assert bench.report()[0]["temperature"] > 20
    bench.ask("output 0 pid")
    assert bench.report()[0]["pid_engaged"] is True


def test_the_new_firmware_clamps():
    bench = Bench()
    for line, name, value in [("max_i_neg 9", "max_i_neg", 2.0), ("max_v 9", "max_v", 4.3), ("i_set -9", "i_set", -2)]:
        bench.ask(f"output 1 {line}")
        assert json.loads(bench.ask("output")[0])[1][name] == value


def test_replies_that_are_none_and_two():
    bench = Bench()
    assert bench.ask("save") == bench.ask("load") == [b"{}", b"{}"]
    assert bench.ask("save 1") == [b"{}"]
    assert json.loads(bench.ask("fan")[0])["warning"]
    assert bench.ask("") == bench.ask("reset") == []
    assert bench.ask("quit") == []
    assert bench.session.closed


def test_a_reset_begins_time_again():
    bench = Bench()
    bench.now += 100
    assert bench.report()[0]["time"] > 50
    bench.ask("reset")
    bench.now += 1
    assert bench.report()[0]["time"] == pytest.approx(1, abs=0.2)


def test_an_input_of_over_64_bytes_is_cut_and_obeyed():
    bench = Bench()
    assert bench.ask("pid 0 target 25" + " " * 49 + "9999") == [b"{}"]
    assert bench.firmware.requests[-1] == "pid 0 target 25"
    assert bench.session.feed(b"report\rreport\n")[1:]  # CR ends a line too


def test_quirks():
    bench = Bench()
    quirks = bench.firmware.quirks
    quirks.no_thermistor, quirks.nan = {0}, {1}
    bench.now += 1
    first, second = bench.report()
    assert [first[k] for k in ("adc", "sens", "temperature")] == [None] * 3
    assert math.isnan(second["temperature"])
    assert b"NaN" in bench.ask("report")[0]
    quirks.frozen = True
    bench.now += 1
    assert bench.report()[0]["time"] == first["time"]
    quirks.silent = True
    assert bench.ask("report") == []
    quirks.silent, quirks.drop_every = False, 2
    assert sum(len(bench.ask("report")) for _ in range(10)) == 5
    quirks.drop_every, quirks.error_every, quirks.doubled_braces = 0, 1, True
    assert bench.ask("report")[0].startswith(b"{{")
    quirks.doubled_braces = False
    assert bench.ask("report") == INVALID


def test_quirks_by_name():
    quirks = quirks_of(["nan=0,1", "drop_every=5", "frozen", "delay_s=0.5"])
    assert (quirks.nan, quirks.drop_every, quirks.frozen, quirks.delay_s) == ({0, 1}, 5, True, 0.5)
    for wrong in ("fast", "nan=x", "drop_every=", "_x=1", "__class__"):
        with pytest.raises(UsageError):
            quirks_of([wrong])


@pytest.fixture
def server():
    with Server("old") as made:
        yield made


def client(server):
    return socket.create_connection(("127.0.0.1", server.port), 10)


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_fifth_client_is_refused_until_a_socket_is_free(server):
    clients = [client(server) for _ in range(SOCKETS)]
    until(lambda: server.clients == SOCKETS and server._listener is None)
    with pytest.raises(ConnectionRefusedError):
        client(server)
    clients.pop().close()
    until(lambda: server.clients == SOCKETS - 1)
    clients.append(client(server))
    for each in clients:
        each.close()


def test_body_and_newline_are_sent_apart(server):
    with client(server) as sock:
        sock.sendall(b"report\n")
        got = [sock.recv(4096)]
        while not got[-1].endswith(b"\n"):
            got.append(sock.recv(4096))
    assert json.loads(b"".join(got))


def test_a_stream_and_a_reboot(server):
    with client(server) as sock, sock.makefile("rb") as file:
        sock.sendall(b"report mode on\n")
        assert file.readline() == b"{}\n"
        times = [[channel["time"] for channel in json.loads(file.readline())] for _ in range(5)]
        assert times == sorted(times)
        assert len(set(map(tuple, times))) == 5  # one of the two channels is new each time
        server.reboot()
        while file.readline():
            pass
    server.refuse(True)
    with pytest.raises(ConnectionRefusedError):
        client(server)
    server.refuse(False)
    with client(server) as sock, sock.makefile("rb") as file:
        sock.sendall(b"report\n")
        assert json.loads(file.readline())[0]["time"] < 20
        sock.sendall(b"quit\n")
        assert file.readline() == b""
