"""What a rig writes to its disk, by the kernel's own account of each process, and how long a card lasts by that."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
from msgspec import Struct

# Assumptions, no measurements: what a card of the usual kind, with three bits a cell, is commonly taken to bear.
PROGRAM_ERASE_CYCLES = 1000
# A card erases blocks of megabytes, and many small synced writes make it copy others along: so many times as much.
WRITE_AMPLIFICATION = 5
_LEAST_S = 600.0
_DAY_S, _YEAR_DAYS = 86_400.0, 365.25


class Writes(Struct):
    """bytes_per_day: of all processes that could be asked, over their lifetime; None: of none. over_s: the longest one.

    left_out: processes whose account belongs to another user. disk_bytes: of the file system of the data. life_years:
    by the constants above; None: unknown, or nothing is written.
    """

    bytes_per_day: int | None
    over_s: float
    left_out: int
    disk_bytes: int
    life_years: float | None


def writes(pids: Iterable[int], data: Path) -> Writes:
    """data: a folder on the disk in question, there or not yet."""
    per_day, longest_s, asked, left_out = 0.0, 0.0, 0, 0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            written, age_s = process.io_counters().write_bytes, time.time() - process.create_time()
        except psutil.AccessDenied:
            left_out += 1
            continue
        except psutil.Error:
            continue  # it has just ended
        asked += 1
        per_day += written * _DAY_S / max(1.0, age_s)
        longest_s = max(longest_s, age_s)
    disk = _disk_bytes(data)
    life = disk * PROGRAM_ERASE_CYCLES / WRITE_AMPLIFICATION / per_day / _YEAR_DAYS if per_day else None
    return Writes(round(per_day) if asked else None, longest_s, left_out, disk, life)


def told(found: Writes) -> str:
    """In one line, for people."""
    if found.bytes_per_day is None:
        return "unknown: the daemons run as another user (sudo shows it)" if found.left_out else "unknown: nothing runs"
    if found.over_s < _LEAST_S:
        return f"not known yet: {_span(_LEAST_S)} have to pass, as a start writes more"
    line = f"{_size(found.bytes_per_day)} a day (over {_span(found.over_s)} so far)"
    if found.left_out:
        line += f", without {found.left_out} of another user"
    if found.life_years is None:
        return line
    return f"{line}: about {_years(found.life_years)} on this disk of {_size(found.disk_bytes)}, if it is a usual card"


def _disk_bytes(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize


def _size(n: float) -> str:
    units = ["B", "kB", "MB", "GB", "TB"]
    while n >= 1000 and len(units) > 1:
        n /= 1000
        del units[0]
    return f"{n:.1f} {units[0]}" if n < 10 and units[0] != "B" else f"{n:.0f} {units[0]}"


def _span(seconds: float) -> str:
    for name, of_it in (("days", 86_400), ("hours", 3600), ("min", 60)):
        if seconds >= 2 * of_it:
            return f"{seconds / of_it:.0f} {name}"
    return f"{seconds:.0f} s"


def _years(years: float) -> str:
    if years >= 100:
        return "100 years or more"
    if years >= 2:
        return f"{years:.0f} years"
    return f"{years * 12:.0f} months" if years >= 0.15 else f"{years * 365:.0f} days"
