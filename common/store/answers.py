"""What each verb of `rigbus query` answers: columns and rows for people, a document for programs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from common.store.asked import Asked
from common.store.query import TelemetryQuery
from common.telemetry.query import Row

_ANGLES = tuple(f"angle{n}" for n in range(7))
_LATENCIES = ("mean_ms", "p50_ms", "p95_ms", "p99_ms")


class Answer(NamedTuple):
    """columns and rows: a table; document: what JSON shows. note: a line for people; warning: for everybody."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    document: Any
    note: str = ""
    warning: str = ""


def iso(t_ns: int) -> str:
    """UTC to the millisecond; as it is read back by `from` and `to`."""
    seconds, ns = divmod(t_ns, 10**9)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns // 10**6:03d}Z"
    except (OverflowError, ValueError):
        return str(t_ns)


def iso_s(ts: float) -> str:
    return iso(round(ts * 1e6) * 1000) if abs(ts) < 1e13 else str(ts)


def _table(columns: Sequence[str], rows: Iterable[Row]) -> Answer:
    """Rows that have ts or t_ns, with `time` before it; of each the columns that are named."""
    found = [{"time": iso_s(row["ts"]) if "ts" in row else iso(row["t_ns"]), **row} for row in rows]
    cells = [[row[name] for name in columns] for row in found]
    return Answer(columns, cells, [dict(zip(columns, row, strict=True)) for row in cells])


# ---- the six tables

_COMMANDS = ("seq", "funcode", "joint_id", "target_value", "data_json", "correlation_id", "raw_len")
_REQUESTS = ("endpoint", "method", "params_json", "response_ms", "status_code", "correlation_id", "ok")
_CAMERAS = (
    *("camera_id", "actual_fps", "target_fps", "drop_count", "motion_score", "connected", "resolution_w"),
    *("resolution_h", "stalled"),
)
_EVENTS = ("id", "level", "event_type", "source", "detail", "data_json", "correlation_id")
EVENT_COLUMNS = ("time", "ts", *_EVENTS)


def summary(query: TelemetryQuery, asked: Asked) -> Answer:
    found = query.get_session_summary()
    told = [(name, iso_s(v) if name.endswith("_ts") and v is not None else v) for name, v in found.items()]
    return Answer(("what", "value"), told, found)


def commands(query: TelemetryQuery, asked: Asked) -> Answer:
    rows = query.get_commands(asked.span_s, asked.whole("funcode"), asked.limit)
    return _table(("time", "ts", *_COMMANDS), rows)


def joints(query: TelemetryQuery, asked: Asked) -> Answer:
    joint = asked.whole("joint")
    if joint is None:
        return _table(("time", "ts", *_ANGLES), query.get_all_joints_snapshot(asked.span_s, asked.limit))
    return _table(("time", "ts", "angle"), query.get_joint_history(joint, asked.span_s, asked.limit))


def gripper(query: TelemetryQuery, asked: Asked) -> Answer:
    return _table(("time", "ts", "position", "source"), query.get_gripper_log(asked.span_s, asked.limit))


def tracking(query: TelemetryQuery, asked: Asked) -> Answer:
    """Without a joint: one row a joint."""
    joint, delay_s = asked.whole("joint"), asked.number("delay", positive=False)
    delay_s = 0.2 if delay_s is None else delay_s
    if joint is not None:
        found = query.get_tracking_error(joint, asked.span_s, delay_s)
        table = _table(("time", "ts", "target", "actual", "error"), found["errors"])
        note = f"joint {joint}: {_told(found)}"
        return table._replace(document={**found, "errors": table.document}, note=note)
    names = ("samples", "mean_error_deg", "max_error_deg")
    told = []
    for n in range(7):  # one after the other: each holds all its errors
        found = query.get_tracking_error(n, asked.span_s, delay_s)
        told.append({"joint": n, **{name: found[name] for name in names}})
    return Answer(("joint", *names), [list(row.values()) for row in told], told)


def _told(found: Row) -> str:
    if not found["samples"]:
        return "no command with an angle to hold it against"
    return f"{found['samples']} samples, mean {found['mean_error_deg']:.3g}, max {found['max_error_deg']:.3g} degrees"


def smoother(query: TelemetryQuery, asked: Asked) -> Answer:
    """Without a joint: all of them, by time."""
    rows = query.get_smoother(asked.whole("joint"), asked.span_s, asked.limit)
    return _table(("time", "ts", "joint_id", "target", "current", "sent", "step_size"), rows)


def requests(query: TelemetryQuery, asked: Asked) -> Answer:
    rows = query.get_web_requests(asked.span_s, asked.text("endpoint"), asked.limit)
    return _table(("time", "ts", *_REQUESTS), rows)


def latency(query: TelemetryQuery, asked: Asked) -> Answer:
    found = query.get_web_latency_stats(asked.span_s)
    of_each: Mapping[str, Row] = found["by_endpoint"]
    count = sum(row["count"] for row in of_each.values())
    rows = [[name, row["count"], *[row[key] for key in _LATENCIES]] for name, row in of_each.items()]
    rows.append(["all", count, *[found[key] for key in _LATENCIES]])
    return Answer(("endpoint", "count", *_LATENCIES), rows, found)


def cameras(query: TelemetryQuery, asked: Asked) -> Answer:
    rows = query.get_camera_health(asked.text("cam"), asked.span_s, asked.limit)
    return _table(("time", "ts", *_CAMERAS), rows)


