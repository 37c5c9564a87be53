"""What a stored sample costs: bytes are counted, so a slower machine changes nothing."""

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from common.store.writer import Store

STEP = 1_250_000


def written() -> int:
    """Bytes this process has handed to write(2) and its kin."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def test_vibration_costs_few_bytes_on_disk_and_few_written(path: Path, maker: Any) -> None:
    """800 Hz, three axes of int16 noise, frames of 100 ms with borders that jitter, commits of 10 s."""
    rng = np.random.default_rng(3)
    store = Store.open(path)
    empty, before = path.stat().st_size, written()
    commits, n = 20, 80
    for _ in range(commits):
        noise = rng.normal(0, 1000, (100, n, 3)).astype("<i2")
        jitter = rng.integers(0, 200, 100).tolist()
        at = [(maker.seq + k) * n * STEP + jitter[k] for k in range(100)]
        store.commit([maker.samples(n=n, values=noise[k].tobytes(), t=10**18 + at[k], mono=at[k]) for k in range(100)])
    store.close()
    samples = commits * 100 * n
    assert (path.stat().st_size - empty) / samples < 6.5
    assert (written() - before) / samples < 15
    conn = sqlite3.connect(path)
    assert conn.execute("SELECT sum(n), max(n) FROM sample_chunks").fetchone() == (samples, 800)
    conn.close()
