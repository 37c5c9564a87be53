"""The simulated thermostat: a TCP server on loopback that speaks one of the three dialects, oddities included."""

import argparse
import os
import selectors
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from common.config.load import load
from common.errors import RigbusError, UsageError
from common.log import Log
from common.options import add_common
from common.rig import PARENT
from common.sims.thermostat_firmware import Dialect, Firmware, Quirks, Session

SOCKETS = 4  # that the device has; a fifth client is refused
_LOOK_S = 0.02


class _Client:
    def __init__(self, sock: socket.socket, firmware: Firmware) -> None:
        self.socket, self.session = sock, Session(firmware)

    def send(self, replies: list[bytes], delay_s: float) -> None:
        """Body and newline apart, each in a packet of its own."""
        for reply in replies:
            time.sleep(delay_s)
            try:
                self.socket.sendall(reply)
                self.socket.sendall(b"\n")
            except OSError:
                pass  # who asked is gone, or does not read: the device drops the reply too


class Server:
    """Serves in a thread from start() to close(). What a test changes in `firmware.quirks` counts at once."""

    def __init__(self, dialect: Dialect = "new", port: int = 0, quirks: Quirks | None = None) -> None:
        """port 0: one that is free; `port` says which."""
        self.firmware = Firmware(dialect, time.monotonic)
        self.firmware.quirks = quirks or Quirks()
        self.accepted = 0
        self._clients: dict[int, _Client] = {}
        self._selector = selectors.DefaultSelector()
        self._stopping, self._refusing = threading.Event(), False
        self._lock = threading.RLock()
        self._listener: socket.socket | None = None
        self.port = port
        self._listen()
        self._thread = threading.Thread(target=self._serve, name="thermostat-sim", daemon=True)

    def start(self) -> "Server":
        self._thread.start()
        return self

    def close(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            self.refuse(True)
            self.hang_up()
            self._selector.close()

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def clients(self) -> int:
        """Sockets in use."""
        return len(self._clients)

    def hang_up(self) -> None:
        """Closes all connections, as a reset or a pulled plug that came back does."""
        with self._lock:
            for client in list(self._clients.values()):
                self._drop(client)

    def reboot(self) -> None:
        """Time begins again, and every connection is gone."""
        with self._lock:
            self.firmware.boot()
            self.hang_up()

    def refuse(self, yes: bool) -> None:
        """Whether new connections are refused."""
        with self._lock:
            self._refusing = yes
            self._listen()

    def _listen(self) -> None:
        """A socket of the device is free: it listens; none is: it refuses."""
        if self._refusing or len(self._clients) >= SOCKETS:
            self._close_listener()
        elif self._listener is None:
            listener = socket.create_server(("127.0.0.1", self.port), backlog=1)
            listener.setblocking(False)
            self.port = listener.getsockname()[1]
            self._listener = listener
            self._selector.register(listener, selectors.EVENT_READ)

    def _close_listener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            self._selector.unregister(listener)
            listener.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            ready = self._selector.select(_LOOK_S)
            with self._lock:
                for key, _ in ready:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif (client := self._clients.get(key.fd)) is not None:
                        self._receive(client)
                if self.firmware.poll():
                    self._push()

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.settimeout(0.2)  # the device never waits for a client that does not read
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[sock.fileno()] = _Client(sock, self.firmware)
        self._selector.register(sock, selectors.EVENT_READ)
        self.accepted += 1
        self._listen()

    def _receive(self, client: _Client) -> None:
        try:
            data = client.socket.recv(4096)
        except OSError:
            data = b""
        if data:
            client.send(client.session.feed(data), self.firmware.quirks.delay_s)
        if not data or client.session.closed:
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.socket.fileno(), None) is not None:
            self._selector.unregister(client.socket)
            client.socket.close()
            self._listen()

    def _push(self) -> None:
        """`report mode on`: a report for each value of the ADC, between whatever else is sent."""
        for client in list(self._clients.values()):
            client.send(self.firmware.push(client.session), 0.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m common.sims.thermostat", description=__doc__)
    add_common(parser)
    parser.add_argument("--dialect", choices=("old", "swap", "new"), help="default: sim.thermostat_dialect")
    parser.add_argument("--port", type=int, default=0, help="default: one that is free")
    names = ", ".join(Quirks.__struct_fields__)
    parser.add_argument("--quirk", action="append", default=[], metavar="NAME[=VALUE]", help=f"one of {names}")
    args = parser.parse_args()
    log = Log("sim-thermostat")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        loaded = load(args.config)
        folders = loaded.folders(args.data, args.run_dir)
        folders.make()
        quirks = quirks_of(args.quirk)
        with Server(args.dialect or loaded.config.sim.thermostat_dialect, args.port, quirks) as server:
            place = folders.run / "sim-thermostat.port"
            _write(place, f"{server.port}\n")
            if PARENT not in os.environ:
                log.info(f"listens on 127.0.0.1:{server.port}", dialect=server.firmware.dialect)
            parent = int(os.environ.get(PARENT) or os.getppid())
            while not stop.wait(0.2) and os.getppid() == parent:
                pass
            place.unlink(missing_ok=True)
    except RigbusError as e:
        log.error(str(e))
        return e.exit_code
    except OSError as e:
        log.error(f"cannot serve: {e.strerror or e}")
        return 1
    return 0


def quirks_of(words: list[str]) -> Quirks:
    """`nan=0,1`, `drop_every=5`, `frozen`. Raises UsageError."""
    quirks = Quirks()
    for word in words:
        name, _, text = word.partition("=")
        default: Any = getattr(quirks, name, None)
        if name not in Quirks.__struct_fields__:
            raise UsageError(f"no quirk {name!r}; there are: {', '.join(Quirks.__struct_fields__)}")
        try:
            if isinstance(default, set):
                setattr(quirks, name, {int(n) for n in text.split(",")})
            elif isinstance(default, bool):
                setattr(quirks, name, text in ("", "true"))
            else:
                setattr(quirks, name, type(default)(text))
        except ValueError:
            raise UsageError(f"quirk {word!r}: not a value for {name}") from None
    return quirks


def _write(path: Path, text: str) -> None:
    """Whoever reads it finds all of it, or nothing."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)


if __name__ == "__main__":
    sys.exit(main())
