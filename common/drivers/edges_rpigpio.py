"""Meter edges by the RPi.GPIO API (the original, or rpi-lgpio): stamped here, since the API has no kernel time."""

import time
from collections import deque
from typing import Literal, Self

from common.config.schema import PulseConfig
from common.drivers import lgpio_folder
from common.drivers.edges import EdgeRead
from common.errors import DeviceMissing

lgpio_folder.own()

import RPi.GPIO as GPIO  # noqa: E402

_QUEUE = 4096


class RpiGpioEdges:
    """Callbacks fill a bounded queue a channel; what the library dropped before them nobody can know."""

    time_source: Literal["kernel", "user"] = "user"
    missed_cause = "queue_full"

    def __init__(self, cfg: PulseConfig) -> None:
        """Raises DeviceMissing where a line cannot be had."""
        self._lines = {c.line: c.name for c in cfg.channel}
        self._edges: dict[int, deque[int]] = {c.line: deque(maxlen=_QUEUE) for c in cfg.channel}
        self._received = dict.fromkeys(self._lines, 0)
        self._taken = dict.fromkeys(self._lines, 0)
        GPIO.setwarnings(False)
        GPIO.setmode(GPIO.BCM)
        pulls = {"up": GPIO.PUD_UP, "down": GPIO.PUD_DOWN, "none": GPIO.PUD_OFF}
        for c in cfg.channel:
            try:
                GPIO.setup(c.line, GPIO.IN, pull_up_down=pulls[c.pull])
                edge = GPIO.RISING if c.edge == "rising" else GPIO.FALLING
                GPIO.add_event_detect(c.line, edge, callback=self._on_edge)
            except Exception as e:  # the library raises RuntimeError, OSError and lgpio.error, which is none of them
                self.close()
                raise DeviceMissing(f"pulse channel {c.name}: GPIO {c.line}: {e}") from None
        self.requested_ns = time.monotonic_ns()

    def _on_edge(self, line: int) -> None:
        self._edges[line].append(time.monotonic_ns())
        self._received[line] += 1

    def take(self) -> list[EdgeRead]:
        out = []
        for line, name in self._lines.items():
            queue, edges = self._edges[line], []
            received = self._received[line]
            while queue:
                edges.append(queue.popleft())
            self._taken[line] += len(edges)
            overflow = received - self._taken[line]
            if overflow > 0:
                self._taken[line] = received
            if edges:
                out.append(EdgeRead(name, edges, overflow if overflow > 0 else None))
        return out

    def close(self) -> None:
        GPIO.cleanup(list(self._lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
