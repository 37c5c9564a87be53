"""Asking a daemon over its ctl socket: one request, one reply, a time-out."""

from typing import Any

import msgspec
import zmq

from common.errors import RigbusError
from common.paths import Folders, endpoint, is_alive


def request(folders: Folders, src: str, op: str, *, timeout_s: float = 2.0, **fields: Any) -> dict[str, Any]:
    """The reply's map. Raises RigbusError where nobody answers in time, or the daemon refuses."""
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.linger = 0
    try:
        # a killed daemon leaves its socket file: the lock tells
        if not is_alive(folders, src):
            raise RigbusError(f"{src}: not running")
        socket.connect(endpoint(folders.ctl(src)))
        socket.send(msgspec.msgpack.encode({"id": 1, "op": op, **fields}))
        if not socket.poll(round(timeout_s * 1000)):
            raise RigbusError(f"{src}: no answer in {timeout_s:g} s")
        reply: dict[str, Any] = msgspec.msgpack.decode(socket.recv())
    finally:
        socket.close()
        context.term()
    if not reply.get("ok"):
        raise RigbusError(f"{src}: {reply.get('detail') or reply.get('error')}")
    return reply
