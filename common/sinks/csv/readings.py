"""Samples: `readings/YYYY/MM/Week_N/DD/HHMMSS.csv` for the vibration sensor, `samples/<sensor>/…` for others.

A file holds a period of file_s seconds, aligned to the epoch, and is named after its start, in UTC. Its rows are
milliseconds since then and the magnitude over the axes: in g for an acceleration, else in the sensor's own unit.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np

from common.config.schema import CsvConfig
from common.sinks.csv import digits
from common.sinks.csv.tree import Piece, Shape, Tree
from common.sinks.output import Feed, Row
from common.store import chunks
from common.store.moves import Refused

MAIN = "readings"
HEADER = b"Time (ms),Acceleration\n"
OTHER_HEADER = b"Time (ms),Magnitude\n"
G = 9.80665  # m/s² (standard gravity, exact)
_PER_G = {"g": 1.0, **dict.fromkeys(("m/s²", "m/s2", "m/s^2", "m/s**2"), 1 / G)}
_CHUNKS = 16  # of a page: at most 65,536 samples each, so at most some 16 MB of text
FEED = Feed("sample_chunks", chunks.COLUMNS, _CHUNKS)
_NAME = re.compile(
    r"(?P<base>(?P<group>readings|samples/[^/]+)/\d{4}/\d\d/Week_\d/\d\d/\d{6})(?:-\d+)?\.csv",
)


def shape(cfg: CsvConfig) -> Shape:
    def ends_s(base: str) -> float:
        year, month, _, day, clock = base.split("/")[-5:]
        start = datetime.strptime(f"{year}{month}{day}{clock}", "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        return start.timestamp() + cfg.file_s

    return Shape("sample_chunks", _NAME, ("readings", "samples"), ends_s, most_open=max(1, min(4, cfg.max_files - 1)))


class Readings:
    """main: the name of the sensor whose files are the readings; "": of every acceleration."""

    def __init__(self, cfg: CsvConfig, main: str) -> None:
        self._period_ns = cfg.file_s * 1_000_000_000
        self._main = main

    def encode(self, rows: Sequence[Row], tree: Tree) -> list[Refused]:
        """Chunks into the tree's page. Returns those that cannot be read."""
        refused: list[Refused] = []
        bases: dict[tuple[str, str, bytes], list[Piece]] = {}
        for row in rows:
            try:
                parts = self._split(row)
            except (ValueError, OverflowError) as e:
                refused.append(Refused(FEED.table, row[0], f"{type(e).__name__}: {e}"))
                continue
            for group, header, period, data in parts:
                bases.setdefault((base_of(group, period * self._period_ns), group, header), []).append((row[0], data))
        for (base, group, header), pieces in bases.items():
            tree.take(base, group, header, pieces)
        return refused

    def _split(self, row: Row) -> list[tuple[str, bytes, int, bytes]]:
        """A chunk → (group, header, number of the period, rows) of each period that it reaches into."""
        sensor, t, counts, _, unit, scale = chunks.unpack(row[1:])
        per_g = _PER_G.get(unit)
        values = counts.astype(np.float64)
        magnitude = np.sqrt(np.einsum("ij,ij->i", values, values)) * (abs(scale) * (per_g or 1.0))
        group = self._group(sensor, unit, is_acceleration=per_g is not None)
        header = HEADER if per_g else OTHER_HEADER
        first, last = int(t.min()) // self._period_ns, int(t.max()) // self._period_ns
        out = []
        for period in [first] if first == last else np.unique(t // self._period_ns).tolist():
            since_us = (t - period * self._period_ns) // 1000
            if first == last:
                out.append((group, header, period, digits.rows(since_us, magnitude)))
            else:
                inside = (since_us >= 0) & (since_us < self._period_ns // 1000)
                out.append((group, header, period, digits.rows(since_us[inside], magnitude[inside])))
        return out

    def _group(self, sensor: str, unit: str, *, is_acceleration: bool) -> str:
        if is_acceleration and self._main in ("", sensor):
            return MAIN
        name = sensor if is_acceleration else f"{sensor}_{unit}"
        return f"samples/{safe_name(name)}"


def safe_name(name: str) -> str:
    """As the name of a file or folder."""
    return re.sub(r"[^A-Za-z0-9_.-]|^\.", "_", name) or "_"


@lru_cache(maxsize=256)
def base_of(group: str, t_ns: int) -> str:
    t = datetime.fromtimestamp(t_ns // 1_000_000_000, UTC)
    return f"{group}/{t.year:04d}/{t.month:02d}/Week_{(t.day - 1) // 7 + 1}/{t.day:02d}/{t:%H%M%S}"
