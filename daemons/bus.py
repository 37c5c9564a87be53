"""Forwards every frame: publishers connect to in.sock, subscribers to out.sock. It may die at any time."""

import sys
import threading
from typing import Any

import zmq

from common.config.schema import BusConfig
from common.errors import RigbusError
from common.paths import endpoint, inode_of, open_to_group
from common.runtime import Runtime
from common.service import entry

_HWM = 2000


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
    while thread.is_alive() and inodes == [inode_of(path) for path in paths] and not rt.wait(1.0):
        rt.notifier.progress()
    rt.wait(0.2)  # the rest of what publishers sent at their stop
    context.term()
    thread.join()
    if not rt.stopping:
        raise RigbusError("the forwarder ended, or its socket files were removed: a new one must take its place")
    for path in paths:
        path.unlink(missing_ok=True)


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
