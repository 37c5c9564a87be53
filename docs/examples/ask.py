"""Asks a daemon something: python ask.py var/run/pulse.ctl.sock status"""

import sys

import msgpack
import zmq

path, op, *pairs = sys.argv[1:]
fields = {key: int(value) if key in ("from", "n") else value for key, value in (pair.split("=") for pair in pairs)}
ctl = zmq.Context().socket(zmq.REQ)
ctl.linger, ctl.rcvtimeo = 0, 3000
ctl.connect(f"ipc://{path}")
ctl.send(msgpack.packb({"id": 1, "op": op, **fields}))
print(msgpack.unpackb(ctl.recv()))
