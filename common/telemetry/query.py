"""Questions to the six tables: the seed's TelemetryQuery, on a rig's database, a stand-alone file or the seed's own.

Read-only, and at any time: while a writer writes, on what a stopped rig left, on a copy. Rows are plain dictionaries,
the oldest first; a limit keeps the newest. What cannot be known is None.
"""

import os
import time
from collections.abc import Sequence
from typing import Any, Self

from . import statements
from .events import ANGLES
from .readonly import ReadOnly
from .times import TimeRange, checked_joint, checked_limit, checked_seconds, span_s

Row = dict[str, Any]


_LATE_S = 3.0  # rows may come into the file so late


class TelemetryQuery:
    """Belongs to the thread that makes it. FileNotFoundError: there is no such file; none is ever made.

    time_range: (from, to), both ends included, each epoch seconds or ISO 8601 text (UTC where it names no zone); None:
    open. limit None: all. A wrong argument is a ValueError; a file that cannot be read is a sqlite3.Error.
    """

    def __init__(self, db_path: str | os.PathLike[str] = "data/telemetry.db") -> None:
        self._file = self._open(db_path)

    def _open(self, db_path: str | os.PathLike[str]) -> ReadOnly:
        return ReadOnly(db_path)

    @property
    def path(self) -> str:
        return self._file.path

    @property
    def replaced(self) -> int:
        """How often another file was found in the place of the one before."""
        return self._file.replaced

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def interrupt(self) -> None:
        """From any thread: the question that is under way ends with an error."""
        self._file.interrupt()

    # ---- commands

    def get_commands(
        self, time_range: TimeRange | None = None, funcode: int | None = None, limit: int | None = 1000
    ) -> list[Row]:
        """Rows of dds_commands, with every column that the file has."""
        return self._newest("* FROM dds_commands", time_range, limit, {"+funcode": funcode})  # +: by time

    def get_command_rate(self, window_s: float = 10.0) -> Row:
        """{total_commands, rate_hz, by_funcode: {funcode: rate_hz}} of window_s seconds.

        They end at the newest row, where it is less than 3 s old: rows come a second late; else now.
        """
        return self._rate("dds_commands", "total_commands", window_s)

    def get_feedback_rate(self, window_s: float = 10.0) -> Row:
        """{total_feedback, rate_hz, by_funcode: {funcode: rate_hz}}, likewise."""
        return self._rate("dds_feedback", "total_feedback", window_s)

    def _rate(self, table: str, total: str, window_s: float) -> Row:
        window_s = checked_seconds("window_s", window_s, positive=True)
        now = time.time()
        newest = self._all(f"SELECT max(ts) FROM {table} WHERE ts > ? AND ts <= ?", (now - _LATE_S, now))[0][0]
        now = newest or now  # what came since is on its way to the file
        rows = self._all(
            f"SELECT funcode, count(*) FROM {table} WHERE ts > ? AND ts <= ? GROUP BY +funcode ORDER BY funcode",
            (now - window_s, now),
        )
        count = sum(n for _, n in rows)
        return {total: count, "rate_hz": count / window_s, "by_funcode": {code: n / window_s for code, n in rows}}

    # ---- feedback

    def get_joint_history(self, joint: int, time_range: TimeRange | None = None, limit: int | None = 5000) -> list[Row]:
        """[{ts, angle}] of a joint (6: the gripper) from dds_feedback; a row without its angle is left out."""
        angle = f"angle{checked_joint(joint)}"
        return self._newest(
            f"ts, {angle} AS angle FROM dds_feedback", time_range, limit, where=f"+funcode = 1 AND {angle} IS NOT NULL"
        )

    def get_all_joints_snapshot(self, time_range: TimeRange | None = None, limit: int | None = 1000) -> list[Row]:
        """[{ts, angle0, …, angle6}] from dds_feedback (funcode 1); an angle that is missing is None."""
        columns = f"ts, {', '.join(ANGLES)}"
        return self._newest(f"{columns} FROM dds_feedback", time_range, limit, where=statements.IS_SNAPSHOT)

    def get_gripper_log(self, time_range: TimeRange | None = None, limit: int | None = 1000) -> list[Row]:
        """[{ts, position, source}]: source is 'command' (funcode 1, joint 6) or 'feedback' (angle6)."""
        return self._newest(f"ts, position, source FROM ({statements.GRIPPER})", time_range, limit)

    def get_tracking_error(self, joint: int, time_range: TimeRange | None = None, delay_s: float = 0.2) -> Row:
        """{mean_error_deg, max_error_deg, samples, errors: [{ts, target, actual, error}]}: commanded against actual.

        Commands to this joint alone (funcode 1) and to all (funcode 2) in time_range; actual is the angle that was fed
        back nearest to ts + delay_s, of two equally near the earlier; error = |target − actual|. A command without an
        angle among the 300 rows of feedback before and after that time is left out. No samples: mean and max are None.
        """
        joint, delay_s = checked_joint(joint), checked_seconds("delay_s", delay_s)
        start, end = span_s(time_range)
        values = {"joint": joint, "delay": delay_s, "from": start, "to": end}
        errors = self._dicts(statements.tracking(joint, start is not None, end is not None), values)
        sizes = [row["error"] for row in errors]
        mean = sum(sizes) / len(sizes) if sizes else None
        return {
            "mean_error_deg": mean,
            "max_error_deg": max(sizes, default=None),
            "samples": len(sizes),
            "errors": errors,
        }

    # ---- smoother, web, cameras, events

    def get_smoother_history(
        self, joint: int, time_range: TimeRange | None = None, limit: int | None = 2000
    ) -> list[Row]:
        """[{ts, target, current, sent, step_size}] of a joint."""
        columns = "ts, target, current, sent, step_size"
        return self._newest(f"{columns} FROM smoother_state", time_range, limit, {"joint_id": checked_joint(joint)})

    def get_smoother(
        self, joint: int | None = None, time_range: TimeRange | None = None, limit: int | None = 2000
    ) -> list[Row]:
        """[{ts, joint_id, target, current, sent, step_size}] of a joint, or of all by time."""
        columns = "ts, joint_id, target, current, sent, step_size"
        of = {"joint_id": None if joint is None else checked_joint(joint)}
        return self._newest(f"{columns} FROM smoother_state", time_range, limit, of)

    def get_web_requests(
        self, time_range: TimeRange | None = None, endpoint: str | None = None, limit: int | None = 500
    ) -> list[Row]:
        """Rows of web_requests, with every column that the file has."""
        return self._newest("* FROM web_requests", time_range, limit, {"endpoint": endpoint})

    def get_web_latency_stats(self, time_range: TimeRange | None = None) -> Row:
        """{mean_ms, p50_ms, p95_ms, p99_ms, by_endpoint: {endpoint: {count, mean_ms, p50_ms, p95_ms, p99_ms}}}.

        Of requests that have a response_ms. A percentile is a value that was measured: the least that so many per cent
        of the requests do not exceed.
        """
        start, end = span_s(time_range)
        values = {"from": start, "to": end}
        rows = self._dicts(statements.latency(start is not None, end is not None), values)
        by_endpoint = {row.pop("endpoint"): row for row in rows}
        total = by_endpoint.pop(None, dict.fromkeys(statements.LATENCIES))
        return {**{name: total[name] for name in statements.LATENCIES}, "by_endpoint": by_endpoint}

    def get_camera_health(
        self, camera_id: str | None = None, time_range: TimeRange | None = None, limit: int | None = 500
    ) -> list[Row]:
        """Rows of camera_health, with every column that the file has."""
        return self._newest("* FROM camera_health", time_range, limit, {"camera_id": camera_id})

    def get_events(
        self,
        event_type: str | None = None,
        source: str | None = None,
        level: str | None = None,
        time_range: TimeRange | None = None,
        limit: int | None = 500,
    ) -> list[Row]:
        """Rows of system_events, with every column that the file has."""
        where = {"event_type": event_type, "source": source, "level": level}
        return self._newest("* FROM system_events", time_range, limit, where)

    # ---- the whole

    def get_session_summary(self) -> Row:
        """{first_event_ts, last_event_ts, duration_s, total_commands, total_feedback, total_events, command_rate_hz,
        feedback_rate_hz, error_count}: times of all six tables; events and errors (level 'error') of system_events.

        Times are None where there are no rows, rates where the duration is 0 or unknown.
        """
        [found] = self._dicts(statements.SUMMARY)
        first, last = found["first_event_ts"], found["last_event_ts"]
        duration = None if first is None else last - first
        rates = {
            f"{name}_rate_hz": found[total] / duration if duration else None
            for name, total in (("command", "total_commands"), ("feedback", "total_feedback"))
        }
        errors = found.pop("error_count")
        head = {"first_event_ts": first, "last_event_ts": last, "duration_s": duration}
        return {**head, **found, **rates, "error_count": errors}

    def get_db_stats(self) -> Row:
        """{table: rows, …, "db_size_bytes": …}: the size of the file, without its -wal."""
        counts = {name: int(self._all(f'SELECT count(*) FROM "{name}"')[0][0]) for name in self.tables()}
        return {**counts, "db_size_bytes": os.path.getsize(self.path)}

    def tables(self) -> list[str]:
        """Names of the tables that the file has."""
        return [name for (name,) in self._all(statements.TABLE_NAMES)]

    def get_events_after(self, last_id: int | None, limit: int = 1000) -> list[Row]:
        """Rows of system_events whose id is greater, by id: each once, whatever the clock does. None: the newest.

        Where the database is another one by now, whose ids have not come so far, it begins at its first.
        """
        if last_id is None:
            newest = self._dicts("SELECT * FROM system_events ORDER BY id DESC LIMIT ?", (checked_limit(limit),))
            return newest[::-1]
        if self.last_event_id() < last_id:
            last_id = 0
        sql = "SELECT * FROM system_events WHERE id > ? ORDER BY id LIMIT ?"
        return self._dicts(sql, (last_id, checked_limit(limit)))

    def last_event_id(self) -> int:
        """The highest id that system_events ever had; 0: none."""
        found = self._all("SELECT seq FROM sqlite_sequence WHERE name = 'system_events'")
        return int(found[0][0]) if found else 0

    # ---- how

    def _newest(
        self, what: str, time_range: TimeRange | None, limit: int | None, equal: Row | None = None, where: str = ""
    ) -> list[Row]:
        """The newest rows of the range, oldest first. equal: column → value; None: any."""
        start, end = span_s(time_range)
        asked = {column: value for column, value in (equal or {}).items() if value is not None}
        clauses = [*[f"{column} = ?" for column in asked], *([where] if where else [])]
        values = list(asked.values())
        for bound, clause in ((start, "ts >= ?"), (end, "ts <= ?")):
            if bound is not None:
                clauses.append(clause)
                values.append(bound)
        condition = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        # to a UNION there is no rowid: its rows of one time stay in its own order
        order = "ts DESC" if what.endswith(")") else "ts DESC, id DESC"
        rows = self._dicts(f"SELECT {what} {condition} ORDER BY {order} LIMIT ?", [*values, checked_limit(limit)])
        rows.reverse()
        return rows

    def _all(self, sql: str, values: Sequence[Any] | Row = ()) -> list[Any]:
        return self._file.all(sql, values)

    def _dicts(self, sql: str, values: Sequence[Any] | Row = ()) -> list[Row]:
        return self._file.dicts(sql, values)
