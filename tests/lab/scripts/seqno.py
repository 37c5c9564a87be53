"""Reads one line as slowly as it can: seqno.py LINE FILE SECONDS; prints the edges it got and the last line_seqno.

It creates FILE when it holds the line, sleeps that many seconds with a buffer of 64 events, then reads what is left.
"""

import sys
import time
from pathlib import Path

import gpiod
from gpiod.line import Bias, Direction, Edge

line, ready, seconds = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
settings = gpiod.LineSettings(direction=Direction.INPUT, edge_detection=Edge.RISING, bias=Bias.PULL_UP)
with gpiod.request_lines("/dev/gpiochip0", config={line: settings}, event_buffer_size=64) as request:
    ready.touch()
    time.sleep(seconds)
    events = []
    while request.wait_edge_events(0.5):
        events += request.read_edge_events(64)
print(len(events), events[-1].line_seqno)
