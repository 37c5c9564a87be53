"""sd_notify, by the datagram itself: it never blocks (a full socket once hung a prototype for ten minutes)."""

import os
import socket
import time


class Notifier:
    """Does nothing where systemd does not listen (NOTIFY_SOCKET unset)."""

    def __init__(self) -> None:
        path = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) if path else None
        watchdog_us = int(os.environ.get("WATCHDOG_USEC") or 0)
        # under half of the limit, so that one late beat does not kill the daemon
        self._beat_s = watchdog_us / 1e6 / 3 if watchdog_us else 0.0
        self._next_beat = 0.0

    def send(self, *lines: str) -> None:
        """For example send("READY=1", "STATUS=800.0 Hz, 0 lost"). Lost where the receiver is full."""
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            pass

    def progress(self) -> None:
        """Call where work is done: WATCHDOG=1 comes from progress only, and not more often than it needs."""
        if not self._beat_s:
            return
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + self._beat_s
            self.send("WATCHDOG=1")
