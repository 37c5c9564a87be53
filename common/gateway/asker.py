"""Asks daemons for their `status`, without end: one thread, a socket each; one that does not answer delays nobody."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import zmq

from common.notify import Rounds
from common.paths import Folders, endpoint

_EVERY_S = 1.0
_OFTEN_S = 0.2
_ROUND_S = 60.0
_GIVE_UP_S = 5.0  # without an answer: asked once more on a new socket


class Reply:
    """at: monotonic s when it came."""

    def __init__(self, fields: dict[str, Any], at: float) -> None:
        self.fields, self.at = fields, at


class Asker:
    """often(src): whether this daemon is to be asked five times a second instead of once."""

    def __init__(self, folders: Folders, srcs: Sequence[str], often: Callable[[str], bool]) -> None:
        self._folders, self._srcs, self._often = folders, srcs, often
        self.replies: dict[str, Reply] = {}
        self._stopping = threading.Event()
        self._hurrying = False
        self.rounds = Rounds(_ROUND_S)
        self._thread = threading.Thread(target=self._work, name="asker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(2.0)

    def hurry(self) -> None:
        """Something was done that they will tell of: they are asked now."""
        self._hurrying = True

    def fields(self, src: str, max_age_s: float = 3.0) -> dict[str, Any]:
        """What a daemon answered last; {} where that is older, or there is none."""
        found = self.replies.get(src)
        return found.fields if found is not None and time.monotonic() - found.at <= max_age_s else {}

    def last(self, src: str) -> dict[str, Any]:
        """What a daemon answered last, however long ago."""
        found = self.replies.get(src)
        return found.fields if found is not None else {}

    def _work(self) -> None:
        context = zmq.Context[zmq.Socket[bytes]]()
        lines = [_Line(context, self._folders, src) for src in self._srcs]
        poller = zmq.Poller()
        for line in lines:
            line.open(poller)
        try:
            while not self._stopping.is_set():
                self.rounds.turn()
                now = time.monotonic()
                hurry, self._hurrying = self._hurrying, False
                for line in lines:
                    every_s = 0.0 if hurry else _OFTEN_S if self._often(line.src) else _EVERY_S
                    line.ask(now, every_s, poller)
                ready = dict(poller.poll(100))
                for line in lines:
                    if line.socket in ready and (found := line.answer()) is not None:
                        self.replies[line.src] = Reply(found, time.monotonic())
        finally:
            for line in lines:
                line.close(poller)
            context.term()


class _Line:
    """The way to one daemon."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", folders: Folders, src: str) -> None:
        self._context, self._path, self.src = context, folders.ctl(src), src
        self.socket: zmq.Socket[bytes]
        self._number = 0
        self._asked = 0.0  # monotonic s
        self._waiting = False

    def open(self, poller: zmq.Poller) -> None:
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger, self.socket.immediate = 0, 1  # nothing is queued for a daemon that is not there
        self.socket.sndhwm, self.socket.rcvhwm, self.socket.maxmsgsize = 4, 16, 1 << 20
        self.socket.reconnect_ivl, self.socket.reconnect_ivl_max = 100, 1000
        self.socket.connect(endpoint(self._path))
        poller.register(self.socket, zmq.POLLIN)

    def close(self, poller: zmq.Poller) -> None:
        poller.unregister(self.socket)
        self.socket.close()

    def ask(self, now: float, every_s: float, poller: zmq.Poller) -> None:
        if self._waiting and now - self._asked < _GIVE_UP_S:
            return
        if now - self._asked < every_s:
            return
        if self._waiting:
            self.close(poller)
            self.open(poller)
        self._asked, self._waiting = now, False
        self._number += 1
        try:
            self.socket.send(msgspec.msgpack.encode({"id": self._number, "op": "status"}), zmq.NOBLOCK)
            self._waiting = True
        except zmq.ZMQError:
            pass  # it is not there

    def answer(self) -> dict[str, Any] | None:
        """The newest reply that waits; None: it is no answer, or a refusal."""
        try:
            found = msgspec.msgpack.decode(self.socket.recv(zmq.NOBLOCK))
        except (zmq.ZMQError, msgspec.DecodeError):
            return None
        if not isinstance(found, dict) or found.get("id") != self._number:
            return None
        self._waiting = False
        return found if found.get("ok") else None
