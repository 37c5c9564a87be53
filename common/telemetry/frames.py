"""What an application logs: a struct a kind, and its bytes on the bus. The twin of rigbus's `common/frames.py`.

A frame is a MessagePack map: a head (kind, identity, number, times) and the struct's fields. The fields are encoded
when they are logged, so that the caller may change its dictionaries afterwards; the head when the frame is sent, since
the rig's name may not be known before. Tests compare every kind, field by field, with rigbus's own encoder.
"""

from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType


class _Arm(Struct, kw_only=True):
    """Absent fields are UNSET and do not travel; `data` is what the arm's JSON held."""

    funcode: int
    data: Any
    address: int | UnsetType = UNSET
    arm_seq: int | UnsetType = UNSET
    joint_id: int | UnsetType = UNSET
    target_value: float | UnsetType = UNSET
    angles: list[float | None] | UnsetType = UNSET
    status: dict[str, Any] | UnsetType = UNSET
    correlation_id: str | UnsetType = UNSET
    raw_len: int = 0


class ArmCommand(_Arm):
    """A command on its way to the arm; angles in degrees."""


class ArmFeedback(_Arm):
    """Angles, state or an acknowledgement (address 3) from the arm."""


class Smoother(Struct, kw_only=True):
    """One joint of one smoother tick."""

    joint_id: int
    target: float
    current: float
    sent: float
    step_size: float | None = None
    dirty: int = 1


class WebRequest(Struct, kw_only=True):
    """One request to the application's web server; response_ms: until its answer began."""

    endpoint: str
    method: str = "POST"
    params_json: str | None = None
    response_ms: float | None = None
    status_code: int | None = None
    correlation_id: str | None = None
    ok: int | None = None


class Camera(Struct, kw_only=True):
    """A camera's health."""

    camera_id: str
    actual_fps: float | None = None
    target_fps: float | None = None
    drop_count: int | None = None
    motion_score: float | None = None
    connected: int | None = None
    resolution_w: int | None = None
    resolution_h: int | None = None
    stalled: int | None = None


class Event(Struct, kw_only=True):
    """Something that happened; level: info, warning, error."""

    event_type: str
    source: str
    detail: str | None = None
    data_json: str | None = None
    correlation_id: str | None = None
    level: str = "info"


Body = ArmCommand | ArmFeedback | Smoother | WebRequest | Camera | Event


class Kind(NamedTuple):
    name: str
    topic: bytes
    table: str


KINDS: dict[type, Kind] = {
    ArmCommand: Kind("arm_command", b"arm/command/", "dds_commands"),
    ArmFeedback: Kind("arm_feedback", b"arm/feedback/", "dds_feedback"),
    Smoother: Kind("smoother", b"app/smoother/", "smoother_state"),
    WebRequest: Kind("web_request", b"app/web_request/", "web_requests"),
    Camera: Kind("camera", b"app/camera/", "camera_health"),
    Event: Kind("event", b"app/event/", "system_events"),
}


class Head(Struct):
    """What every frame begins with; the same fields in the same order as rigbus's."""

    k: str
    v: int
    node: str
    src: str
    run: str
    seq: int
    tseq: int
    t: int
    mono: int


encode = msgspec.msgpack.Encoder().encode
_HEAD_FIELDS = len(Head.__struct_fields__)
_FIXMAP, _MAP16 = 0x80, b"\xde"  # MessagePack: a map of up to 15 pairs, and of up to 65,535


def join(head: Head, body: bytes) -> bytes:
    """One map out of two: the head's pairs, then those of an encoded body (at most 15)."""
    pairs = _HEAD_FIELDS + (body[0] & 0x0F)
    size = bytes([_FIXMAP | pairs]) if pairs < 16 else _MAP16 + pairs.to_bytes(2, "big")
    return size + encode(head)[1:] + body[1:]
