"""Prints the kind and a few fields of every frame: python every_kind.py var/run/out.sock"""

import sys
import time

import msgpack
import zmq

SHOW = {
    "pulse": ("channel", "total", "filtered"),
    "samples": ("sensor", "n", "rate_hz", "unit"),
    "thermostat": ("device", "readings"),
    "pump": ("pump", "event", "action", "command_id"),
    "arm_command": ("funcode", "data"),
    "arm_feedback": ("funcode", "angles", "status"),
    "smoother": ("joint_id", "target", "current"),
    "web_request": ("endpoint", "status_code", "response_ms"),
    "camera": ("camera_id", "actual_fps", "connected"),
    "event": ("event_type", "source", "detail"),
    "loss": ("stream", "unit", "count", "cause"),
    "health": ("last_seq", "cpu_pct", "status"),
}

bus = zmq.Context().socket(zmq.SUB)
bus.connect(f"ipc://{sys.argv[1]}")
bus.subscribe("")
while True:
    topic, payload = bus.recv_multipart()
    frame = msgpack.unpackb(payload)
    clock = time.strftime("%H:%M:%S", time.localtime(frame["t"] / 1e9))
    fields = {name: frame[name] for name in SHOW.get(frame["k"], ()) if name in frame}
    print(clock, topic.decode(), frame["k"], frame["src"], frame["seq"], fields, flush=True)
