"""From the arguments of the seed's `log_*` methods to the struct that is stored or sent. Pure; nothing raises."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from .events import angle_list
from .frames import ArmCommand, ArmFeedback, Body, Camera, Event, Smoother, WebRequest
from .values import json_or_none, number, plain, text, text_or_none, whole


def _known(value: Any) -> Any:
    return UNSET if value is None else value


def command(
    seq: Any, funcode: Any, joint_id: Any, target_value: Any, data: Any, correlation_id: Any, raw_len: Any, address: Any
) -> Body:
    return ArmCommand(
        funcode=whole(funcode) or 0,
        data=plain(data),
        address=_known(whole(address)),
        arm_seq=_known(whole(seq)),
        joint_id=_known(whole(joint_id)),
        target_value=_known(number(target_value)),
        correlation_id=_known(text_or_none(correlation_id)),
        raw_len=max(0, whole(raw_len) or 0),
    )


def feedback(
    seq: Any, funcode: Any, angles: Any, status: Any, data: Any, correlation_id: Any, raw_len: Any, address: Any
) -> Body:
    """Angles that are missing stay missing: a wrong zero would be a position."""
    listed = plain(angle_list(angles))
    told = plain(status)
    return ArmFeedback(
        funcode=whole(funcode) or 0,
        data=plain(data),
        address=_known(whole(address)),
        arm_seq=_known(whole(seq)),
        angles=[number(x) for x in listed] if isinstance(listed, list) else UNSET,
        status={k: v if v is None else _flag(v) for k, v in told.items()} if isinstance(told, dict) else UNSET,
        correlation_id=_known(text_or_none(correlation_id)),
        raw_len=max(0, whole(raw_len) or 0),
    )


def _flag(value: Any) -> Any:
    """A status is a number in its column; what is none stays as it is, for the reader of the frame."""
    return value if whole(value) is None or isinstance(value, str) else whole(value)


def smoother(state: Any) -> Body:
    """One joint's state; where it lacks what its table requires, the event that says so."""
    fields = state if isinstance(state, Mapping) else {}
    joint = whole(fields.get("joint_id"))
    target, current, sent = (number(fields.get(name)) for name in ("target", "current", "sent"))
    if joint is None or target is None or current is None or sent is None:
        return event("smoother_incomplete", "telemetry", "a smoother state lacks a number", state, None, "warning")
    dirty = whole(fields.get("dirty", 1))
    return Smoother(
        joint_id=joint,
        target=target,
        current=current,
        sent=sent,
        step_size=number(fields.get("step_size")),
        dirty=1 if dirty is None else dirty,
    )


def web_request(
    endpoint: Any, method: Any, params: Any, response_ms: Any, status_code: Any, ok: Any, correlation_id: Any
) -> Body:
    return WebRequest(
        endpoint=text(endpoint),
        method=text(method),
        params_json=json_or_none(params),
        response_ms=number(response_ms),
        status_code=whole(status_code),
        correlation_id=text_or_none(correlation_id),
        ok=None if ok is None else int(bool(ok)),
    )


def camera(camera_id: Any, stats: Any) -> Body:
    """stats: the keys of the table, or `resolution` as (width, height)."""
    s = stats if isinstance(stats, Mapping) else {}
    size = s.get("resolution")
    width, height = size if isinstance(size, tuple | list) and len(size) == 2 else (None, None)
    return Camera(
        camera_id=text(camera_id),
        actual_fps=number(s.get("actual_fps")),
        target_fps=number(s.get("target_fps")),
        drop_count=whole(s.get("drop_count")),
        motion_score=number(s.get("motion_score")),
        connected=whole(s.get("connected")),
        resolution_w=whole(s.get("resolution_w", width)),
        resolution_h=whole(s.get("resolution_h", height)),
        stalled=whole(s.get("stalled")),
    )


def event(event_type: Any, source: Any, detail: Any, data: Any, correlation_id: Any, level: Any) -> Body:
    return Event(
        event_type=text(event_type),
        source=text(source),
        detail=text_or_none(detail),
        data_json=json_or_none(data),
        correlation_id=text_or_none(correlation_id),
        level=text(level),
    )
