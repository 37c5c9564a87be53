"""The seed's routing table: which table an emitted event belongs to. Pure; nothing raises."""

from collections.abc import Mapping
from typing import Any

from . import bodies
from .events import ANGLES, STATUS, EventType
from .frames import Body

_COMMAND = ("seq", "funcode", "joint_id", "target_value", "data", "raw_len", "address")
_FEEDBACK = ("seq", "funcode", "angles", "status", "data", "raw_len", "address")
_REQUEST = ("endpoint", "method", "params", "response_ms", "status_code", "ok")


def route(source: str, kind: EventType, p: Mapping[str, Any], correlation_id: str | None) -> Body | None:
    """The struct of an emitted event with payload p; None for WS_SEND, which is not stored.

    Keys of the payload that have no column of their own are kept as data (or params).
    """
    if kind is EventType.WS_SEND:
        return None
    arm = (p.get("seq"), p.get("funcode", 0))
    if kind is EventType.DDS_PUBLISH:
        data = _rest(p, "data", _COMMAND)
        inner = data if isinstance(data, Mapping) else {}
        target = (p.get("joint_id", inner.get("id")), p.get("target_value", inner.get("angle")))
        return bodies.command(*arm, *target, data, correlation_id, p.get("raw_len", 0), p.get("address"))
    if kind is EventType.DDS_RECEIVE:
        # angles and status stand under their names, or in `data` as the arm sent them
        data = _rest(p, "data", _FEEDBACK)
        inner = data if isinstance(data, Mapping) else {}
        angles = p.get("angles", inner if any(name in inner for name in ANGLES) else None)
        status = p.get("status", inner if any(name in inner for name in STATUS) else None)
        return bodies.feedback(*arm, angles, status, data, correlation_id, p.get("raw_len", 0), p.get("address"))
    if kind is EventType.CMD_SENT:
        head = (p.get("endpoint", ""), p.get("method", "POST"), _rest(p, "params", _REQUEST))
        return bodies.web_request(*head, p.get("response_ms"), p.get("status_code"), p.get("ok"), correlation_id)
    if kind is EventType.CAM_FRAME:
        return bodies.camera(p.get("camera_id", ""), p)
    level = "error" if kind is EventType.ERROR else "info"
    return bodies.event(kind.value, source, p.get("detail", ""), p or None, correlation_id, level)


def _rest(payload: Mapping[str, Any], name: str, known: tuple[str, ...]) -> Any:
    """What an event says under `name`; else whatever it holds that is known by no name."""
    if name in payload:
        return payload[name]
    return {key: value for key, value in payload.items() if key not in known} or None
