"""Asking a daemon over its ctl socket: one request, one reply, a time-out."""

import os
from typing import Any

import msgspec
import zmq

from common.errors import NoAnswer, Refused, RigbusError, UsageError
from common.paths import Folders, endpoint, is_alive

_MAX_MS = 2**31 - 1  # what poll(2) takes: 24 days


def request(folders: Folders, src: str, op: str, *, timeout_s: float = 2.0, **fields: Any) -> dict[str, Any]:
    """The reply's map.

    Raises NoAnswer where none comes in time, Refused where it is no, RigbusError where there is nobody to ask;
    UsageError for fields that cannot be sent.
    """
    try:
        message = msgspec.msgpack.encode({"id": 1, "op": op, **fields})
    except (OverflowError, UnicodeEncodeError, TypeError, RecursionError) as e:
        raise UsageError(f"{src} {op}: cannot be sent: {e}") from None
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.linger = 0
    try:
        # a killed daemon leaves its socket file: the lock tells
        if not is_alive(folders, src):
            raise RigbusError(f"{src}: not running")
        if folders.ctl(src).exists() and not os.access(folders.ctl(src), os.R_OK | os.W_OK):
            raise RigbusError(f"{src}: {folders.ctl(src)}: no permission (its group may ask)")
        socket.connect(endpoint(folders.ctl(src)))
        socket.send(message)
        if not socket.poll(min(round(timeout_s * 1000), _MAX_MS)):
            raise NoAnswer(f"{src}: no answer in {timeout_s:g} s")
        reply: dict[str, Any] = msgspec.msgpack.decode(socket.recv())
    finally:
        socket.close()
        context.term()
    if not reply.get("ok"):
        raise Refused(f"{src}: {reply.get('detail') or reply.get('error')}", str(reply.get("error")))
    return reply
