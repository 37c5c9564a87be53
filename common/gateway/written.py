"""Room on the disk, and what the rig writes to it: the section `storage`."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil

from common import wear

_EVERY_S, _EARLY_S = 10.0, 5.0
_BUDGET_YEARS = 5.0  # what a card should last: the day's budget is what makes it so
_DAY_S = 86_400.0


class _Kept(msgspec.Struct):
    """In the run folder, so until the next boot. known: pid, began, bytes at the last look."""

    day_t: int = 0
    today: float = 0.0
    known: list[tuple[int, float, int]] = []


class Written:
    """pids: of the daemons that run. What one had written before it was first seen is judged by its lifetime's pace."""

    def __init__(self, data: Path, run: Path, pids: Callable[[], list[int]]) -> None:
        self._data, self._file, self._pids = data, run / "gateway.written", pids
        kept = _read(self._file)
        self._day_t, self._today = kept.day_t, kept.today
        self._known = {(pid, began): written for pid, began, written in kept.known}  # process → bytes at the last look
        self._began = time.monotonic()
        self._next = 0.0
        self._made: dict[str, Any] | None = None

    def storage(self, store: Path, day_t: int) -> dict[str, Any] | None:
        """day_t: wall ns of the rig's midnight."""
        now = time.monotonic()
        if now < self._next and day_t == self._day_t:
            return self._made
        early = now - self._began < _EARLY_S  # not all of them have been heard
        self._next = now + (1.0 if early else _EVERY_S)
        pids = self._pids()
        found = wear.writes(pids, self._data)
        self._add(pids, day_t)
        budget = found.disk_bytes * wear.PROGRAM_ERASE_CYCLES / wear.WRITE_AMPLIFICATION / (_BUDGET_YEARS * 365.25)
        self._made = {
            "disk_bytes": found.disk_bytes,
            "free_bytes": _free(self._data),
            "store_bytes": sum(_size(f"{store}{end}") for end in ("", "-wal", "-shm")),
            "written_today_bytes": round(self._today) if self._known else None,
            "written_day_bytes": None if early else found.bytes_per_day,
            "budget_day_bytes": round(budget),
            "card_years": None if early else found.life_years,
        }
        self._keep()
        return self._made

    def _add(self, pids: list[int], day_t: int) -> None:
        """What each process has written since the last look, or since midnight."""
        if day_t != self._day_t:
            first, self._day_t, self._today = not self._day_t, day_t, 0.0
            if not first:
                self._known = {key: self._bytes(key[0]) or 0 for key in self._known}
        living = {key: written for key, written in self._known.items() if psutil.pid_exists(key[0])}
        self._known = living
        for pid in pids:
            try:
                key = pid, psutil.Process(pid).create_time()
            except psutil.Error:
                continue
            written = self._bytes(pid)
            if written is None:
                continue
            before = self._known.get(key)
            if before is None:
                age_s, day_s = time.time() - key[1], time.time() - day_t / 1e9
                self._today += written * min(1.0, day_s / max(1.0, age_s))
            else:
                self._today += written - before
            self._known[key] = written

    def _bytes(self, pid: int) -> int | None:
        try:
            return int(psutil.Process(pid).io_counters().write_bytes)
        except psutil.Error:
            return None

    def _keep(self) -> None:
        known = [(*key, written) for key, written in self._known.items()]
        try:
            part = self._file.with_suffix(".part")
            part.write_bytes(msgspec.json.encode(_Kept(self._day_t, self._today, known)))
            part.replace(self._file)
        except OSError:
            pass  # it is only counted anew after a restart


def _read(file: Path) -> _Kept:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return _Kept()


def _free(folder: Path) -> int | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
