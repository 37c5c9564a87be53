"""Notices what it did not get, and says what became of it: python gap_check.py var/run/out.sock

A gap in `seq` is either named by a loss frame: the journal gave those numbers up. Or this script missed them on their
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
    # what came before this frame; health has number 0, but knows the last one
    before = frame["seq"] - 1 if frame["seq"] else frame["last_seq"]
    if before > seen.setdefault(stream, before):
        print(f"{frame['src']}/{frame['run']}: gap {seen[stream] + 1}..{before}", flush=True)
    seen[stream] = max(seen[stream], before, frame["seq"])
    if frame["k"] == "loss" and frame["unit"] == "frame":
        where = f"{frame['src']}/{frame['run_of']}"
        print(f"{where}: lost {frame['from_seq']}..{frame['to_seq']}, cause {frame['cause']}", flush=True)
    elif frame["k"] == "loss":
        print(f"{frame['stream']}: lost {frame['count']} {frame['unit']}, cause {frame['cause']}", flush=True)
