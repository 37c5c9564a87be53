"""A store to look at, made in seconds: a day of raw data, and a year of rollups as retention leaves them, cut twice.

Raw: 24 h of 800 Hz × 3 axes in chunks of 1 s, 86,400 polls of a thermostat with two channels, an edge each 2 s on three
meters. Rollups of 55 series: 3,600 s for a year, 300 s for a month (retention keeps a year: 5.8 M rows), 60 s for two
days (retention keeps 90: 7.1 M rows). All through the real schema; rows by plain SQL, in the order of time.
"""

import itertools
import json
import math
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common.sims.thermostat_firmware import Firmware
from common.store import chunks
from common.store.rows import INSERT, THERMOSTAT_FIELDS
from common.store.writer import Store
from tests.bench import material

S = 10**9
HOUR, DAY = 3600 * S, 86_400 * S
END_NS = 1_795_305_600 * S  # a whole hour; what is stored ends here
METERS = {"import": 1000.0, "export": 1000.0, "generate": 800.0}
SENSOR, DEVICE = "vibration", "bench"
AXES = [f"samples/{SENSOR}/{axis}" for axis in ("x", "y", "z")]
SERIES = sorted(
    [  # as a step of the rollups writes them
        *(f"{kind}/{meter}" for meter in METERS for kind in ("pulse", "energy")),
        *AXES,
        f"samples/{SENSOR}/magnitude",
        *(f"thermostat/{DEVICE}/{ch}/{field}" for ch in (0, 1) for field in (*THERMOSTAT_FIELDS, "device_time_s")),
        *(f"arm/joint{i}" for i in range(7)),
        *(f"arm/joint{i}/target" for i in range(7)),
        *(f"pump/{pump}/ml" for pump in ("left", "right", "spare")),
    ]
)
ROLLUPS = {3600: 365 * DAY, 300: 30 * DAY, 60: 2 * DAY}  # window in s → for how long
EDGE_EVERY_NS = 2 * S


def make(path: Path, hours: int = 24) -> None:
    """A store at `path` with so many hours of raw data up to END_NS, and the rollups; nothing may be there yet."""
    Store.open(path).close()
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("PRAGMA synchronous = OFF")
    conn.execute("BEGIN")
    conn.execute(
        "INSERT INTO streams (node, src, run, stored_to, stored) VALUES ('bench', 'bench', ?, 1, 1)", ["0" * 16]
    )
    start = END_NS - hours * HOUR
    for table, rows in (
        ("sample_chunks", _chunks(start)),
        ("thermostat_readings", _polls(start)),
        ("pulses", _edges(start)),
    ):
        conn.executemany(INSERT[table], rows)
    columns = "window_s, t_ns, series, n, sum, min, max, last, last_t_ns"
    conn.executemany(f"INSERT INTO rollups ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _rollups())
    conn.execute("COMMIT")
    conn.close()
    Store.open(path).close()  # the log is copied into the file, as at a clean stop


def _chunks(start: int) -> Iterator[tuple[Any, ...]]:
    """A second each; ten encoded ones in turn, of another scale each time."""
    rate = round(material.RATE_HZ)
    encoded = [chunks.encode(values, rate, 3, "<i2") for values in material.blocks(rate)]
    axes = json.dumps(["x", "y", "z"])
    for i, t in enumerate(range(start, END_NS, S)):
        scale = material.SCALE * (1 + i % 997 / 1000)
        data = encoded[i % len(encoded)]
        yield (t, SENSOR, rate, 800.0, axes, "g", scale, "<i2", material.STEP_NS, chunks.ENCODING, data, i, i, 1, 1)


def _polls(start: int) -> Iterator[tuple[Any, ...]]:
    """Two rows a second, as the simulated device reports them; its ten minutes in turn."""
    seconds = itertools.count()
    device = Firmware("swap", lambda: float(next(seconds)))
    polls = []
    while len(polls) < 600:
        device.poll()
        polls.append(json.loads(device.report()))
    for i, t in enumerate(range(start, END_NS, S)):
        at = t + 1000 * (877_487 + i * 7919 % 5000)  # as polls come: some ms after the second
        for reading in polls[i % len(polls)]:
            values = [reading.get(field) for field in THERMOSTAT_FIELDS]
            yield (at, DEVICE, reading["channel"], *values, reading["time"], "swap", None, 1, i)


def _edges(start: int) -> Iterator[tuple[Any, ...]]:
    for i, t in enumerate(range(start, END_NS, EDGE_EVERY_NS)):
        for k, meter in enumerate(METERS):
            jitter = int(4e8 * math.sin(i / 500 + k))
            yield (t + jitter + k * 10**8, meter, 10_000_000 + i, 1, i)


def _rollups() -> Iterator[tuple[Any, ...]]:
    """Windows of all lengths in the order in which they end."""
    noise = np.random.default_rng(1).random(4096).tolist()
    k = 0
    for end in range(END_NS - max(ROLLUPS.values()) + HOUR, END_NS + 1, HOUR):
        for window_s, span in ROLLUPS.items():
            if end <= END_NS - span:
                continue
            for t in range(end - HOUR, end, window_s * S):
                for series in SERIES:
                    k += 1
                    value = noise[k % 4096]
                    n = window_s // 2
                    last_t = t + window_s * S - 1 - int(value * S)
                    total = n / 1000 * value if series.startswith("energy/") else n * value
                    yield (window_s, t, series, n, total, value - 1, value + 1, value, last_t)


if __name__ == "__main__":
    begin = time.monotonic()
    make(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 24)
    print(f"{Path(sys.argv[1]).stat().st_size / 1e6:.0f} MB in {time.monotonic() - begin:.1f} s")
