"""th3cl4w's debug questions, asked of the rig's record: its events, one correlation, and the figures of it all."""

import time
from pathlib import Path
from typing import Any

from common.gateway import tables
from common.gateway.thermostat import finite
from common.telemetry.events import EventType, TelemetryEvent
from common.telemetry.queries import RATE_WINDOW_S, stages_of
from common.telemetry.rows import COLUMNS, event_of_row

Map = dict[str, Any]
_EVENTS, _SMOOTHER = "system_events", "smoother_state"
_TYPES = {
    "dds_commands": EventType.DDS_PUBLISH,
    "dds_feedback": EventType.DDS_RECEIVE,
    _SMOOTHER: EventType.STATE_UPDATE,
    "web_requests": EventType.CMD_SENT,
    "camera_health": EventType.CAM_FRAME,
}
_SOURCES = {
    "dds_commands": "dds",
    "dds_feedback": "dds",
    _SMOOTHER: "smoother",
    "web_requests": "web",
    "camera_health": "camera",
}
_NAMED = ", ".join(f"'{kind.value}'" for kind in EventType)
_WITH_ID = [table for table in COLUMNS if "correlation_id" in COLUMNS[table]]
_ACTIVE_S = 60.0
_MOST_STAGES = 1000
_COMMANDED = "SELECT min(ts) AS first, max(ts) AS last FROM dds_commands WHERE correlation_id = :cid"
_ROWS = "SELECT coalesce((SELECT max(id) FROM {table}) - (SELECT min(id) FROM {table}) + 1, 0) AS n"
_AROUND_S = 600.0  # what belongs to a command came so long before or after it
_NEWEST = 100_000  # rows of a table that are looked through where there is no command


def events(path: Path, limit: int, kind: EventType | None, source: str | None) -> list[Map]:
    """The newest, oldest first, as the seed's page has them; smoother rows only for source "smoother"."""
    found: list[TelemetryEvent] = []
    offset = _offset_ms()
    for table in COLUMNS:
        where, values = "", list[Any]()
        if table == _EVENTS:
            where, values = _of_events(kind, source)
        elif kind not in (None, _TYPES[table]) or not _is_wanted(table, source):
            continue
        sql = f"SELECT {COLUMNS[table]} FROM {table} {where} ORDER BY ts DESC, id DESC LIMIT ?"
        found += [event_of_row(table, row, offset) for row in tables.ask(path, sql, [*values, limit])]
    found.sort(key=lambda event: event.wall_time_ms)
    return [_shown(event) for event in found[-limit:]]


def _is_wanted(table: str, source: str | None) -> bool:
    return source == _SOURCES[table] or (source is None and table != _SMOOTHER)


def _of_events(kind: EventType | None, source: str | None) -> tuple[str, list[Any]]:
    """As `event_of_row` sees it: a type that is none of the seed's is an error or a state, by its level."""
    parts, values = ["1"], list[Any]()
    if source is not None:
        parts.append("source = ?")
        values.append(source)
    if kind is not None:
        other = {EventType.ERROR: "level = 'error'", EventType.STATE_UPDATE: "level IS NOT 'error'"}.get(kind, "0")
        parts.append(f"(event_type = ? OR (event_type NOT IN ({_NAMED}) AND {other}))")
        values.append(kind.value)
    return f"WHERE {' AND '.join(parts)}", values


def pipeline(path: Path, correlation_id: str) -> list[Map]:
    """The events of one correlation, oldest first: {event: {ts, type, source}, latency_ms since the one before}."""
    found, offset = list[TelemetryEvent](), _offset_ms()
    around, values = "id > (SELECT coalesce(max(id), 0) FROM {table}) - :newest", {"newest": _NEWEST}
    [command] = tables.ask(path, _COMMANDED, {"cid": correlation_id})  # its table alone has an index of ids
    if command["first"] is not None:
        around = "ts >= :first AND ts <= :last"
        values = {"first": command["first"] - _AROUND_S, "last": command["last"] + _AROUND_S}
    for table in _WITH_ID:
        within = "true" if table == "dds_commands" else around.format(table=table)
        where = f"correlation_id = :cid AND {within} ORDER BY id DESC LIMIT :most"
        sql = f"SELECT {COLUMNS[table]} FROM {table} WHERE {where}"
        rows = tables.ask(path, sql, {**values, "cid": correlation_id, "most": _MOST_STAGES})
        found += [event_of_row(table, row, offset) for row in rows]
    found.sort(key=lambda event: event.wall_time_ms)
    stages: list[Map] = finite(stages_of(found))
    return stages


def stats(path: Path) -> Map:
    """The seed's keys. total_events: rows that are still there, by their ids; the account has all there ever were."""
    now = time.time()
    counted = [table for table in COLUMNS if table != _SMOOTHER]
    totals = [_one(path, _ROWS.format(table=table)) for table in counted]
    newest = [ts for table in counted if (ts := _one(path, f"SELECT max(ts) AS n FROM {table}")) is not None]
    union = " UNION ALL ".join(f"SELECT correlation_id AS cid, ts FROM {t} WHERE ts > :since" for t in _WITH_ID)
    spans = tables.ask(
        path,
        f"SELECT count(*) AS ids, avg(CASE WHEN n > 1 THEN span END) AS mean FROM (SELECT max(ts) - min(ts) AS span, "
        f"count(*) AS n FROM ({union}) WHERE cid IS NOT NULL GROUP BY cid)",
        {"since": now - _ACTIVE_S},
    )[0]
    return {
        "total_events": sum(totals),
        "rates_per_sec": _rates(path, now - RATE_WINDOW_S),
        "staleness_ms": max(0.0, (now - max(newest)) * 1000) if newest else None,
        "avg_pipeline_latency_ms": (spans["mean"] or 0.0) * 1000,
        "active_correlations": spans["ids"],
        "mode": "rig",
    }


def _rates(path: Path, since: float) -> dict[str, float]:
    counts = dict.fromkeys((kind.value for kind in EventType), 0)
    for table, kind in _TYPES.items():
        if table != _SMOOTHER:
            counts[kind.value] += _one(path, f"SELECT count(*) AS n FROM {table} WHERE ts > ?", since)
    sql = (
        f"SELECT iif(event_type IN ({_NAMED}), event_type, iif(level = 'error', 'error', 'state_update')) AS kind, "
        "count(*) AS n FROM system_events WHERE ts > ? GROUP BY kind"
    )
    for row in tables.ask(path, sql, [since]):
        counts[row["kind"]] += row["n"]
    return {kind: n / RATE_WINDOW_S for kind, n in counts.items()}


def _one(path: Path, sql: str, *values: Any) -> Any:
    return tables.ask(path, sql, values)[0]["n"]


def _shown(event: TelemetryEvent) -> Map:
    shown: Map = finite({
        "timestamp_ms": event.timestamp_ms, "wall_time_ms": event.wall_time_ms, "source": event.source,
        "event_type": event.event_type.value, "payload": event.payload, "correlation_id": event.correlation_id,
    })  # fmt: skip
    return shown


def _offset_ms() -> float:
    return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.time_ns()) / 1e6
