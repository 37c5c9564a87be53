"""A stranger on the bus: record.py OUT_SOCKET FILE appends one JSON line a frame, from zmq and msgpack alone."""

import json
import sys

import msgpack
import zmq

KEEP = ("k", "src", "run", "seq", "channel", "total", "filtered", "missed", "time_source", "pid", "status")

socket = zmq.Context().socket(zmq.SUB)
socket.rcvhwm = 0  # this one must not be what loses a frame
socket.connect(f"ipc://{sys.argv[1]}")
socket.subscribe(b"")
with open(sys.argv[2], "a", buffering=1) as out:
    while True:
        _, payload = socket.recv_multipart()
        frame = msgpack.unpackb(payload)
        row = {key: frame[key] for key in KEEP if key in frame}
        if frame["k"] == "pulse":
            row["accepted"] = len(frame["edges"])
        out.write(json.dumps(row) + "\n")
