"""The seed's vocabulary: event types, events, and what its angles and status words are called."""

import enum
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


class EventType(enum.Enum):
    """The values are those of the seed's module."""

    CMD_SENT = "cmd_sent"
    DDS_PUBLISH = "dds_publish"
    DDS_RECEIVE = "dds_receive"
    CMD_ACK = "cmd_ack"
    CMD_EXEC = "cmd_exec"
    STATE_UPDATE = "state_update"
    WS_SEND = "ws_send"
    WS_RECEIVE = "ws_receive"
    CAM_FRAME = "cam_frame"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class TelemetryEvent:
    """timestamp_ms: CLOCK_BOOTTIME, for intervals. wall_time_ms: since 1970."""

    timestamp_ms: float
    wall_time_ms: float
    source: str
    event_type: EventType
    payload: dict[str, Any] = field(default_factory=dict)
    correlation_id: str | None = None


ANGLES = tuple(f"angle{n}" for n in range(7))
STATUS = ("power_status", "enable_status", "error_status", "recv_status", "exec_status")


def angle_list(angles: Any) -> Any:
    """Seven angles in order out of the seed's {angle0: …, angle6: …}; a list is taken as it is."""
    return [angles.get(name) for name in ANGLES] if isinstance(angles, Mapping) else angles


def every_nth(n: int) -> Callable[[], bool]:
    """A function that is true at each n-th call, from any thread: to log every fifth tick, say."""
    if n < 1:
        raise ValueError(f"every_nth({n}): at least 1")
    calls = itertools.count(1)
    return lambda: next(calls) % n == 0
