"""Notices what it did not get, and says what became of it: python gap_check.py var/run/out.sock

A gap in `seq` is either named by a loss frame (those numbers are lost, for everyone), or this script missed them on its
way: then they are in the store.
"""

import sys

import msgpack
import zmq

bus = zmq.Context().socket(zmq.SUB)
bus.connect(f"ipc://{sys.argv[1]}")
bus.subscribe("")  # seq counts over all topics of a source: a part of them would be full of holes
seen = {}  # (node, src, run) → its last number
while True:
    topic, payload = bus.recv_multipart()
    frame = msgpack.unpackb(payload)
    stream = frame["node"], frame["src"], frame["run"]
    name = f"{frame['src']}/{frame['run']}"
    if frame["seq"] == 0:  # health: not numbered, but it knows the last number
        got, last = frame["seq"], frame["last_seq"]
    else:
        got, last = frame["seq"], frame["seq"] - 1
    if last > seen.setdefault(stream, last):
        print(f"{name}: gap {seen[stream] + 1}..{last}", flush=True)
    seen[stream] = max(seen[stream], last, got)
    if frame["k"] == "loss" and frame["unit"] == "frame":
        where = f"{frame['src']}/{frame['run_of']}"
        print(f"{where}: lost {frame['from_seq']}..{frame['to_seq']}, cause {frame['cause']}", flush=True)
    elif frame["k"] == "loss":
        print(f"{frame['stream']}: lost {frame['count']} {frame['unit']}, cause {frame['cause']}", flush=True)
