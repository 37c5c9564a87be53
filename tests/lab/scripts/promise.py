"""Writes down what the rig has acknowledged: promise.py OUT_SOCKET STORE DEVICE OFFSET CHANNEL.

Two promises, each as the highest lifetime total of the channel: `bus`, seen in a frame (a pulse frame is on the disk
before it is sent), and `store`, seen as a committed row.  They go unbuffered into one raw sector beyond the file
system, so that the log of the disk holds promises and writes in their true order.
"""

import json
import mmap
import os
import sqlite3
import sys

import msgpack
import zmq

out_socket, store, device, offset, channel = sys.argv[1:]
socket = zmq.Context().socket(zmq.SUB)
socket.connect(f"ipc://{out_socket}")
socket.subscribe(f"pulse/{channel}/".encode())
raw = os.open(device, os.O_WRONLY | os.O_DIRECT)
sector = mmap.mmap(-1, 512)  # O_DIRECT wants aligned memory
promised = {"bus": 0, "store": 0}
db: sqlite3.Connection | None = None
while True:
    now = dict(promised)
    if socket.poll(50):
        now["bus"] = msgpack.unpackb(socket.recv_multipart()[1])["total"]
    if db is None and os.path.exists(store):
        db = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=5)
    if db is not None:
        try:
            now["store"] = db.execute(
                "select coalesce(max(total), 0) from pulses where channel = ?", (channel,)
            ).fetchone()[0]
        except sqlite3.OperationalError:
            pass  # the tables are not made yet
    if now != promised:
        promised = now
        sector[:] = json.dumps(promised).encode().ljust(512, b"\0")
        os.pwritev(raw, [sector], int(offset))
