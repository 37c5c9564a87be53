"""Bytes written a day are the kernel's, and a card's life follows from them."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from common import wear
from common.wear import Writes, told, writes

WRITER = """
import os, sys
with open(sys.argv[1], "wb") as f:
    f.write(bytes(8_000_000))
    os.fsync(f.fileno())
print("written", flush=True)
sys.stdin.read()
"""


def test_bytes_of_a_process_that_has_written(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        found = writes([process.pid, 2**22 + 1], tmp_path / "not" / "yet")
        expected = psutil.Process(process.pid).io_counters().write_bytes
        process.communicate()
    assert found.bytes_per_day is not None
    assert found.left_out == 0
    assert found.bytes_per_day == pytest.approx(expected * 86_400 / max(1.0, found.over_s), rel=0.01)
    disk = os.statvfs(tmp_path)
    assert found.disk_bytes == disk.f_blocks * disk.f_frsize
    if found.bytes_per_day:  # a tmpfs is no disk
        assert found.life_years == pytest.approx(found.disk_bytes * 1000 / 5 / found.bytes_per_day / 365.25)


def test_processes_of_another_user_are_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: psutil.Process) -> None:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(wear.psutil.Process, "io_counters", refuse)
    found = writes([os.getpid(), os.getppid()], tmp_path)
    assert (found.bytes_per_day, found.left_out, found.life_years) == (None, 2, None)
    assert told(found) == "unknown: the daemons run as another user (sudo shows it)"


def test_of_nothing_nothing_is_known(tmp_path: Path) -> None:
    found = writes([], tmp_path)
    assert (found.bytes_per_day, found.life_years) == (None, None)
    assert told(found) == "unknown: nothing runs"


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (
            Writes(1_560_000_000, 7300.0, 0, 32 * 10**9, 11.23),
            "1.6 GB a day (over 2 hours so far): about 11 years on this disk of 32 GB, if it is a usual card",
        ),
        (Writes(0, 3000.0, 0, 32 * 10**9, None), "0 B a day (over 50 min so far)"),
        (
            Writes(999, 200_000.0, 2, 10**12, 1e6),
            "999 B a day (over 2 days so far), without 2 of another user: about 100 years or more on this disk of "
            "1.0 TB, if it is a usual card",
        ),
        (
            Writes(25_000_000, 1200.0, 0, 10**6, 0.5),
            "25 MB a day (over 20 min so far): about 6 months on this disk of 1.0 MB, if it is a usual card",
        ),
        (
            Writes(25_000, 599.0, 0, 10**6, 0.1),
            "not known yet: 10 min have to pass, as a start writes more",
        ),
        (
            Writes(25_000, 600.0, 0, 10**6, 0.1),
            "25 kB a day (over 10 min so far): about 36 days on this disk of 1.0 MB, if it is a usual card",
        ),
    ],
)
def test_the_line(found: Writes, line: str) -> None:
    assert told(found) == line
