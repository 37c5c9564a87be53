"""Pulses on GPIO lines: toggle.py HZ N LINE:IDLE[,LINE:IDLE…]; prints one JSON object with what was done.

Each of N cycles takes every line from its idle level (0 or 1) to the other and back: one rising and one falling edge
a cycle and line.  HZ 0: flat out.  Two edges of a line are never closer than 8 ms unless flat out: the simulated
interrupt merges edges that come while one is pending.
"""

import json
import os
import sys
import time

LEAST_GAP_S = 0.008

hz, n = float(sys.argv[1]), int(sys.argv[2])
lines = [spec.split(":") for spec in sys.argv[3].split(",")]
pulls = [(os.open(f"/run/lab/gpio/sim_gpio{line}/pull", os.O_WRONLY), idle == "1") for line, idle in lines]
step = 0.5 / hz if hz else 0.0
start = due = time.monotonic()
for i in range(2 * n):
    back = i % 2 == 1
    for fd, idle in pulls:
        os.pwrite(fd, b"pull-up" if idle == back else b"pull-down", 0)
    if step:
        due += step
        time.sleep(max(due - time.monotonic(), LEAST_GAP_S))
seconds = time.monotonic() - start
print(json.dumps({"cycles": n, "seconds": round(seconds, 3), "hz": round(n / seconds, 1)}))
