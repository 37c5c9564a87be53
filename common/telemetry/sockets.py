"""An application's sockets on a rig: PUB to the bus, ROUTER for ctl, DEALER to ask the rig's name. Of one thread."""

import os
import time
from pathlib import Path
from typing import Any

import msgspec
import zmq

from . import ctl
from .place import open_to_group

_HWM = 2000  # a burst fits; what drops is replayed
_ASKED_S = 1.0  # how long the rig may take to tell its name before another daemon is asked
_MAX_REQUESTS = 100  # answered at a time, so that sending gets its turn
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
_STATUS = msgspec.msgpack.encode({"id": 1, "op": "status"})


class Sockets:
    def __init__(self, folder: Path, wake_fd: int) -> None:
        self._folder, self._wake_fd = folder, wake_fd
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._poller.register(wake_fd, zmq.POLLIN)
        self._pub = self._socket(zmq.PUB)
        self._pub.sndhwm = _HWM
        self._pub.linger = 500
        self._pub.connect(f"ipc://{folder / 'in.sock'}")
        self._router: zmq.Socket[bytes] | None = None
        self._inode = 0
        self._dealer: zmq.Socket[bytes] | None = None
        self._asked, self._turn = 0.0, 0

    def _socket(self, kind: int) -> "zmq.Socket[bytes]":
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.reconnect_ivl = 50
        socket.reconnect_ivl_max = 500
        return socket

    def poll(self, timeout_s: float) -> None:
        self._poller.poll(round(timeout_s * 1000))

    def woken(self) -> bool:
        """Whether a caller has put something in the queue."""
        try:
            os.eventfd_read(self._wake_fd)
        except BlockingIOError:
            return False
        return True

    def send(self, topic: bytes, payload: bytes) -> None:
        """Publishes; what finds no room or no subscriber is dropped, and replayed when the sink asks."""
        self._pub.send(topic, zmq.SNDMORE)
        self._pub.send(payload)

    # ---- ctl

    def _bind_ctl(self, path: Path) -> None:
        self._close(self._router)
        self._router = None
        router = self._socket(zmq.ROUTER)
        router.linger = 500
        router.sndtimeo = 1000
        router.set(zmq.MAXMSGSIZE, ctl.MAX_REQUEST)
        try:
            router.bind(f"ipc://{path}")
        except zmq.ZMQError:
            router.close()
            raise
        open_to_group(path)
        self._router, self._inode = router, path.stat().st_ino
        self._poller.register(router, zmq.POLLIN)

    def keep_ctl(self, path: Path) -> None:
        """Binds ctl, anew where a foreign hand removed the file: nobody could ask any more. Raises zmq.ZMQError."""
        try:
            here = path.stat().st_ino
        except OSError:
            here = 0
        if self._router is None or here != self._inode:
            self._bind_ctl(path)

    def answer(self, handlers: dict[str, ctl.Handler]) -> None:
        """Replies to what has been asked."""
        for _ in range(_MAX_REQUESTS):
            if self._router is None:
                return
            try:
                parts = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            head, request = parts[:-1], parts[-1]
            # REQ puts an empty part before its request and wants it back
            reply = ctl.answer(request, handlers) if len(head) in (1, 2) else None
            if reply is not None:
                try:
                    self._router.send_multipart([*head, reply])
                except zmq.ZMQError:
                    pass  # who asked is gone

    # ---- the rig's name

    def ask_node(self, every_s: float) -> None:
        """Asks the bus, the sink, the bus, … who they are; one question at a time, and not more often than every_s."""
        now = time.monotonic()
        if self._dealer is not None:
            if now - self._asked < _ASKED_S:
                return
            self._forget_dealer()
        elif now - self._asked < every_s:
            return
        self._turn += 1
        path = self._folder / f"{('sink', 'bus')[self._turn % 2]}.ctl.sock"
        if not path.exists():
            return
        self._asked = now
        self._dealer = self._socket(zmq.DEALER)
        self._dealer.connect(f"ipc://{path}")
        self._dealer.send(_STATUS)
        self._poller.register(self._dealer, zmq.POLLIN)

    def node(self) -> str:
        """The rig's name, if an answer has just come; else empty."""
        if self._dealer is None:
            return ""
        try:
            reply = _decode(self._dealer.recv(zmq.NOBLOCK))
        except (zmq.Again, msgspec.DecodeError):
            return ""
        health = reply.get("health")
        node = health.get("node") if isinstance(health, dict) else None
        self._forget_dealer()
        return node if isinstance(node, str) else ""

    def _forget_dealer(self) -> None:
        self._close(self._dealer)
        self._dealer = None

    def _close(self, socket: "zmq.Socket[bytes] | None") -> None:
        if socket is not None:
            if socket in self._poller:
                self._poller.unregister(socket)
            socket.close()

    def close(self) -> None:
        self._close(self._router)
        self._forget_dealer()
        self._pub.close()
        self._context.term()
