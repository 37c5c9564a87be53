"""A socket in journald's place, and what arrives there."""

import socket

import pytest

from common.journald import Journald


def parsed(datagram):
    """journald's native protocol, read by its published description: [(name, value)] of one datagram."""
    fields = []
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, end, rest = rest[8 : 8 + size], rest[8 + size : 9 + size], rest[9 + size :]
            assert end == b"\n"
        fields.append((name.decode("ascii"), value.decode()))
        datagram = rest
    return fields


class Reader:
    """journald, as far as a sender sees it."""

    def __init__(self, path):
        self.path = str(path)
        self.listen()

    def listen(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)

    def lines(self):
        """A map of fields for each line that has come."""
        out = []
        while True:
            try:
                fields = parsed(self.socket.recv(1 << 20))
            except BlockingIOError:
                return out
            assert len(dict(fields)) == len(fields), "a field stands there twice"
            out.append(dict(fields))


@pytest.fixture
def reader(tmp_path):
    made = Reader(tmp_path / "s")
    yield made
    made.socket.close()


@pytest.fixture
def journal(reader):
    made = Journald(reader.path)
    yield made
    made.close()
