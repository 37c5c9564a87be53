"""Prints the power of each meter channel: python watch_power.py var/run/out.sock"""

import sys

import msgpack
import zmq

bus = zmq.Context().socket(zmq.SUB)
bus.connect(f"ipc://{sys.argv[1]}")
bus.subscribe("pulse/")
last = {}  # (channel, run) → time of the newest edge, ns
while True:
    topic, payload = bus.recv_multipart()
    frame = msgpack.unpackb(payload)
    meter = frame["channel"], frame["run"]
    for edge in frame["edges"]:
        at = frame["mono"] + edge
        if meter in last:
            print(f"{frame['channel']} {3.6e12 / (at - last[meter]):.0f} W", flush=True)  # at 1000 pulses per kWh
        last[meter] = at
