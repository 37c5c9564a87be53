"""The seed's debug questions, asked of a file (stand-alone) or of the newest events in memory (on a bus)."""

import sqlite3
import threading
import time
from collections import deque
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from .events import EventType, TelemetryEvent
from .frames import KINDS, Body, Smoother
from .rows import COLUMNS, event_of, event_of_row
from .schema import NAMES

RATE_WINDOW_S = 10.0
_PIPELINE_WINDOW_S = 60.0  # correlations that began no longer ago count as active
_RECENT = 1000  # events kept in memory, as in the seed's first module
_SMOOTHER = KINDS[Smoother].table
NOTHING_KNOWN = {
    "total_events": None,
    "staleness_ms": None,
    "avg_pipeline_latency_ms": 0.0,
    "active_correlations": 0,
}
_WITH_ID = tuple(table for table in NAMES if "correlation_id" in COLUMNS[table])


class Answers(Protocol):
    def events(self, limit: int, event_type: EventType | None, source: str | None) -> list[TelemetryEvent]: ...
    def pipeline(self, correlation_id: str) -> list[TelemetryEvent]: ...
    def totals(self) -> dict[str, Any]: ...


class FileAnswers:
    """From the six tables, with a read-only connection a question. Smoother rows only where source is 'smoother'."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _connect(self) -> sqlite3.Connection:
        conn = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0)
        conn.row_factory = sqlite3.Row
        return conn

    def events(self, limit: int, event_type: EventType | None, source: str | None) -> list[TelemetryEvent]:
        """The newest, oldest first. Raises sqlite3.Error."""
        found: list[TelemetryEvent] = []
        with closing(self._connect()) as conn:
            for table in NAMES:
                if table != _SMOOTHER or source == "smoother":
                    found += self._newest(conn, table, limit, event_type, source)
        return _oldest_first(found)[-limit:] if limit > 0 else []

    def _newest(
        self, conn: sqlite3.Connection, table: str, limit: int, kind: EventType | None, source: str | None
    ) -> list[TelemetryEvent]:
        """Of one table. A row tells its type and source only as an event, so it is read until enough match."""
        out: list[TelemetryEvent] = []
        offset = _offset_ms()
        for row in conn.execute(f"SELECT {COLUMNS[table]} FROM {table} ORDER BY ts DESC, id DESC"):
            event = event_of_row(table, dict(row), offset)
            if (kind is None or event.event_type is kind) and (source is None or event.source == source):
                out.append(event)
                if len(out) >= limit:
                    break
            elif table != NAMES[-1]:
                # every other table has one type and one source
                break
        return out

    def pipeline(self, correlation_id: str) -> list[TelemetryEvent]:
        """All events of a correlation, oldest first. Raises sqlite3.Error."""
        offset = _offset_ms()
        found = []
        with closing(self._connect()) as conn:
            for table in _WITH_ID:
                query = f"SELECT {COLUMNS[table]} FROM {table} WHERE correlation_id = ? ORDER BY id"
                rows = conn.execute(query, (correlation_id,))
                found += [event_of_row(table, dict(row), offset) for row in rows]
        return _oldest_first(found)

    def totals(self) -> dict[str, Any]:
        """total_events, staleness_ms, active_correlations and avg_pipeline_latency_ms. Raises sqlite3.Error."""
        now = time.time()
        union = " UNION ALL ".join(f"SELECT correlation_id AS cid, ts FROM {t} WHERE ts > :since" for t in _WITH_ID)
        spans = f"SELECT max(ts) - min(ts) AS span, count(*) AS n FROM ({union}) WHERE cid IS NOT NULL GROUP BY cid"
        with closing(self._connect()) as conn:
            total = sum(conn.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in NAMES if t != _SMOOTHER)
            newest = [conn.execute(f"SELECT max(ts) FROM {t}").fetchone()[0] for t in NAMES]
            found = conn.execute(spans, {"since": now - _PIPELINE_WINDOW_S}).fetchall()
        last = max((ts for ts in newest if ts is not None), default=None)
        return _totals(total, None if last is None else (now - last) * 1000, [(row[0], row[1]) for row in found])


class RecentAnswers:
    """From the newest events in memory: on a bus the account and the history are the rig's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[TelemetryEvent | tuple[Body, int, int]] = deque(maxlen=_RECENT)
        self._total = 0

    def add(self, event: TelemetryEvent | tuple[Body, int, int]) -> None:
        """An event, or (body, t_ns, mono_ns) of one that is made when somebody asks."""
        with self._lock:
            self._events.append(event)
            self._total += 1

    def _all(self) -> list[TelemetryEvent]:
        with self._lock:
            found = list(self._events)
        return [event if isinstance(event, TelemetryEvent) else event_of(*event) for event in found]

    def events(self, limit: int, event_type: EventType | None, source: str | None) -> list[TelemetryEvent]:
        found = [
            e
            for e in self._all()
            if (event_type is None or e.event_type is event_type) and (source is None or e.source == source)
        ]
        return found[-limit:] if limit > 0 else []

    def pipeline(self, correlation_id: str) -> list[TelemetryEvent]:
        return _oldest_first([e for e in self._all() if e.correlation_id == correlation_id])

    def totals(self) -> dict[str, Any]:
        events = self._all()
        now_ms = time.time() * 1000
        times: dict[str, list[float]] = {}
        for e in events:
            if e.correlation_id is not None and e.wall_time_ms > now_ms - _PIPELINE_WINDOW_S * 1000:
                times.setdefault(e.correlation_id, []).append(e.wall_time_ms / 1000)
        stale = now_ms - events[-1].wall_time_ms if events else None
        return _totals(self._total, stale, [(max(ts) - min(ts), len(ts)) for ts in times.values()])


def stages_of(events: list[TelemetryEvent]) -> list[dict[str, Any]]:
    """A pipeline as the seed's page shows it: each event, and the time since the one before."""
    times = [event.wall_time_ms for event in events]
    return [
        {"event": {"ts": e.timestamp_ms, "type": e.event_type.value, "source": e.source}, "latency_ms": now - before}
        for e, now, before in zip(events, times, times[:1] + times, strict=False)
    ]


def _oldest_first(events: list[TelemetryEvent]) -> list[TelemetryEvent]:
    return sorted(events, key=lambda event: event.wall_time_ms)


def _totals(total: int, staleness_ms: float | None, spans: list[tuple[float, int]]) -> dict[str, Any]:
    """spans: per correlation (seconds from its first to its last event, events)."""
    latencies = [span * 1000 for span, n in spans if n > 1]
    return {
        "total_events": total,
        "staleness_ms": staleness_ms,
        "avg_pipeline_latency_ms": sum(latencies) / len(latencies) if latencies else 0.0,
        "active_correlations": len(spans),
    }


def _offset_ms() -> float:
    return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.time_ns()) / 1e6
