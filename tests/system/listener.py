"""A stranger on the bus, with nothing but zmq and msgpack: prints each frame as a line of JSON, bytes as their count.

Run as `python listener.py OUT_SOCK`, ended by SIGTERM.
"""

import json
import sys

import msgpack
import zmq

socket = zmq.Context().socket(zmq.SUB)
socket.subscribe(b"")
socket.rcvhwm = 0  # nothing is dropped while it prints slowly
socket.connect(f"ipc://{sys.argv[1]}")
while True:
    topic, payload = socket.recv_multipart()
    print(json.dumps([topic.decode(), msgpack.unpackb(payload)], default=len), flush=True)
