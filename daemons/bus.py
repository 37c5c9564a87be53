"""Forwards every frame: publishers connect to in.sock, subscribers to out.sock. It may die at any time."""

import sys
import threading
from typing import Any

import zmq

from common.config.schema import BusConfig
from common.errors import RigbusError
from common.paths import endpoint, open_to_group
from common.runtime import Runtime
from common.service import entry

_HWM = 2000


def run(rt: Runtime, cfg: BusConfig) -> None:
    # a context of its own: ending it is what ends libzmq's proxy, which never returns by itself
    context: zmq.Context[Any] = zmq.Context()
    front, back = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    for socket, path in ((front, rt.folders.bus_in), (back, rt.folders.bus_out)):
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
    while thread.is_alive() and not rt.wait(1.0):
        rt.notifier.progress()
    # the rest of what publishers sent at their stop
    rt.wait(0.2)
    context.term()
    thread.join()
    for path in (rt.folders.bus_in, rt.folders.bus_out):
        path.unlink(missing_ok=True)
    if not rt.stopping:
        raise RigbusError("the forwarder ended by itself")


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
