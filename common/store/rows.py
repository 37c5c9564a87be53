"""From a frame to its rows: which table, which columns. Pure; what cannot be a row raises and is set aside as poison.

Samples are not here: they become chunks (assemble.py). NaN becomes NULL in SQLite: unknown, either way.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from common import frames
from common.frames import Frame
from common.store.assemble import COLUMNS as CHUNK_COLUMNS

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]

# A thermostat's fields, in the order that the seed's files have them.
THERMOSTAT_FIELDS = (
    *("temperature", "i_tec", "pid_output", "adc", "sens", "i_set", "dac_value", "dac_feedback", "tec_i"),
    *("tec_u_meas", "pid_engaged", "current_swapped", "interval"),
)
_READING = ("channel", *THERMOSTAT_FIELDS)
_STATUS = ("power_status", "enable_status", "error_status", "recv_status", "exec_status")
_ACK_ADDRESS = 3
_ACK_FUNCODE = 100  # acks count their function codes from 1 too: moved away, so that funcode = 1 finds angles only

COLUMNS = {
    "pulses": "t_ns, channel, total, stream_id, frame_seq",
    "sample_chunks": f"{CHUNK_COLUMNS}, stream_id",
    "thermostat_readings": f"t_ns, device, {', '.join(_READING)}, device_time_s, dialect, extra_json, "
    "stream_id, frame_seq",
    "pump_events": "t_ns, pump, event, action, direction, ml, seconds, hz, steps, command_id, reason, "
    "stream_id, frame_seq",
    "dds_commands": "ts, ts_mono, seq, funcode, joint_id, target_value, data_json, correlation_id, raw_len, address, "
    "stream_id, frame_seq",
    "dds_feedback": "ts, ts_mono, seq, funcode, angle0, angle1, angle2, angle3, angle4, angle5, angle6, "
    f"{', '.join(_STATUS)}, address, arm_funcode, data_json, correlation_id, raw_len, stream_id, frame_seq",
    "smoother_state": "ts, joint_id, target, current, sent, step_size, dirty, stream_id, frame_seq",
    "web_requests": "ts, endpoint, method, params_json, response_ms, status_code, correlation_id, ok, "
    "stream_id, frame_seq",
    "camera_health": "ts, camera_id, actual_fps, target_fps, drop_count, motion_score, connected, resolution_w, "
    "resolution_h, stalled, stream_id, frame_seq",
    "system_events": "ts, event_type, source, detail, data_json, correlation_id, level, stream_id, frame_seq",
    "health": "t_ns, last_seq, closed, pid, cpu_pct, rss_bytes, rates_json, lateness_p50_us, lateness_p99_us, "
    "lateness_p999_us, lateness_max_us, missed_ticks, journal_frames, journal_bytes, journal_oldest, status, "
    "stream_id, frame_seq",
    "ledger": "t_ns, stream_id, stream, unit, count, cause, from_seq, to_seq, from_t_ns, to_t_ns, detail, frame_seq",
    "clock_steps": "t_ns, boot_id, step_ns, detail",
    "quarantine": "output, table_name, row_id, reason, line, t_ns",
}
INSERT = {
    table: f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(columns.split(',')))})"
    for table, columns in COLUMNS.items()
}


def rows_of(frame: Frame, stream_id: int) -> tuple[str, Sequence[Row]]:
    """The table of a frame's kind and its rows there, in the order of INSERT; none for a frame that leaves no row."""
    table, build = _BUILDERS[type(frame)]
    return table, build(frame, stream_id)


def _pulse(f: frames.Pulse, stream_id: int) -> Sequence[Row]:
    before = f.total - len(f.edges)
    return [(f.t + edge, f.channel, before + i, stream_id, f.seq) for i, edge in enumerate(f.edges, 1)]


def _thermostat(f: frames.Thermostat, stream_id: int) -> Sequence[Row]:
    return [_reading(f, dict(reading), stream_id) for reading in f.readings]


def _reading(f: frames.Thermostat, fields: dict[str, Any], stream_id: int) -> Row:
    values = [_take(fields, name) for name in (*_READING, "time")]
    extra = _json(fields) if fields else None
    return (f.t, f.device, *values, f.dialect, extra, stream_id, f.seq)


def _take(fields: dict[str, Any], name: str) -> float | None:
    """A number (or null) moves to its column; anything else stays behind, for extra_json."""
    value = fields.get(name)
    if value is not None and not isinstance(value, int | float):
        return None
    fields.pop(name, None)
    return value


