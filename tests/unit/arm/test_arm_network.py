"""CycloneDDS's configuration from ours, and what is refused before CycloneDDS would abort over it."""

import socket
import xml.etree.ElementTree as ET

import pytest

from common.arm import network
from common.arm.network import cyclone_xml, dropped_datagrams
from common.config.schema import DdsConfig
from common.errors import DeviceMissing


def parsed(**keys):
    return ET.fromstring(cyclone_xml(DdsConfig(**keys)))


def test_loopback_goes_by_address_not_by_multicast():
    root = parsed()
    assert root.find(".//NetworkInterface").attrib == {"name": "lo", "multicast": "false"}
    assert [peer.get("address") for peer in root.iter("Peer")] == ["127.0.0.1"]
    assert root.findtext(".//ParticipantIndex") == "auto"


def test_auto_leaves_the_choice_to_cyclone():
    root = parsed(interface="auto")
    assert root.find(".//NetworkInterface").attrib == {"autodetermine": "true"}
    assert root.find(".//Discovery") is None


def test_another_interface_keeps_its_multicast_and_asks_the_peers_too(monkeypatch):
    monkeypatch.setattr(network.socket, "if_nameindex", lambda: [(1, "lo"), (2, "eth&0")])
    root = parsed(interface="eth&0", peers=["192.168.123.9", "localhost"])
    assert root.find(".//NetworkInterface").attrib == {"name": "eth&0"}
    assert [peer.get("address") for peer in root.iter("Peer")] == ["192.168.123.9", "127.0.0.1"]


def test_a_missing_interface_is_one_line_that_names_those_there_are():
    with pytest.raises(DeviceMissing, match=r"^dds.interface: no arm0 here; there are: .*lo") as error:
        cyclone_xml(DdsConfig(interface="arm0"))
    assert error.value.exit_code == 69


@pytest.mark.parametrize("peer", ["no such host", "127.0.0.1:7410", "::1", "", "a&b", "ä" * 80, "x" * 300])
def test_a_peer_that_cannot_be_resolved_is_one_line(peer, monkeypatch):
    def numeric(host, *rest):
        return getaddrinfo(host, None, socket.AF_INET, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST)

    getaddrinfo = socket.getaddrinfo
    monkeypatch.setattr(network.socket, "getaddrinfo", numeric)  # no name service is asked by a test
    with pytest.raises(DeviceMissing, match=r"^dds.peers: ") as error:
        cyclone_xml(DdsConfig(peers=[peer]))
    assert "\n" not in str(error.value)


def test_what_the_kernel_drops_on_a_socket_of_ours_is_counted():
    udp = (socket.AF_INET, socket.SOCK_DGRAM)
    with socket.socket(*udp) as full, socket.socket(*udp) as out:
        full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        full.bind(("127.0.0.1", 0))
        before = dropped_datagrams()
        for _ in range(100):
            out.sendto(bytes(1000), full.getsockname())
        dropped = dropped_datagrams() - before
        full.setblocking(False)
        taken = 0
        try:
            while True:
                full.recv(2000)
                taken += 1
        except BlockingIOError:
            pass
    assert dropped > 0
    assert taken + dropped == 100
