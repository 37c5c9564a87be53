"""sd_notify, by the datagram itself: it never blocks (a full socket once hung a prototype for ten minutes)."""

import math
import os
import socket
import time


class Rounds:
    """Whether a thread still goes round: it says so by `turn`, and by `idle` where it waits for others, for ever."""

    def __init__(self, most_s: float) -> None:
        """most_s: how long a round may take."""
        self._most_s = most_s
        self.turn()

    def turn(self, more_s: float = 0.0) -> None:
        """A round begins, which may take so much longer."""
        self._until = time.monotonic() + self._most_s + more_s

    def idle(self) -> None:
        self._until = math.inf

    @property
    def alive(self) -> bool:
        return time.monotonic() < self._until


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
        self._is_patient = False
        self.watched: dict[str, Rounds] = {}  # threads without which there is no beat, by name

    @property
    def listens(self) -> bool:
        """Whether systemd started this process, and wants to hear how it is."""
        return self._socket is not None

    def send(self, *lines: str) -> None:
        """For example send("READY=1", "STATUS=800.0 Hz, 0 lost"). Lost where the receiver is full."""
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            pass

    def be_patient(self, seconds: float) -> None:
        """The next beat may take so long."""
        if self._beat_s:
            self._is_patient = True
            self.send(f"WATCHDOG_USEC={round(seconds * 1e6)}")

    def progress(self) -> list[str]:
        """Call where work is done: WATCHDOG=1 comes from progress only, and not more often than it needs.

        Returns the names of watched threads that hang: while there are any, systemd hears nothing.
        """
        if not self._beat_s:
            return []
        now = time.monotonic()
        if now < self._next_beat:
            return []
        if hung := [name for name, rounds in self.watched.items() if not rounds.alive]:
            return hung
        self._next_beat = now + self._beat_s
        if self._is_patient:
            self._is_patient = False
            self.send(f"WATCHDOG_USEC={round(self._beat_s * 3e6)}")
        self.send("WATCHDOG=1")
        return []
