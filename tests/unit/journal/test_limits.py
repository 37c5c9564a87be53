"""How large a journal may grow where nobody said."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.config.schema import JournalConfig
from common.journal.limits import journal_limits


@pytest.mark.parametrize(
    ("place", "room", "largest"),
    [("memory", 100 << 20, 10 << 20), ("disk", 100 << 20, 32 << 20), ("memory", 1 << 40, 32 << 20)],
    ids=["a small run folder", "not in it", "a large one"],
)
def test_journals_in_memory_leave_room_in_the_run_folder(monkeypatch, place: str, room: int, largest: int):
    monkeypatch.setattr(os, "sysconf", lambda name: 4096 if name == "SC_PAGE_SIZE" else 1 << 30)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_blocks=room >> 12, f_frsize=4096))
    assert journal_limits(JournalConfig(place=place), "pulse", Path("/run"))[1].max_bytes == largest


def test_what_is_configured_holds(tmp_path: Path):
    assert journal_limits(JournalConfig(max_bytes=3 << 20), "pulse", tmp_path)[1].max_bytes == 3 << 20
