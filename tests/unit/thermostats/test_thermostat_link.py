"""The connection: requests that fit the device's buffer, and whose reply is whose."""

import os
import socket

import pytest

from common import clock
from common.config.schema import ThermostatDevice
from common.paths import Folders
from common.sims.thermostat import Server
from common.thermostats.connection import address_of
from common.thermostats.link import (
    MAX_REQUEST,
    DeviceError,
    Garbled,
    Link,
    LinkError,
    Refused,
    Stopped,
    TooLate,
    ask_ok,
)
from common.thermostats.protocol import Done, Listing


@pytest.fixture
def stop_fd():
    fd = os.eventfd(0)
    yield fd
    os.close(fd)


@pytest.fixture
def server():
    with Server("old") as made:
        yield made


@pytest.fixture
def link(server, stop_fd):
    made = Link("127.0.0.1", server.port, 10.0, stop_fd)
    yield made
    made.close()


def test_a_request_and_its_reply(link, server):
    assert link.ask("pid 0 kp 1").__class__ is Done
    assert link.ask("report").is_report
    with pytest.raises(DeviceError, match="invalid input"):
        ask_ok(link, "nonsense")
    link.close()
    link.close()


def test_what_the_device_would_cut_is_not_sent(link, server):
    with pytest.raises(ValueError, match="longer than the device's 64 bytes"):
        link.send("x" * MAX_REQUEST)
    link.send("x" * (MAX_REQUEST - 1))
    assert link.reply()
    assert len(server.firmware.requests) == 1


def test_after_its_time_a_line_is_not_sent(link, server):
    with pytest.raises(TooLate, match="nothing was sent in time"):
        link.send("pid 0 kp 1", clock.boot_ns() - 1)
    assert not link.begun
    link.send("pid 0 kp 2", clock.boot_ns() + 60 * 10**9)
    assert link.begun
    link.reply()
    assert server.firmware.requests == ["pid 0 kp 2"]
    link.flush()
    assert not link.begun


def test_the_kernel_does_not_go_on_with_what_was_given_up(link):
    """Half an hour of retransmissions would else deliver a command long after its time."""
    assert link._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000


@pytest.mark.parametrize("host", ["a..b", "x" * 80, "a\0b", ".", "a." * 200, "\udcff"], ids=ascii)
def test_a_host_name_that_is_none(stop_fd, host):
    with pytest.raises(Refused):
        Link(host, 23, 10.0, stop_fd)


def test_a_family_that_the_kernel_has_not(server, stop_fd, monkeypatch):
    places = [
        (999, socket.SOCK_STREAM, 0, "", ()),
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", server.port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **keys: places)
    Link("x", 1, 10.0, stop_fd).close()
    del places[1]
    with pytest.raises(Refused, match="not supported"):
        Link("x", 1, 10.0, stop_fd)


def test_a_stop_ends_a_wait(link, stop_fd):
    os.eventfd_write(stop_fd, 1)
    with pytest.raises(Stopped):
        link.reply()


def test_a_port_that_nobody_listens_on(stop_fd):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Refused, match=f"127.0.0.1:{port}: connection refused"):
        Link("127.0.0.1", port, 10.0, stop_fd)
    with pytest.raises(Refused, match=r"nobody\.invalid: "):
        Link("nobody.invalid", port, 10.0, stop_fd)


def test_an_address_that_cannot_be_had(stop_fd):
    """The kernel says so at once, without a connection under way."""
    with pytest.raises(Refused, match=r"255\.255\.255\.255:23: "):
        Link("255.255.255.255", 23, 10.0, stop_fd)


def test_both_families_are_tried(server, stop_fd):
    made = Link("localhost", server.port, 10.0, stop_fd)
    assert isinstance(made.ask("report"), Listing)
    made.close()


def test_a_connection_that_has_ended(link, server):
    link.ask("report")
    server.hang_up()
    with pytest.raises(LinkError, match=r"closed the connection|reset by peer|broken pipe"):
        link.ask("report")


def test_every_fault_has_a_cause():
    assert {e.cause for e in (LinkError, Refused, DeviceError, Garbled)} == {
        "disconnected", "refused", "device_error", "malformed",
    }  # fmt: skip


def test_the_simulated_one_is_where_it_says(tmp_path):
    folders = Folders(tmp_path, tmp_path)
    sim, real = (ThermostatDevice(name="b", host=host, port=2323) for host in ("sim", "10.0.0.7"))
    assert address_of(real, folders) == ("10.0.0.7", 2323)
    for text in (None, "", "x"):
        if text is not None:
            (tmp_path / "sim-thermostat.port").write_text(text)
        with pytest.raises(Refused, match="simulated thermostat does not run"):
            address_of(sim, folders)
    (tmp_path / "sim-thermostat.port").write_text("4711\n")
    assert address_of(sim, folders) == ("127.0.0.1", 4711)