def events(query: TelemetryQuery, asked: Asked) -> Answer:
    where = (asked.text("type"), asked.text("source"), asked.text("level"))
    return _table(EVENT_COLUMNS, query.get_events(*where, asked.span_s, asked.limit))


def rate(query: TelemetryQuery, asked: Asked) -> Answer:
    window_s = asked.number("window") or 10.0
    commands, feedback = query.get_command_rate(window_s), query.get_feedback_rate(window_s)
    rows: list[Sequence[Any]] = []
    for what, found in (("commands", commands), ("feedback", feedback)):
        rows.append((what, "all", found["rate_hz"]))
        rows += [(what, funcode, hz) for funcode, hz in found["by_funcode"].items()]
    document = {"window_s": window_s, "commands": commands, "feedback": feedback}
    return Answer(("what", "funcode", "rate_hz"), rows, document)


# ---- the rig's own tables


def pulses(query: TelemetryQuery, asked: Asked) -> Answer:
    rows = query.get_pulses(asked.text("channel"), asked.span, asked.limit)
    return _table(("time", "t_ns", "channel", "total"), rows)


def power(query: TelemetryQuery, asked: Asked) -> Answer:
    given = asked.number("imp-per-kwh")
    meters = asked.imp_per_kwh if given is None else _Every(given)
    rows = query.get_power(meters, asked.text("channel"), asked.span, asked.limit)
    unknown = sorted({row["channel"] for row in rows if meters.get(row["channel"]) is None})
    warning = f"{', '.join(unknown)}: not in the configuration; its power needs --imp-per-kwh" if unknown else ""
    return _table(("time", "t_ns", "channel", "total", "watts", "kwh"), rows)._replace(warning=warning)


class _Every(dict[str, float]):
    """One number for whichever channel."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def get(self, channel: str, default: Any = None) -> Any:
        return self._value


def samples(query: TelemetryQuery, asked: Asked) -> Answer:
    columns = asked.whole("columns")
    found = query.get_samples(asked.text("sensor"), asked.span, asked.limit, columns)
    axes, unit, times = found["axes"], found["unit"], found["t_ns"].tolist()
    if columns is None:
        names, values = list(axes), found["values"].tolist()
    else:
        names = [f"{axis}_{edge}" for axis in axes for edge in ("min", "max")]
        pairs = zip(found["min"].tolist(), found["max"].tolist(), strict=True)
        edges = [[value for pair in zip(low, high, strict=True) for value in pair] for low, high in pairs]
        names, values = ["n", *names], [[n, *row] for n, row in zip(found["n"].tolist(), edges, strict=True)]
    rows = [(iso(t), t, *v) for t, v in zip(times, values, strict=True)]
    keys = ["time", "t_ns", *names]
    told = [dict(zip(keys, row, strict=True)) for row in rows]
    head = {"sensor": found["sensor"], "unit": unit, "axes": axes}
    document = {**head, "samples" if columns is None else "columns": told}
    shown = [name if name in ("time", "t_ns", "n") else f"{name} [{unit}]" for name in keys]
    return Answer(shown, rows, document)


def thermostat(query: TelemetryQuery, asked: Asked) -> Answer:
    rows = query.get_thermostat(asked.text("device"), asked.whole("channel"), asked.span, asked.limit)
    return _table(("time", *query.THERMOSTAT_COLUMNS), rows)


def pumps(query: TelemetryQuery, asked: Asked) -> Answer:
    return _table(("time", *query.PUMP_COLUMNS), query.get_pumps(asked.text("pump"), asked.span, asked.limit))


def rollups(query: TelemetryQuery, asked: Asked) -> Answer:
    window_s = asked.whole("window")
    rows = query.get_rollups(60 if window_s is None else window_s, asked.text("series"), asked.span, asked.limit)
    names = ("window_s", "series", "n", "sum", "min", "max", "last", "last_t_ns", "watts")
    return _table(("time", "t_ns", *names), rows)


def ledger(query: TelemetryQuery, asked: Asked) -> Answer:
    rows = query.get_ledger(asked.span, asked.limit)
    columns = ["time", "t_ns", "src", "run", "stream", "unit", "count", "cause", "from_seq", "to_seq", "detail"]
    told = [{**row, "time": iso(row["t_ns"])} for row in rows]
    for_people = [{**row, "count": "unknown" if row["count"] is None else row["count"]} for row in told]
    return Answer(columns, [[row[name] for name in columns] for row in for_people], told)


def happened(query: TelemetryQuery, asked: Asked) -> Answer:
    rows = query.get_happened(asked.span, asked.limit)
    return _table(("time", "t_ns", "table", "what", "source", "detail"), rows)


def health(query: TelemetryQuery, asked: Asked) -> Answer:
    return _table(("time", *query.HEALTH_COLUMNS), query.get_health(asked.text("src"), asked.span, asked.limit))


def dbstats(query: TelemetryQuery, asked: Asked) -> Answer:
    stats = query.stats()
    sizes = {"bytes": stats.bytes, "free_bytes": stats.free_bytes, "wal_bytes": stats.wal_bytes}
    return Answer(
        ("table", "rows"),
        [*stats.tables.items(), *sizes.items()],
        {"path": query.path, "tables": stats.tables, **sizes},
    )
