"""From a logged struct to its row and back to an event. The rows are those that rigbus's store would write."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from .events import STATUS, EventType, TelemetryEvent
from .frames import KINDS, ArmCommand, ArmFeedback, Body, Camera, Event, Smoother, WebRequest

Row = tuple[Any, ...]
_ACK_ADDRESS = 3
ACK_FUNCODE = 100  # acks count their function codes from 1 too: moved away, so that funcode = 1 finds angles only

_ARM = "data_json, correlation_id, raw_len, address"
COLUMNS = {
    "dds_commands": f"ts, ts_mono, seq, funcode, joint_id, target_value, {_ARM}",
    "dds_feedback": "ts, ts_mono, seq, funcode, angle0, angle1, angle2, angle3, angle4, angle5, angle6, "
    f"{', '.join(STATUS)}, arm_funcode, {_ARM}",
    "smoother_state": "ts, joint_id, target, current, sent, step_size, dirty",
    "web_requests": "ts, endpoint, method, params_json, response_ms, status_code, correlation_id, ok",
    "camera_health": "ts, camera_id, actual_fps, target_fps, drop_count, motion_score, connected, resolution_w, "
    "resolution_h, stalled",
    "system_events": "ts, event_type, source, detail, data_json, correlation_id, level",
}
INSERT = {
    table: f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(columns.split(',')))})"
    for table, columns in COLUMNS.items()
}


def row_of(body: Body, t_ns: int, mono_ns: int) -> tuple[str, Row]:
    """The table of a struct and its row there, in the order of COLUMNS. t_ns: wall time; mono_ns: CLOCK_BOOTTIME."""
    table = KINDS[type(body)].table
    if isinstance(body, ArmCommand | ArmFeedback):
        return table, (t_ns / 1e9, mono_ns / 1e9, *_arm(body))
    return table, (t_ns / 1e9, *[getattr(body, name) for name in body.__struct_fields__])


def _arm(body: ArmCommand | ArmFeedback) -> Sequence[Any]:
    data = None if body.data is None else msgspec.json.encode(body.data).decode()
    tail = (data, body.correlation_id, body.raw_len, body.address)
    if isinstance(body, ArmCommand):
        own: tuple[Any, ...] = (body.arm_seq, body.funcode, body.joint_id, body.target_value)
    else:
        angles: list[float | None] = [] if body.angles is UNSET else body.angles[:7]
        angles = angles + [None] * (7 - len(angles))
        told = {} if body.status is UNSET else body.status
        status = [value if isinstance(value := told.get(name), int | float) else None for name in STATUS]
        funcode = body.funcode + ACK_FUNCODE if body.address == _ACK_ADDRESS else body.funcode
        own = (body.arm_seq, funcode, *angles, *status, body.funcode)
    return [None if value is UNSET else value for value in (*own, *tail)]


def event_of(body: Body, t_ns: int, mono_ns: int) -> TelemetryEvent:
    """A struct as the event that the seed's debug pages show."""
    table, row = row_of(body, t_ns, mono_ns)
    return event_of_row(table, dict(zip(COLUMNS[table].split(", "), row, strict=True)), (mono_ns - t_ns) / 1e6)


def event_of_row(table: str, row: dict[str, Any], offset_ms: float) -> TelemetryEvent:
    """A row (by column) as an event. offset_ms: CLOCK_BOOTTIME − wall time: one time scale for all tables."""
    source, kind, payload = _EVENTS[table](row)
    wall_ms = row["ts"] * 1000
    return TelemetryEvent(wall_ms + offset_ms, wall_ms, source, kind, payload, row.get("correlation_id"))


def _loaded(value: str | None) -> Any:
    try:
        return None if value is None else msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def _command(row: dict[str, Any]) -> tuple[str, EventType, dict[str, Any]]:
    names = ("seq", "funcode", "joint_id", "target_value", "raw_len")
    return "dds", EventType.DDS_PUBLISH, {**{n: row[n] for n in names}, "data": _loaded(row["data_json"])}


def _feedback(row: dict[str, Any]) -> tuple[str, EventType, dict[str, Any]]:
    angles = {f"angle{n}": row[f"angle{n}"] for n in range(7) if row[f"angle{n}"] is not None}
    status = {name: row[name] for name in STATUS if row[name] is not None}
    head = {"seq": row["seq"], "funcode": row["funcode"]}
    return "dds", EventType.DDS_RECEIVE, {**head, "angles": angles or None, "status": status or None}


def _smoother(row: dict[str, Any]) -> tuple[str, EventType, dict[str, Any]]:
    return "smoother", EventType.STATE_UPDATE, {n: row[n] for n in Smoother.__struct_fields__}


def _web(row: dict[str, Any]) -> tuple[str, EventType, dict[str, Any]]:
    names = ("endpoint", "method", "response_ms", "status_code")
    ok = None if row["ok"] is None else bool(row["ok"])
    return "web", EventType.CMD_SENT, {**{n: row[n] for n in names}, "ok": ok, "params": _loaded(row["params_json"])}


def _camera(row: dict[str, Any]) -> tuple[str, EventType, dict[str, Any]]:
    return "camera", EventType.CAM_FRAME, {n: row[n] for n in Camera.__struct_fields__}


def _event(row: dict[str, Any]) -> tuple[str, EventType, dict[str, Any]]:
    """What was emitted comes back with its type and payload; of log_system_event() the level decides."""
    data = _loaded(row["data_json"])
    try:
        kind = EventType(row["event_type"])
    except ValueError:
        kind = EventType.ERROR if row["level"] == "error" else EventType.STATE_UPDATE
        payload = {"system_event_type": row["event_type"], "detail": row["detail"], "data": data, "level": row["level"]}
        return row["source"], kind, payload
    return row["source"], kind, data if isinstance(data, dict) else {}


_EVENTS: dict[str, Callable[[dict[str, Any]], tuple[str, EventType, dict[str, Any]]]] = {
    KINDS[ArmCommand].table: _command,
    KINDS[ArmFeedback].table: _feedback,
    KINDS[Smoother].table: _smoother,
    KINDS[WebRequest].table: _web,
    KINDS[Camera].table: _camera,
    KINDS[Event].table: _event,
}
