"""The independent check of CSV files: what stands in them, against the rows of the store. It trusts no cursor."""

import csv
import gzip
import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from common.store import chunks

FOLDERS = {"pulses": "pulses", "system_events": "events", "health": "health", "ledger": "losses"}


def files(root: Path, top: str) -> list[Path]:
    """Every CSV below a folder, packed or not, that is not set aside; without the aggregate."""
    found = [*root.glob(f"{top}/**/*.csv"), *root.glob(f"{top}/**/*.csv.gz")]
    return sorted(path for path in found if path.name != "aggregate_data.csv")


def text(path: Path) -> str:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes()).decode()
    return path.read_bytes().decode()


def records(path: Path) -> Iterator[dict[str, str]]:
    """Its rows. AssertionError where it does not parse: a cut line, a zero byte, cells too few or too many."""
    body = text(path)
    assert body.endswith("\n"), f"{path}: the last line is cut"
    assert "\0" not in body, f"{path}: zero bytes"
    lines = csv.reader(body.splitlines(keepends=True), strict=True)
    header = next(lines)
    for line in lines:
        assert len(line) == len(header), f"{path}: {line}"
        yield dict(zip(header, line, strict=True))


def start_ns(path: Path) -> int:
    """Start of the period of readings/YYYY/MM/Week_N/DD/HHMMSS.csv."""
    year, month, week, day, name = path.parts[-5:]
    assert week == f"Week_{(int(day) - 1) // 7 + 1}", path
    at = datetime.strptime(f"{year}{month}{day}{name[:6]}", "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return int(at.timestamp()) * 10**9


def written_samples(root: Path, top: str = "readings") -> Counter[tuple[int, str]]:
    """(µs since 1970, value) of every row."""
    found: Counter[tuple[int, str]] = Counter()
    for path in files(root, top):
        since_us = start_ns(path) // 1000
        rows = list(records(path))
        found.update((since_us + int(row["Time (ms)"].replace(".", "")), row["Acceleration"]) for row in rows)
    return found


def stored_samples(db: Path, to_id: int = 2**62) -> Counter[tuple[int, str]]:
    found: Counter[tuple[int, str]] = Counter()
    for t_ns, n, axes, scale, dtype, dt_ns, data in _rows(
        db, f"SELECT t_ns, n, axes, scale, dtype, dt_ns, data FROM sample_chunks WHERE id <= {to_id}"
    ):
        values = chunks.decode(data, n, axes.count(",") + 1, dtype) * scale
        g = np.sqrt((values**2).sum(axis=1))
        found.update((t // 1000, f"{v:.4f}") for t, v in zip(chunks.times(t_ns, dt_ns, n).tolist(), g, strict=True))
    return found


def differences(root: Path, db: Path, table: str) -> dict[str, Any]:
    """Rows that stand in the files too seldom or too often, by (t, frame_seq …); {} where each stands once."""
    in_seconds = table == "system_events"
    time = "ts" if in_seconds else "t_ns"
    what = {"pulses": "total", "system_events": "detail", "health": "last_seq", "ledger": "cause"}[table]
    stored = Counter(
        (repr(t) if in_seconds else str(t), str(x), "" if seq is None else str(seq))
        for t, x, seq in _rows(db, f"SELECT {time}, {what}, frame_seq FROM {table}")
    )
    rows = (row for path in files(root, FOLDERS[table]) for row in records(path))
    written = Counter((row[time], row[what].removeprefix("'"), row["frame_seq"]) for row in rows)
    return {str(key): (stored[key], written[key]) for key in stored | written if stored[key] != written[key]}


def _rows(db: Path, sql: str) -> list[Any]:
    conn = sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=5)
    try:
        return conn.execute(sql).fetchall()
    finally:
        conn.close()
