"""SIGKILL at random moments: every row of the store stands exactly once, every file parses, so many are kept."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import csv_oracle as oracle
import pytest

CHILD = Path(__file__).with_name("csv_child.py")
ROOT = Path(__file__).parents[4]
WAIT_S = 60.0


def child(folder: Path, max_files: int) -> "subprocess.Popen[str]":
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, str(CHILD), str(folder), str(max_files)], cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", (folder / "log").read_text()
    return process


def kill_often(folder: Path, max_files: int, kills: int) -> None:
    for _ in range(kills):
        process = child(folder, max_files)
        time.sleep(random.uniform(0.0, 0.5))
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    process = child(folder, max_files)
    process.terminate()
    try:
        assert process.wait(WAIT_S) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def check(folder: Path, *, all_samples: bool) -> None:
    root, db = folder / "csv", folder / "rigbus.db"
    for table in ("pulses", "system_events"):
        assert oracle.differences(root, db, table) == {}
    polls = Counter(row["temperature_ch0"] for path in oracle.files(root, "thermostat") for row in oracle.records(path))
    frames = len({row["frame_seq"] for path in oracle.files(root, "events") for row in oracle.records(path)})
    assert polls == Counter(str(float(seq)) for seq in range(1, frames + 1))
    runs = [row["Command"] for row in oracle.records(root / "pump_telemetry.csv")]
    assert runs == [f"c{seq}" for seq in range(1, frames + 1)]
    written, stored = oracle.written_samples(root), oracle.stored_samples(db)
    if all_samples:
        assert written == stored
    else:
        assert written <= stored
    kept = Counter(line for path in oracle.files(root, "readings") for line in path.read_text().splitlines()[1:])
    aggregate = Counter((root / "readings/aggregate_data.csv").read_text().splitlines()[1:])
    assert kept <= aggregate
    assert sum(aggregate.values()) <= 2 * sum(kept.values()) + 1000


@pytest.mark.parametrize("max_files", [100_000, 12])
@pytest.mark.parametrize("kills", [15, pytest.param(110, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_killed_at_random_moments(tmp_path: Path, max_files: int, kills: int) -> None:
    kill_often(tmp_path, max_files, kills)
    check(tmp_path, all_samples=max_files == 100_000)
    assert len(oracle.files(tmp_path / "csv", "readings")) <= max_files
