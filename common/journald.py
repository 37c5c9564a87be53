"""journald's native protocol: a line and its fields in one datagram. Nothing here waits.

A field is `NAME=value` and a line feed. Where the value has line feeds: NAME, a line feed, its length (64 bit, little
endian), the value, a line feed.
"""

import os
import socket
from collections.abc import Iterable

SOCKET = "/run/systemd/journal/socket"
_MAX_BYTES = 8192  # of a value: all fields of a line fit into a datagram, so no memfd is needed


class Journald:
    """send() may be called from any thread."""

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def send(self, fields: Iterable[tuple[str, str]]) -> bool:
        """Whether journald has taken it. Names: A to Z, 0 to 9, _, a letter first, at most 64. Long values are cut."""
        data = b"".join(_encoded(name, value) for name, value in fields)
        try:
            # by its path each time: a journald that was started anew has another socket there
            self._socket.sendto(data, self._path)
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()


def of_stderr() -> Journald | None:
    """journald, where it is what reads our stderr: JOURNAL_STREAM names device and inode of that stream."""
    try:
        found = os.fstat(2)
    except OSError:
        return None
    return Journald() if os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}" else None


def _encoded(name: str, value: str) -> bytes:
    data = value.encode(errors="backslashreplace")
    if len(data) > _MAX_BYTES:
        data = data[:_MAX_BYTES].decode(errors="ignore").encode() + "…".encode()
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
