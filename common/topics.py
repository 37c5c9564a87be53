"""One row a kind: its topic, whether each frame is on the disk before it is sent, and its liveness.

`durable` kinds are fdatasync-ed before they go out where the journal is on disk; the others by interval.
`period_s` None: no period of its own, alive as long as the `health` of its daemon is.
"""

from typing import NamedTuple

from common import frames
from common.frames import Frame


class Topic(NamedTuple):
    kind: str
    frame: type[Frame]
    prefix: str  # topic up to the instance
    instance: str | None  # the field that names the instance; None: the prefix is the whole topic
    durable: bool
    period_s: float | None


_ROWS = (
    #     kind            frame                 topic            instance    durable  period_s
    Topic("pulse", frames.Pulse, "pulse/", "channel", True, None),
    Topic("samples", frames.Samples, "samples/", "sensor", False, 0.1),
    Topic("thermostat", frames.Thermostat, "thermostat/", "device", False, 1.0),
    Topic("pump", frames.Pump, "pump/", "pump", True, None),
    Topic("arm_command", frames.ArmCommand, "arm/command/", None, True, None),
    Topic("arm_feedback", frames.ArmFeedback, "arm/feedback/", None, False, 0.1),
    Topic("smoother", frames.Smoother, "app/smoother/", None, False, None),
    Topic("web_request", frames.WebRequest, "app/web_request/", None, False, None),
    Topic("camera", frames.Camera, "app/camera/", None, False, None),
    Topic("event", frames.Event, "app/event/", None, False, None),
    Topic("loss", frames.Loss, "loss/", "src", True, None),
    Topic("health", frames.Health, "health/", "src", False, 1.0),
)
TOPICS = {row.kind: row for row in _ROWS}
_BY_FRAME = {row.frame: row for row in _ROWS}


def row_of(frame: Frame) -> Topic:
    """The table row of a frame's kind."""
    return _BY_FRAME[type(frame)]


def topic_of(frame: Frame) -> str:
    """The topic a frame goes out under: ASCII, ends in '/'."""
    row = _BY_FRAME[type(frame)]
    return row.prefix if row.instance is None else f"{row.prefix}{getattr(frame, row.instance)}/"
