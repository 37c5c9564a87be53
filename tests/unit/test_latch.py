"""The latch: set by whatever stands there, on the disk with its folder, and settable on a full disk."""

import json
import os

import pytest

from common import latch as latch_module
from common.latch import Latch


def test_it_is_set_until_it_is_cleared_whoever_looks(tmp_path):
    latch = Latch(tmp_path)
    assert not latch.is_set()
    latch.set("smoke")
    assert Latch(tmp_path).is_set()
    assert Latch(tmp_path).reason() == "smoke"
    Latch(tmp_path).clear()
    assert not latch.is_set()


def test_the_first_reason_stays(tmp_path):
    latch = Latch(tmp_path)
    latch.set("first")
    latch.set("second")
    assert latch.reason() == "first"


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"{}", b"[1]", b'{"reason"', b" " * 512])
def test_what_cannot_be_read_is_set(tmp_path, content):
    latch = Latch(tmp_path)
    latch.path.write_bytes(content)
    assert latch.is_set()
    assert latch.reason().startswith("unknown")


def test_a_folder_or_a_dangling_link_in_its_place_is_set(tmp_path):
    latch = Latch(tmp_path)
    latch.path.mkdir()
    assert latch.is_set()
    latch.path.rmdir()
    latch.path.symlink_to("/nowhere/at/all")
    assert latch.is_set()


def test_a_folder_that_cannot_be_read_is_set(tmp_path, monkeypatch):
    latch = Latch(tmp_path)

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "lstat", refuse)
    assert latch.is_set()


def test_it_is_set_where_nothing_more_can_be_written(tmp_path, monkeypatch):
    latch = Latch(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(latch.path), "write_text", full)
    latch.set("full")
    monkeypatch.undo()
    assert Latch(tmp_path).is_set()


def test_file_and_folder_are_synced_after_the_rename(tmp_path, monkeypatch):
    latch = Latch(tmp_path)
    synced = []
    monkeypatch.setattr(latch_module, "fsync_path", lambda path: synced.append((path, latch.path.exists())))
    latch.set("x")
    assert synced == [(latch.path, True), (tmp_path, True)]
    assert json.loads(latch.path.read_text())["reason"] == "x"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [({}, "asked for"), ({"reason": 1}, "1"), ({"reason": None}, "None"), ({"reason": "x" * 500}, "x" * 200)],
)
def test_an_emergency_stop_is_not_refused_for_its_comment(request_, reason):
    assert latch_module.reason_of(request_) == reason
