"""Meter edges from the kernel's GPIO character device (uAPI v2): its time stamps, its count of what it dropped."""

import select
import time
from typing import Any, Literal, Self

import gpiod
from gpiod.line import Bias, Clock, Direction, Edge

from common.config.schema import Channel, PulseConfig
from common.drivers.edges import EdgeRead
from common.errors import DeviceMissing

_EDGE = {"rising": Edge.RISING, "falling": Edge.FALLING}
_BIAS = {"up": Bias.PULL_UP, "down": Bias.PULL_DOWN, "none": Bias.AS_IS}


class GpiodEdges:
    """One request a channel: the kernel's buffer (1024 events at most) belongs to a request."""

    time_source: Literal["kernel", "user"] = "kernel"
    missed_cause = "kernel_overrun"

    def __init__(self, cfg: PulseConfig) -> None:
        """Raises DeviceMissing where the chip is not there or a line is held by another process."""
        self._requests: dict[int, tuple[Channel, Any]] = {}
        self._last_seqno: dict[str, int] = {}
        self._poll = select.poll()
        try:
            for channel in cfg.channel:
                request = self._request(cfg, channel)
                self._requests[request.fd] = (channel, request)
                self._last_seqno[channel.name] = 0
                self._poll.register(request.fd, select.POLLIN)
        except BaseException:
            self.close()
            raise
        self.requested_ns = time.monotonic_ns()

    def _request(self, cfg: PulseConfig, channel: Channel) -> Any:
        settings = gpiod.LineSettings(
            direction=Direction.INPUT,
            edge_detection=_EDGE[channel.edge],
            bias=_BIAS[channel.pull],
            event_clock=Clock.MONOTONIC,
        )
        where = f"pulse channel {channel.name}: {cfg.chip} line {channel.line}"
        try:
            return gpiod.request_lines(
                cfg.chip,
                consumer=f"rigbus-{channel.name}"[:31],
                config={channel.line: settings},
                event_buffer_size=cfg.event_buffer,
            )
        except (OSError, ValueError) as e:
            raise DeviceMissing(f"{where}: {getattr(e, 'strerror', None) or e}") from None

    def take(self) -> list[EdgeRead]:
        out = []
        for fd, _ in self._poll.poll(0):
            channel, request = self._requests[fd]
            try:
                # one read empties the kernel's buffer; what comes meanwhile is for the next look
                events = request.read_edge_events(2048)
            except OSError as e:
                raise DeviceMissing(f"pulse channel {channel.name}: {e.strerror}") from None
            last = events[-1].line_seqno
            missed = last - self._last_seqno[channel.name] - len(events)
            self._last_seqno[channel.name] = last
            out.append(EdgeRead(channel.name, [e.timestamp_ns for e in events], missed))
        return out

    def close(self) -> None:
        for _, request in self._requests.values():
            request.release()
        self._requests.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
