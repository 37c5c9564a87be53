"""Tables of rows that are written as they are: a folder each, a file each day, `time` before the table's columns."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from common.config.schema import CsvConfig
from common.sinks.csv import cells
from common.sinks.csv.tree import Piece, Shape, Tree
from common.sinks.output import Feed, Row
from common.store.moves import Refused

_DAY_S = 86_400
_DAY_NS = _DAY_S * 1_000_000_000
_TOGETHER = 50  # rows of a table that are one piece: a file is that much over max_mb at most
_SRC = "(SELECT src FROM streams WHERE streams.id = stream_id)"


class Table(NamedTuple):
    """folder: of its files. columns: of the table, the time first: t_ns, or ts in seconds. src: a column for it."""

    name: str
    folder: str
    columns: tuple[str, ...]
    src: bool = False

    @property
    def header(self) -> bytes:
        return cells.header(("time", *self.columns, *(["src"] if self.src else [])))

    @property
    def feed(self) -> Feed:
        return Feed(self.name, ", ".join((*self.columns, *([_SRC] if self.src else []))), 2000)


_ANGLES = tuple(f"angle{i}" for i in range(7))
_STATUS = ("power_status", "enable_status", "error_status", "recv_status", "exec_status")
TABLES = (
    Table("pulses", "pulses", ("t_ns", "channel", "total", "frame_seq")),
    Table(
        "dds_commands",
        "arm_commands",
        (
            *("ts", "ts_mono", "seq", "funcode", "joint_id", "target_value", "data_json", "correlation_id", "raw_len"),
            *("address", "frame_seq"),
        ),
    ),
    Table(
        "dds_feedback",
        "arm_feedback",
        (
            *("ts", "ts_mono", "seq", "funcode", *_ANGLES, *_STATUS, "address", "arm_funcode", "data_json"),
            *("correlation_id", "raw_len", "frame_seq"),
        ),
    ),
    Table(
        "smoother_state",
        "smoother",
        ("ts", "joint_id", "target", "current", "sent", "step_size", "dirty", "frame_seq"),
    ),
    Table(
        "web_requests",
        "web_requests",
        (
            *("ts", "endpoint", "method", "params_json", "response_ms", "status_code", "correlation_id", "ok"),
            "frame_seq",
        ),
    ),
    Table(
        "camera_health",
        "cameras",
        (
            *("ts", "camera_id", "actual_fps", "target_fps", "drop_count", "motion_score", "connected"),
            *("resolution_w", "resolution_h", "stalled", "frame_seq"),
        ),
    ),
    Table(
        "system_events",
        "events",
        ("ts", "event_type", "source", "detail", "data_json", "correlation_id", "level", "frame_seq"),
    ),
    Table(
        "ledger",
        "losses",
        (
            *("t_ns", "stream", "unit", "count", "cause", "from_seq", "to_seq", "from_t_ns", "to_t_ns", "detail"),
            "frame_seq",
        ),
        src=True,
    ),
    Table(
        "health",
        "health",
        (
            *("t_ns", "last_seq", "closed", "pid", "cpu_pct", "rss_bytes", "rates_json", "lateness_p50_us"),
            *("lateness_p99_us", "lateness_p999_us", "lateness_max_us", "missed_ticks", "journal_frames"),
            *("journal_bytes", "journal_oldest", "status", "frame_seq"),
        ),
        src=True,
    ),
)
PUMP_EVENTS = Table(
    "pump_events",
    "pump_events",
    (
        *("t_ns", "pump", "event", "action", "direction", "ml", "seconds", "hz", "steps", "command_id", "reason"),
        "frame_seq",
    ),
)


def daily(table: str, folder: str, cfg: CsvConfig, *, below: bool = False) -> Shape:
    """The shape of a table with a file each day. below: in a folder for each of something, in `folder`."""
    group = f"{re.escape(folder)}/[^/]+" if below else re.escape(folder)
    name = re.compile(rf"(?P<base>(?P<group>{group})/\d{{4}}-\d\d-\d\d)(?:-\d+)?\.csv(?:\.gz)?")
    return Shape(table, name, (folder,), day_ends_s, max_bytes=cfg.max_mb * 1e6)


def day_ends_s(base: str) -> float:
    return datetime.strptime(base[-10:], "%Y-%m-%d").replace(tzinfo=UTC).timestamp() + _DAY_S


def day_base(folder: str, t_ns: int) -> str:
    s = t_ns // 1_000_000_000
    return f"{folder}/{cells.day(s - s % _DAY_S)}"


def encoder(table: Table) -> Callable[[Sequence[Row], Tree], list[Refused]]:
    """rows: id, then what the table's feed asks for."""
    in_seconds = table.columns[0] == "ts"
    end = 1 + len(table.columns) + table.src
    lines = cells.Lines()

    def encode(rows: Sequence[Row], tree: Tree) -> list[Refused]:
        days: dict[int, list[Piece]] = {}
        refused: list[Refused] = []
        most = _TOGETHER if tree.redo is None else 1  # which rows of a page are written anew is decided row by row
        block: list[list[Any]] = []
        first_id = day = 0
        for row in rows:
            try:
                t_ns = round(row[1] * 1e6) * 1000 if in_seconds else row[1]
                line = [cells.time_of(t_ns), *row[1:end]]
            except (ValueError, OverflowError, TypeError, OSError) as e:
                refused.append(Refused(table.name, row[0], f"{type(e).__name__}: {e}"))
                continue
            if t_ns // _DAY_NS != day or len(block) >= most:
                if block:
                    days.setdefault(day, []).append((first_id, lines.block(block)))
                block, first_id, day = [], row[0], t_ns // _DAY_NS
            elif not block:
                first_id = row[0]
            block.append(line)
        if block:
            days.setdefault(day, []).append((first_id, lines.block(block)))
        for day, pieces in days.items():
            tree.take(day_base(table.folder, day * _DAY_NS), table.folder, table.header, pieces)
        return refused

    return encode