def _pump(f: frames.Pump, stream_id: int) -> Sequence[Row]:
    known = [_known(value) for value in (f.ml, f.seconds, f.hz, f.steps)]
    return [(f.t, f.pump, f.event, f.action, f.direction, *known, f.command_id, _known(f.reason), stream_id, f.seq)]


def _arm_command(f: frames.ArmCommand, stream_id: int) -> Sequence[Row]:
    optional = (f.joint_id, f.target_value, _json(f.data), f.correlation_id, f.raw_len, f.address)
    row = (f.t / 1e9, f.mono / 1e9, _known(f.arm_seq), f.funcode, *map(_known, optional), stream_id, f.seq)
    return [row]


def _arm_feedback(f: frames.ArmFeedback, stream_id: int) -> Sequence[Row]:
    angles = [] if f.angles is UNSET else f.angles[:7]
    angles += [None] * (7 - len(angles))
    told = {} if f.status is UNSET else dict(f.status)
    status = [_take(told, name) for name in _STATUS]
    funcode = f.funcode + _ACK_FUNCODE if f.address == _ACK_ADDRESS else f.funcode
    rest = (f.address, f.funcode, _json(f.data), f.correlation_id, f.raw_len)
    row = (f.t / 1e9, f.mono / 1e9, _known(f.arm_seq), funcode, *angles, *status, *map(_known, rest), stream_id, f.seq)
    return [row]


def _plain(*names: str) -> Callable[[Any, int], Sequence[Row]]:
    """A table of the seed whose columns are the frame's fields, behind ts."""

    def build(f: Frame, stream_id: int) -> Sequence[Row]:
        return [(f.t / 1e9, *[getattr(f, name) for name in names], stream_id, f.seq)]

    return build


def _loss(f: frames.Loss, stream_id: int) -> Sequence[Row]:
    """Lost frames are told by the journal's own record (a Lost item), which is the one that counts."""
    if f.unit == "frame":
        return ()
    span = (_known(f.from_seq), _known(f.to_seq), f.from_t, f.to_t)
    return [(f.t, stream_id, f.stream, f.unit, f.count, f.cause, *span, f.detail, f.seq)]


def health_row(f: frames.Health, worst: frames.Lateness, stream_id: int) -> Row:
    """The row of `health`: the frame's values, with the worst lateness since the row before."""
    late = (worst.p50, worst.p99, worst.p999, worst.max)
    journal = (f.journal.frames, f.journal.bytes, f.journal.oldest)
    head = (f.t, f.last_seq, f.closed, f.pid, f.cpu_pct, f.rss_bytes, _json(f.rates))
    return (*head, *late, f.missed_ticks, *journal, f.status, stream_id, f.seq)


def _none(f: Frame, stream_id: int) -> Sequence[Row]:
    return ()


def _known(value: Any) -> Any:
    return None if value is UNSET else value


def _json(value: Any) -> str | None:
    """JSON text; NULL for nothing, as the seed has it."""
    if value is None:
        return None
    return msgspec.json.encode(value).decode()


_BUILDERS: dict[type[Frame], tuple[str, Callable[[Any, int], Sequence[Row]]]] = {
    frames.Pulse: ("pulses", _pulse),
    frames.Thermostat: ("thermostat_readings", _thermostat),
    frames.Pump: ("pump_events", _pump),
    frames.ArmCommand: ("dds_commands", _arm_command),
    frames.ArmFeedback: ("dds_feedback", _arm_feedback),
    frames.Smoother: (
        "smoother_state",
        _plain("joint_id", "target", "current", "sent", "step_size", "dirty"),
    ),
    frames.WebRequest: (
        "web_requests",
        _plain("endpoint", "method", "params_json", "response_ms", "status_code", "correlation_id", "ok"),
    ),
    frames.Camera: (
        "camera_health",
        _plain(
            *("camera_id", "actual_fps", "target_fps", "drop_count", "motion_score", "connected"),
            *("resolution_w", "resolution_h", "stalled"),
        ),
    ),
    frames.Event: (
        "system_events",
        _plain("event_type", "source", "detail", "data_json", "correlation_id", "level"),
    ),
    frames.Loss: ("ledger", _loss),
    frames.Health: ("health", _none),  # live only: a numbered one would be a mistake of its publisher
}
