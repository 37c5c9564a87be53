"""Forwards every frame: publishers connect to in.sock, subscribers to out.sock. It may die at any time."""

import sys
import threading
import time
from typing import Any, Self

import zmq

from common.config.schema import BusConfig
from common.errors import RigbusError
from common.paths import endpoint, inode_of, open_to_group
from common.runtime import Runtime
from common.service import entry
from common.topics import TOPICS

_HWM = 2000
_SILENT_S = 5.0


def run(rt: Runtime, cfg: BusConfig) -> None:
    # a context of its own: ending it is what ends libzmq's proxy, which never returns by itself
    context: zmq.Context[Any] = zmq.Context()
    front, back = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    paths = (rt.folders.bus_in, rt.folders.bus_out)
    for socket, path in zip((front, back), paths, strict=True):
        # no XPUB_NODROP: one stopped subscriber must not block the others
        socket.sndhwm = socket.rcvhwm = _HWM
        socket.linger = 0
        try:
            socket.bind(endpoint(path))
            open_to_group(path)
        except (zmq.ZMQError, OSError) as e:
            context.destroy(linger=0)
            raise RigbusError(f"{path}: cannot be bound: {e.strerror}") from None
    thread = threading.Thread(target=_forward, args=(front, back), name="proxy", daemon=True)
    thread.start()
    inodes = [inode_of(path) for path in paths]
    with Heard(rt) as heard:
        while thread.is_alive() and inodes == [inode_of(path) for path in paths] and not rt.wait(1.0):
            heard.look()
    rt.wait(0.2)  # the rest of what publishers sent at their stop
    context.term()
    thread.join()
    if not rt.stopping:
        raise RigbusError("the forwarder ended, or its socket files were removed: a new one must take its place")
    for path in paths:
        path.unlink(missing_ok=True)


class Heard:
    """Who is heard through the forwarder: it works where this daemon's own sign of life comes back to it."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._last: dict[str, float] = {}  # source → monotonic s
        self._socket = rt.context.socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.subscribe(TOPICS["health"].prefix)
        self._socket.connect(endpoint(rt.folders.bus_out))

    def look(self) -> None:
        now = time.monotonic()
        try:
            for _ in range(_HWM):
                topic, *_ = self._socket.recv_multipart(zmq.NOBLOCK)
                if len(self._last) < _HWM:
                    self._last[topic.split(b"/")[1].decode(errors="replace")] = now
        except zmq.Again:
            pass
        self._last = {src: at for src, at in self._last.items() if now - at < _SILENT_S}
        if self._rt.src in self._last:
            self._rt.progress()
        others = ", ".join(sorted(self._last.keys() - {self._rt.src}))
        self._rt.say(f"forwards for {others or 'nobody yet'}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()


def _forward(front: zmq.Socket[bytes], back: zmq.Socket[bytes]) -> None:
    try:
        zmq.proxy(front, back)
    except zmq.ContextTerminated:
        pass
    finally:
        front.close()
        back.close()


if __name__ == "__main__":
    sys.exit(entry("bus", __doc__, lambda config: config.bus, run, journaled=False))
