"""What was written today is not forgotten when the gateway starts again."""

import os
import time
from pathlib import Path

import pytest

from common.gateway import written
from common.gateway.written import Written

DAY = 86_400 * 10**9


@pytest.fixture
def bytes_of(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    told = {"written": 1_000_000}
    monkeypatch.setattr(written, "_EARLY_S", 0.0)
    monkeypatch.setattr(Written, "_bytes", lambda *_: told["written"])
    return told


def today(found: Written, folder: Path, day_t: int) -> int:
    found._next = 0.0
    made = found.storage(folder / "rigbus.db", day_t)
    assert made is not None
    return int(made["written_today_bytes"])


def test_it_goes_on_over_a_restart_and_begins_anew_with_the_day(tmp_path, bytes_of):
    day_t = time.time_ns() // DAY * DAY
    first = Written(tmp_path, tmp_path, lambda: [os.getpid()])
    began = today(first, tmp_path, day_t)
    bytes_of["written"] += 500
    assert today(first, tmp_path, day_t) == began + 500
    bytes_of["written"] += 70
    again = Written(tmp_path, tmp_path, lambda: [os.getpid()])
    assert today(again, tmp_path, day_t) == began + 570
    assert today(again, tmp_path, day_t + DAY) == 0


@pytest.mark.parametrize("text", ["", "{", '{"day_t": "x"}'])
def test_a_file_that_is_damaged_is_passed_over(tmp_path, bytes_of, text):
    (tmp_path / "gateway.written").write_text(text)
    assert Written(tmp_path, tmp_path, list)._today == 0


def test_what_was_not_yet_heard_is_not_told_of(tmp_path):
    made = Written(tmp_path, tmp_path, list).storage(tmp_path / "rigbus.db", 0)
    assert made is not None
    assert made["card_years"] is None
    assert made["written_today_bytes"] is None
