"""Whether a clock has been set: what the kernel, timesyncd and a hardware clock say of it."""

import re
import time
from pathlib import Path

import pytest

from common import clock


def no() -> bool:
    return False


def rtc(root: Path, text: str) -> None:
    place = root / "sys/class/rtc/rtc0"
    place.mkdir(parents=True)
    (place / "since_epoch").write_text(text)


def test_nothing_says_so(tmp_path: Path) -> None:
    assert not clock.is_sane(tmp_path, no)


def test_the_kernels_word_is_enough(tmp_path: Path) -> None:
    assert clock.is_sane(tmp_path, lambda: True)


def test_timesyncds_mark_is_enough(tmp_path: Path) -> None:
    mark = tmp_path / "run/systemd/timesync/synchronized"
    mark.parent.mkdir(parents=True)
    mark.touch()
    assert clock.is_sane(tmp_path, no)


@pytest.mark.parametrize(
    ("seconds", "sane"),
    [(str(clock.RELEASED_S + 1), True), (str(clock.RELEASED_S - 1), False), ("0", False), ("", False), ("-5\n", False)],
)
def test_a_hardware_clock_must_be_later_than_the_release(tmp_path: Path, seconds: str, sane: bool) -> None:
    rtc(tmp_path, seconds)
    assert time.time() > clock.RELEASED_S
    assert clock.is_sane(tmp_path, no) is sane


def test_a_hardware_clock_that_nobody_has_read_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rtc(tmp_path, str(clock.RELEASED_S + 1))
    monkeypatch.setattr(time, "time_ns", lambda: 10**9)
    assert not clock.is_sane(tmp_path, no)


def test_this_machine_answers() -> None:
    assert clock.is_sane() in (True, False)
    assert re.fullmatch("[0-9a-f]{32}", clock.boot_id())
