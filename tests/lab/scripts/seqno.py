"""A reader who falls behind: seqno.py LINE READY GO; prints the edges it got and the last line_seqno.

It holds the line with a buffer of 64 events, creates the file READY, and reads what is left when the file GO is there.
"""

import sys
import time
from pathlib import Path

import gpiod
from gpiod.line import Bias, Direction, Edge

line, ready, go = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
settings = gpiod.LineSettings(direction=Direction.INPUT, edge_detection=Edge.RISING, bias=Bias.PULL_UP)
with gpiod.request_lines("/dev/gpiochip0", config={line: settings}, event_buffer_size=64) as request:
    ready.touch()
    end = time.monotonic() + 120
    while not go.exists() and time.monotonic() < end:
        time.sleep(0.1)
    events = []
    while request.wait_edge_events(0.5):
        events += request.read_edge_events(64)
print(len(events), events[-1].line_seqno)
