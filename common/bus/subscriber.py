"""Reading the bus, for `tail`, `status` and `run`. Users' scripts need only zmq and msgpack: docs/subscribe.md."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import zmq

from common.frames import AnyFrame, Malformed, decode
from common.paths import endpoint


class Subscriber:
    """Frames of some topics (prefixes; "" is all). What is malformed or of an unknown kind is counted and skipped."""

    def __init__(self, bus_out: Path, topics: Sequence[str] = ("",), *, hwm: int = 10_000) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.rcvhwm = hwm
        self._socket.linger = 0
        self._socket.reconnect_ivl = 50
        self._socket.reconnect_ivl_max = 500
        for topic in topics:
            self._socket.subscribe(topic)
        self._socket.connect(endpoint(bus_out))
        self.skipped = 0

    def read(self, timeout_s: float) -> Iterator[tuple[str, AnyFrame]]:
        """(topic, frame) of all that is there; waits at most timeout_s for the first."""
        if not self._socket.poll(round(timeout_s * 1000)):
            return
        while True:
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                topic, payload = parts
                yield topic.decode("ascii"), decode(payload)
            except (Malformed, ValueError):
                self.skipped += 1

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
