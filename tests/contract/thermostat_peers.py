"""A device under test without its daemon, and TCP peers written for the tests: none of it is the shipped simulator."""

import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from common import frames
from common.config.schema import ThermostatDevice
from common.log import Log
from common.paths import Folders
from common.thermostats.device import Device

PATIENCE_S = 30.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """The condition's first true answer."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
    return answer


class Record:
    """Takes what a device publishes, as Runtime does."""

    def __init__(self, folder: Path) -> None:
        self.frames: list[frames.Thermostat] = []
        self.events: list[frames.Event] = []
        self.losses: list[SimpleNamespace] = []
        self.lines = io.StringIO()
        self.log = Log("thermostat", self.lines)
        self.folders = Folders(folder / "d", folder / "r")
        self.commits = True

    def publish(self, frame: Any) -> int:
        (self.frames if isinstance(frame, frames.Thermostat) else self.events).append(frame)
        return len(self.frames) + len(self.events)

    def committed(self, seq: int, timeout_s: float = 1.0) -> bool:
        return self.commits

    def lose(self, stream: str, unit: str, count: int, cause: str, *, from_t: int, to_t: int, detail: str = "") -> None:
        assert count > 0
        assert 0 < from_t <= to_t
        self.losses.append(SimpleNamespace(stream=stream, unit=unit, count=count, cause=cause, detail=detail))

    def mark_down_time(self, stream: str, unit: str, untold_s: float) -> None:
        assert (stream, unit) == ("thermostat/bench/", "poll")
        self.untold_s = untold_s

    def lost(self, *causes: str) -> int:
        return sum(loss.count for loss in self.losses if not causes or loss.cause in causes)


@contextmanager
def running(folder: Path, port: int, **keys: Any) -> Iterator[tuple[Device, Record]]:
    """A device that polls; stopped at the end, when its account is whole."""
    record, stop_fd = Record(folder), os.eventfd(0)
    given = {"host": "127.0.0.1", "port": port, "period_s": 0.1, "timeout_s": 0.3, **keys}
    device = Device(record, ThermostatDevice(name="bench", **given), stop_fd)  # type: ignore[arg-type]
    try:
        yield device, record
    finally:
        os.eventfd_write(stop_fd, 1)
        device.join(time.monotonic() + 10)
        os.close(stop_fd)
    assert not record.lost("fault"), record.losses
    assert not device._thread.is_alive()


class Peer:
    """A TCP server of the test's own: `behave(peer, conn)` has each connection to itself, in a thread."""

    def __init__(self, behave: Callable[["Peer", socket.socket], None]) -> None:
        self.behave = behave
        self.requests: list[str] = []
        self.connections = 0
        self.began = time.monotonic()
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(conn)
            threading.Thread(target=self._run, args=(conn,), daemon=True).start()

    def _run(self, conn: socket.socket) -> None:
        try:
            self.behave(self, conn)
        except OSError:
            pass
        finally:
            conn.close()

    def lines(self, conn: socket.socket) -> Iterator[str]:
        """The client's requests."""
        with conn.makefile("rb") as file:
            for line in file:
                self.requests.append(line.decode().strip())
                yield self.requests[-1]

    def change(self, behave: Callable[["Peer", socket.socket], None]) -> None:
        """From now on it behaves so; connections that there are end."""
        self.behave = behave
        self.hang_up()

    def hang_up(self) -> None:
        for conn in self._open:
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._open.clear()

    def refuse(self) -> None:
        listener, self._listener = self._listener, None
        assert listener is not None
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        self._thread.join()
        self.hang_up()

    def accept_again(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._listener is not None:
            self.refuse()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def now(self) -> float:
        """Seconds since it was made: its own `time`."""
        return time.monotonic() - self.began + 1.0


def report(time_s: float, **more: Any) -> str:
    """A report of two channels as the seed shows it."""
    channels = (
        {"channel": n, "time": time_s, "interval": 0.01, "temperature": 25.0 + 6.9 * n, "i_tec": 1.5, **more}
        for n in (0, 1)
    )
    return json.dumps(list(channels))


def good(peer: Peer, conn: socket.socket) -> None:
    """Reports when asked, refuses the rest."""
    for request in peer.lines(conn):
        answer = report(peer.now()) if request == "report" else '{ "error": "invalid input" }'
        conn.sendall(answer.encode())
        conn.sendall(b"\n")
