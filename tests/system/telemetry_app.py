"""An application with a TelemetryCollector, as a process of its own; it knows nothing of rigbus but common.telemetry.

Run as `python telemetry_app.py RUN_DIR PROGRESS [--period S] [--src NAME] [--to N] [--max-bytes N]`. Each round logs
one record of each kind (two joints of a smoother tick: 7 records) and then writes its number to PROGRESS with one
write(2). SIGTERM, or the round N, ends it by stop(), whose answer is PROGRESS's last line.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from common.telemetry import EventType, TelemetryCollector

RECORDS = 7


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir")
    parser.add_argument("progress")
    parser.add_argument("--period", type=float, default=0.01)
    parser.add_argument("--src", default="robot")
    parser.add_argument("--to", type=int, default=10**9)
    parser.add_argument("--max-bytes", type=int, default=16 << 20)
    args = parser.parse_args()
    progress = os.open(args.progress, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    tc = TelemetryCollector(bus=args.run_dir, src=args.src, max_bytes=args.max_bytes)
    tc.start()
    number = 0
    while not ended and number < args.to:
        number += 1
        cid = tc.new_correlation_id()
        data = {"id": 1, "angle": number / 10}
        tc.emit("dds", EventType.DDS_PUBLISH, {"seq": number, "funcode": 1, "data": data, "raw_len": 40}, cid)
        tc.log_feedback(number, 1, {f"angle{n}": float(n) for n in range(7)}, None)
        states = [{"joint_id": n, "target": 1.0, "current": 0.5, "sent": 0.7} for n in range(2)]
        tc.log_smoother_tick(states)
        tc.log_web_request("/api/joint", "POST", {"n": number}, 1.5, 200, True, cid)
        tc.log_camera_health("front", {"actual_fps": 29.9, "connected": True, "resolution": (640, 480)})
        tc.log_system_event("number", "robot", str(number))
        os.write(progress, f"{number}\n".encode())
        time.sleep(args.period)
    os.write(progress, f"stopped {tc.stop()} {tc.get_stats()['dropped']}\n".encode())


main()
