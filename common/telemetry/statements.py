"""The longer SQL of query.py."""

from .events import ANGLES
from .schema import NAMES

TABLE_NAMES = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
)
# + keeps SQLite from the index on funcode, which would find half the table: rows are found by their time
IS_SNAPSHOT = f"+funcode = 1 AND coalesce({', '.join(ANGLES)}) IS NOT NULL"
GRIPPER = (
    "SELECT ts, target_value AS position, 'command' AS source FROM dds_commands WHERE +funcode = 1 AND joint_id = 6 "
    "UNION ALL SELECT ts, angle6, 'feedback' FROM dds_feedback WHERE +funcode = 1 AND angle6 IS NOT NULL"
)
NEAR_ROWS = 300  # looked at on each side of a command: where angles fail but acks go on, a search would never end


def tracking(joint: int, has_from: bool, has_to: bool) -> str:
    """ts, target, actual, error of each command; parameters: joint, delay, from, to."""
    angle = f"angle{joint}"
    near = (
        "(SELECT id FROM (SELECT id, funcode, {angle} FROM dds_feedback WHERE ts {side} at ORDER BY ts {order}, "
        "id {order} LIMIT {rows}) WHERE funcode = 1 AND {angle} IS NOT NULL LIMIT 1)"
    )
    before = near.format(angle=angle, side="<=", order="DESC", rows=NEAR_ROWS)
    after = near.format(angle=angle, side=">", order="ASC", rows=NEAR_ROWS)
    return f"""
        WITH told AS (
            SELECT id, ts, CASE
                WHEN funcode = 1 AND joint_id = :joint THEN target_value
                WHEN funcode = 2 AND json_valid(data_json) THEN json_extract(data_json, '$.{angle}')
            END AS target
            FROM dds_commands WHERE +funcode IN (1, 2){_within(has_from, has_to)}
        ), wanted AS (
            SELECT id, ts, target, ts + :delay AS at FROM told WHERE typeof(target) IN ('integer', 'real')
        ), found AS (
            SELECT *, {before} AS before_id, {after} AS after_id FROM wanted
        ), matched AS (
            SELECT found.id, found.ts, target, CASE
                WHEN after.ts IS NULL OR at - before.ts <= after.ts - at THEN before.{angle} ELSE after.{angle}
            END AS actual
            FROM found
            LEFT JOIN dds_feedback AS before ON before.id = before_id
            LEFT JOIN dds_feedback AS after ON after.id = after_id
        )
        SELECT ts, target, actual, abs(target - actual) AS error FROM matched
        WHERE actual IS NOT NULL ORDER BY ts, id"""


LATENCIES = ("mean_ms", "p50_ms", "p95_ms", "p99_ms")


def latency(has_from: bool, has_to: bool) -> str:
    """endpoint (NULL: all of them), count and LATENCIES; parameters: from, to."""

    def per(name: str, place: str) -> str:
        """Nearest rank: the value at place ceil(p · n / 100), counted from 1."""
        return f"min(response_ms) FILTER (WHERE {place} * 100 >= {name} * n)"

    def of(endpoint: str, partition: str) -> str:
        ranked = (
            f"SELECT endpoint, response_ms, row_number() OVER ({partition} ORDER BY response_ms) AS place, "
            f"count(*) OVER ({partition}) AS n FROM web_requests "
            f"WHERE response_ms IS NOT NULL{_within(has_from, has_to)}"
        )
        values = ", ".join(f"{per(str(p), 'place')} AS p{p}_ms" for p in (50, 95, 99))
        group = "GROUP BY endpoint" if partition else "HAVING count(*) > 0"
        return (
            f"SELECT {endpoint} AS endpoint, count(*) AS count, avg(response_ms) AS mean_ms, {values} "
            f"FROM ({ranked}) {group}"
        )

    by_endpoint = of("endpoint", "PARTITION BY endpoint")
    return f"SELECT * FROM ({of('NULL', '')}) UNION ALL SELECT * FROM ({by_endpoint}) ORDER BY 1"


def _within(has_from: bool, has_to: bool) -> str:
    return f"{' AND ts >= :from' if has_from else ''}{' AND ts <= :to' if has_to else ''}"


def _edge(least_or_most: str) -> str:
    of_each = " UNION ALL ".join(f"SELECT {least_or_most}(ts) AS ts FROM {table}" for table in NAMES)
    return f"(SELECT {least_or_most}(ts) FROM ({of_each}))"


SUMMARY = f"""
    SELECT {_edge("min")} AS first_event_ts, {_edge("max")} AS last_event_ts,
        (SELECT count(*) FROM dds_commands) AS total_commands, (SELECT count(*) FROM dds_feedback) AS total_feedback,
        (SELECT count(*) FROM system_events) AS total_events,
        (SELECT count(*) FROM system_events WHERE level = 'error') AS error_count"""
