"""Pulses on GPIO lines: toggle.py HZ N LINE:IDLE[,LINE:IDLE…]; prints one JSON object with what was done.

Each of N cycles takes every line from its idle level (0 or 1) to the other and back: one rising and one falling edge
a cycle and line, of which the reader has asked for one.  HZ 0: flat out.

The simulated interrupt merges edges that come while one is pending, which a busy host can make last.  So, unless flat
out, two edges of a line are at least 8 ms apart, and a cycle starts when the kernel has numbered the edges of the last.
"""

import json
import os
import sys
import time

LEAST_GAP_S = 0.008
NUMBERED_S = 2.0  # after that nobody holds the lines: their edges count for none, until some are numbered again
PROFILE = "/sys/kernel/tracing/kprobe_profile"


def numbered() -> int:
    with open(PROFILE) as f:
        return int(f.read().split()[1])


hz, n = float(sys.argv[1]), int(sys.argv[2])
lines = [spec.split(":") for spec in sys.argv[3].split(",")]
pulls = [(os.open(f"/run/lab/gpio/sim_gpio{line}/pull", os.O_WRONLY), idle == "1") for line, idle in lines]
step = 0.5 / hz if hz else 0.0
held = True
start = due = time.monotonic()
for _ in range(n):
    before = numbered() if hz else 0
    for back in (False, True):
        for fd, idle in pulls:
            os.pwrite(fd, b"pull-up" if idle == back else b"pull-down", 0)
        if hz:
            due += step
            time.sleep(max(due - time.monotonic(), LEAST_GAP_S))
    if hz:
        limit = time.monotonic() + (NUMBERED_S if held else 0)
        while numbered() < before + len(lines) and time.monotonic() < limit:
            time.sleep(0.001)
        held = numbered() > before
seconds = time.monotonic() - start
print(json.dumps({"cycles": n, "seconds": round(seconds, 3), "hz": round(n / seconds, 1)}))
