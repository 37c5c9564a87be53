"""A stranger who publishes: JSON lines of [topic hex, payload hex, …] on stdin go out on a bus as they are.

Run as `python noise_sender.py IN_SOCK`; says `ready` when the bus listens, and ends with its input.
"""

import json
import sys

import zmq

context = zmq.Context()
socket = context.socket(zmq.XPUB)  # as PUB, but it sees who subscribes
socket.sndhwm = 100_000
socket.connect(f"ipc://{sys.argv[1]}")
while socket.recv() != b"\x01":
    pass
print("ready", flush=True)
for line in sys.stdin:
    socket.send_multipart([bytes.fromhex(part) for part in json.loads(line)])
socket.close(linger=10_000)
context.term()  # waits for what is not sent yet; the end of the interpreter would not
