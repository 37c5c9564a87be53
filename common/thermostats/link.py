"""One TCP connection to a thermostat: lines out, lines in, each with a deadline; a stop ends every wait at once."""

import errno
import os
import select
import socket
import time
from collections import deque

from common import clock
from common.errors import RigbusError
from common.thermostats.protocol import Malformed, Refusal, Reply, Splitter, parse

# The firmware keeps 64 bytes of a request and drops the rest without a word, then obeys what it kept.
MAX_REQUEST = 64
_FLUSH_BYTES = 65_536
_LEAST_UNACKNOWLEDGED_S = 1.0


class LinkError(RigbusError):
    """The connection does not do; `cause` is the ledger's word for a poll that is missed by it."""

    cause = "disconnected"


class Refused(LinkError):
    cause = "refused"


class TimedOut(LinkError):
    cause = "timeout"


class DeviceError(LinkError):
    cause = "device_error"


class Garbled(LinkError):
    cause = "malformed"


class Fault(LinkError):
    """Not the device's doing, or nothing that was thought of: the daemon goes on with a new connection."""

    cause = "fault"


class TooLate(RigbusError):
    """Nothing was sent: the time that was given is over."""


class Stopped(RigbusError):
    """The daemon is to stop."""


class Link:
    """Belongs to one thread. The device has four sockets and no idle time-out: whoever opens one closes it."""

    def __init__(self, host: str, port: int, timeout_s: float, stop_fd: int) -> None:
        """Connects. stop_fd: readable when all waiting is to end. Raises Refused, TimedOut, Stopped."""
        self.timeout_s, self._stop_fd = timeout_s, stop_fd
        self.begun = False  # whether the kernel has taken a byte of the last request
        self._splitter = Splitter()
        self._lines: deque[bytes] = deque()
        self._socket = self._connect(host, port)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # or the kernel would go on with a request that we have given up, and deliver it minutes later
        unacknowledged_ms = round(max(_LEAST_UNACKNOWLEDGED_S, timeout_s) * 1000)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacknowledged_ms)

    def _connect(self, host: str, port: int) -> socket.socket:
        try:
            places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as e:
            raise Refused(f"{host}: {e.strerror}") from None
        except ValueError:  # an empty or too long part of the name, a NUL
            raise Refused(f"{host}: not a host name") from None
        error: LinkError = Refused(f"{host}: no address")
        for family, kind, protocol, _, address in places:
            try:
                made = socket.socket(family, kind, protocol)
            except OSError as e:
                error = Refused(f"{host}: {_reason(e)}")
                continue
            try:
                made.setblocking(False)
                code = made.connect_ex(address)
                if code == errno.EINPROGRESS:
                    deadline = time.monotonic() + self.timeout_s
                    self._wait(made, select.POLLOUT, deadline, "no answer to the connection")
                    code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise Refused(f"{host}:{port}: {os.strerror(code).lower()}")
                return made
            except LinkError as e:
                made.close()
                error = e
            except BaseException:
                made.close()
                raise
        raise error

    def _wait(self, sock: socket.socket, event: int, deadline: float, what: str) -> None:
        poll = select.poll()
        poll.register(sock, event)
        poll.register(self._stop_fd, select.POLLIN)
        left = deadline - time.monotonic()
        ready = dict(poll.poll(max(0.0, left) * 1000))
        if self._stop_fd in ready:
            raise Stopped("the daemon stops")
        if not ready:
            raise TimedOut(what)

    def ask(self, request: str) -> Reply:
        """One request, one reply. Raises LinkError, Stopped; after either the connection is of no use any more."""
        self.flush()
        self.send(request)
        return self.reply(f"no answer to {request!r}")

    def send(self, request: str, not_after_ns: int | None = None) -> None:
        """Sends a line; `begun` tells afterwards whether any of it left.

        not_after_ns: CLOCK_BOOTTIME. Raises ValueError for a line that the device would cut, TooLate, LinkError,
        Stopped.
        """
        self.begun = False
        data = request.encode("ascii") + b"\n"
        if len(data) > MAX_REQUEST:
            raise ValueError(f"{request!r} is longer than the device's {MAX_REQUEST} bytes")
        deadline = time.monotonic() + self.timeout_s
        while data:
            self._wait(self._socket, select.POLLOUT, deadline, f"no room to send {request!r}")
            if not self.begun and not_after_ns is not None and clock.boot_ns() > not_after_ns:
                raise TooLate("nothing was sent in time")
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                continue
            except OSError as e:
                raise LinkError(_reason(e)) from None
            self.begun = True

    def reply(self, what: str = "nothing came", deadline: float | None = None) -> Reply:
        """The next line, understood; deadline: time.monotonic(). Raises Garbled, LinkError, Stopped."""
        deadline = time.monotonic() + self.timeout_s if deadline is None else deadline
        while (reply := self.take()) is None:
            self._wait(self._socket, select.POLLIN, deadline, what)
        return reply

    def take(self) -> Reply | None:
        """The next line, where one is there already. Raises Garbled, LinkError."""
        if not self._lines:
            self._receive()
        if not self._lines:
            return None
        try:
            return parse(self._lines.popleft())
        except Malformed as e:
            raise Garbled(str(e)) from None

    @property
    def has_line(self) -> bool:
        """Whether take() needs nothing more from the network."""
        return bool(self._lines)

    def fileno(self) -> int:
        return self._socket.fileno()

    def flush(self) -> None:
        """Throws away what came unasked, so that the next line answers the next request. Raises LinkError."""
        self.begun = False
        left = _FLUSH_BYTES
        while n := self._receive():
            left -= n
            if left < 0:
                raise Garbled("it talks without being asked, and does not stop")
        self._lines.clear()
        self._splitter.clear()

    def _receive(self) -> int:
        """Bytes that were there to take."""
        try:
            data = self._socket.recv(4096)
        except BlockingIOError:
            return 0
        except OSError as e:
            raise LinkError(_reason(e)) from None
        if not data:
            raise LinkError("the device closed the connection")
        try:
            self._lines.extend(self._splitter.feed(data))
        except Malformed as e:
            raise Garbled(str(e)) from None
        return len(data)

    def close(self) -> None:
        """Tells the device, so that its socket is free again."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed already
        self._socket.close()


def ask_ok(link: Link, request: str) -> Reply:
    """As Link.ask; a refusal of the device is a DeviceError."""
    reply = link.ask(request)
    if isinstance(reply, Refusal):
        raise DeviceError(f"the device answers {request!r} with {reply.text!r}")
    return reply


def _reason(e: OSError) -> str:
    return os.strerror(e.errno).lower() if e.errno else str(e)
