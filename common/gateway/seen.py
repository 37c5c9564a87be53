"""The newest of everything that passes on the bus: what the sections of the status are made of.

The live thread writes, others read: a value is replaced whole, never changed.
"""

import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from common.frames import (
    AnyFrame,
    ArmFeedback,
    Health,
    Malformed,
    Pulse,
    Pump,
    Samples,
    Thermostat,
    decode,
    decode_head,
)
from common.gateway.live import Message

_EVENTS = 8
_TOPICS = 4096


class Topic(NamedTuple):
    """t: wall ns of the newest frame's first datum; at: monotonic s of its arrival."""

    kind: str
    src: str
    t: int
    at: float


class Edge(NamedTuple):
    """The newest edge of a meter. t: wall ns. gap_s: since the one before, in which `pulses` came; None: not known, as

    after a start of its daemon: what came before that was counted by none.
    """

    total: int
    t: int
    gap_s: float | None
    pulses: int
    run: str = ""


class Sensor(NamedTuple):
    """The newest samples frame without its values. clipped: samples at the end of the range, since the start."""

    axes: list[str]
    unit: str
    rate_hz: float
    nominal_hz: float
    clipped: int


class Readings(NamedTuple):
    t: int
    channels: list[dict[str, Any]]


class Angles(NamedTuple):
    t: int
    angles: list[float | None]


class Seen:
    """ranges: sensor → ± full scale, in its unit."""

    def __init__(self, ranges: dict[str, float]) -> None:
        self._ranges = ranges
        self.topics: dict[str, Topic] = {}
        self.health: dict[str, tuple[dict[str, Any], float]] = {}  # src → its newest map, monotonic s
        self.edges: dict[str, Edge] = {}
        self.sensors: dict[str, Sensor] = {}
        self.readings: dict[str, Readings] = {}
        self.angles: Angles | None = None
        self.pump_events: deque[dict[str, Any]] = deque(maxlen=_EVENTS)  # oldest first
        self.began: dict[str, int] = {}  # pump → wall ns of its newest `started`
        self.malformed = 0

    def take(self, batch: Sequence[Message]) -> None:
        for message in batch:
            try:
                frame: AnyFrame | None = decode(message.payload)
            except Malformed:
                frame = None
            if frame is None:
                self._unknown(message)
                continue
            self._topic(message, frame.__struct_config__.tag, frame.src, frame.t)
            keep = _KEEP.get(type(frame))
            if keep is not None:
                keep(self, frame, message)

    def _topic(self, message: Message, kind: Any, src: str, t: int) -> None:
        if message.topic in self.topics or len(self.topics) < _TOPICS:
            self.topics[message.topic] = Topic(str(kind), src, t, message.at)

    def _unknown(self, message: Message) -> None:
        """A kind of a later version, or no frame at all."""
        try:
            head = decode_head(message.payload)
        except Malformed:
            self.malformed += 1
            return
        self._topic(message, head.k, head.src, head.t)

    def _health(self, frame: Health, message: Message) -> None:
        self.health[frame.src] = msgspec.to_builtins(frame), message.at

    def _pulse(self, frame: Pulse, _: Message) -> None:
        if not frame.edges:
            return
        before = self.edges.get(frame.channel)
        newest = frame.t + frame.edges[-1]
        if len(frame.edges) > 1:
            gap_ns, pulses = frame.edges[-1] - frame.edges[-2], 1
        elif before is not None and before.run == frame.run and not (isinstance(frame.missed, int) and frame.missed):
            gap_ns, pulses = newest - before.t, frame.total - before.total
        else:
            gap_ns, pulses = 0, 0
        known = gap_ns > 0 and pulses > 0
        gap_s, pulses = (gap_ns / 1e9, pulses) if known else (None, 0)
        self.edges[frame.channel] = Edge(frame.total, newest, gap_s, pulses, frame.run)

    def _samples(self, frame: Samples, _: Message) -> None:
        before = self.sensors.get(frame.sensor)
        clipped = (before.clipped if before else 0) + _clipped(frame, self._ranges.get(frame.sensor))
        self.sensors[frame.sensor] = Sensor(frame.axes, frame.unit, frame.rate_hz, frame.nominal_hz, clipped)

    def _thermostat(self, frame: Thermostat, _: Message) -> None:
        self.readings[frame.device] = Readings(frame.t, frame.readings)

    def _pump(self, frame: Pump, _: Message) -> None:
        fields = ("pump", "event", "action", "direction", "ml", "seconds", "command_id", "reason")
        found = {name: getattr(frame, name) for name in fields}
        none = {name: None if value is msgspec.UNSET else value for name, value in found.items()}
        if frame.event == "started":
            self.began[frame.pump] = frame.t
        self.pump_events.append({"t": frame.t, **none})

    def _arm(self, frame: ArmFeedback, _: Message) -> None:
        if isinstance(frame.angles, list):
            self.angles = Angles(frame.t, frame.angles)

    def age_s(self, src: str) -> float:
        """Since a daemon's newest health frame; infinite: none was heard."""
        found = self.health.get(src)
        return time.monotonic() - found[1] if found else float("inf")


_KEEP: dict[type, Callable[[Seen, Any, Message], None]] = {
    Health: Seen._health,
    Pulse: Seen._pulse,
    Samples: Seen._samples,
    Thermostat: Seen._thermostat,
    Pump: Seen._pump,
    ArmFeedback: Seen._arm,
}


def _clipped(frame: Samples, full_scale: float | None) -> int:
    """Samples of which an axis is at the end of its range: of the integers, or of full_scale in the frame's unit."""
    if frame.dtype != "<i2" or not frame.axes:
        return 0
    values = array("h", frame.values)
    limit = 32767
    if full_scale and frame.scale > full_scale / limit:  # a finer scale does not come to the end of its range
        limit = round(full_scale / frame.scale) - 1
    if not values or limit <= 0 or (max(values) < limit and min(values) > -limit):
        return 0
    axes = len(frame.axes)
    return sum(any(abs(v) >= limit for v in values[at : at + axes]) for at in range(0, len(values), axes))
