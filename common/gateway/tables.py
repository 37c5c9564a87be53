"""Rows of the store's tables as they are, for the debug pages. Only tables that are documented."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from common.errors import StoreError
from common.telemetry.readonly import connect

SEED = ("dds_commands", "dds_feedback", "smoother_state", "web_requests", "camera_health", "system_events")
OWN = (
    *("streams", "pulses", "sample_chunks", "thermostat_readings", "pump_events", "health", "ledger", "clock_steps"),
    *("quarantine", "output_cursors", "output_files", "rollups", "boots"),
)
KNOWN = (*SEED, *OWN)
_LIMIT_S = 5.0
_STEPS = 10_000  # of SQLite's machine between two looks at the clock: under a millisecond


def ask(path: Path, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
    """All rows of one statement, which has 5 s. Raises StoreError."""
    end = time.monotonic() + _LIMIT_S
    try:
        conn, _ = connect(str(path))
        with closing(conn):
            conn.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
            cursor = conn.execute(sql, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except (sqlite3.Error, FileNotFoundError) as e:
        late = "the question took too long: ask for less" if time.monotonic() > end else str(e)
        raise StoreError(f"{path.name}: {late}") from None


def newest(path: Path, table: str, limit: int) -> list[dict[str, Any]]:
    """The last rows of a table of KNOWN, oldest first; bytes are told by their number. Raises StoreError."""
    if table not in KNOWN:
        raise ValueError(f"no table {table!r}")
    columns = {row["name"]: row["type"].upper() for row in ask(path, f"PRAGMA table_info({table})")}
    names = ", ".join(
        f'length("{name}") AS "{name}"' if kind == "BLOB" else f'"{name}"' for name, kind in columns.items()
    )
    rows = ask(path, f"SELECT {names} FROM {table} ORDER BY rowid DESC LIMIT ?", [limit])
    return [{key: _shown(value, columns[key]) for key, value in row.items()} for row in reversed(rows)]


def _shown(value: Any, kind: str) -> Any:
    if kind == "BLOB":
        return None if value is None else {"bytes": value}
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    if isinstance(value, float) and not -1.8e308 < value < 1.8e308:
        return None  # JSON has no infinity
    return value
