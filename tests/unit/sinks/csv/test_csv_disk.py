"""A disk that is full, a folder that may not be written to: nothing is doubled, cut or lost, and it goes on."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import csv_oracle as oracle
import pytest

from common.sinks.csv import disk, part
from common.sinks.output import NotNow
from common.store import space

T = 1_772_366_400_000_000_000
S = 10**9


@pytest.fixture
def small_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 256 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(rig: Any, *seconds: int) -> None:
    for second in seconds:
        rig.samples(T + second * S)
        rig.pulses(T + second * S)


def whole(rig: Any) -> None:
    assert oracle.differences(rig.root, rig.db, "pulses") == {}
    assert oracle.written_samples(rig.root) == oracle.stored_samples(rig.db)


@pytest.mark.root
def test_a_full_disk(make_rig: Callable[..., Any], small_folder: Path) -> None:
    rig = make_rig(file_s=1, dir=str(small_folder / "csv"))
    rig.root = small_folder / "csv"
    fill(rig, 0, 1)
    rig.run()
    ballast = small_folder / "ballast"
    with ballast.open("wb", buffering=0) as f, contextlib.suppress(OSError):
        while f.write(bytes(4096)):
            pass
    fill(rig, *range(1, 9))
    before = {name: rig.text(name) for name in rig.names()}
    reasons = set()
    for _ in range(5):
        with pytest.raises(NotNow) as e:
            rig.write()
        reasons.add((str(e.value), e.value.needs_mending))
        for name in rig.names():
            assert rig.text(name) == before.get(name, ""), name  # no half row, nothing beyond
    assert reasons == {(f"{rig.root}: No space left on device", False)}
    rig.start()
    with pytest.raises(NotNow):
        rig.write()
    ballast.unlink()
    rig.run()
    whole(rig)
    assert not [name for name in rig.names() if name.endswith(".orphan")]


@pytest.mark.parametrize("allowed", [0, 7, 100, 3000])
def test_a_write_that_is_cut_short(rig: Any, monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    fill(rig, 0, 1)
    rig.run()
    before = {name: rig.text(name) for name in rig.names()}
    fill(rig, 2, 3)
    left = [allowed]
    pwrite = os.pwrite

    def short(fd: int, data: Any, offset: int) -> int:
        n = min(len(data), left[0])
        if not n:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= n
        return pwrite(fd, data[:n], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", short)
        with pytest.raises(NotNow):
            rig.write()
    fresh = {name: rig.text(name) for name in rig.names()}
    assert fresh == before
    rig.run()
    whole(rig)


def test_a_folder_that_cannot_be_made_is_to_be_mended(make_rig: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    rig = make_rig(dir=str(tmp_path / "file" / "csv"))
    rig.pulses()
    rig.start()
    for _ in range(2):
        with pytest.raises(NotNow, match="Not a directory") as e:
            rig.write()
        assert e.value.needs_mending
    (tmp_path / "file").unlink()
    rig.root = tmp_path / "file" / "csv"
    rig.run()
    whole(rig)


def test_an_fsync_that_fails_closes_nothing(make_rig: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make_rig(file_s=1, gzip=False)
    fill(rig, 0, 1, 2)
    rig.run()
    fill(rig, 3, 4, 5)

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(NotNow):
            rig.write()
    rig.start()
    rig.run()
    whole(rig)


def test_whole_lines_end_before_what_was_never_written(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a\nbb\nc" + bytes(100) + b"d\n")
    assert disk.whole_lines(path, 10**6) == 5
    assert disk.whole_lines(path, 4) == 2


def test_on_a_nearly_full_disk_it_leaves_the_room_to_the_database(
    make_rig: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig()
    fill(rig, 0)
    rig.run()
    monkeypatch.setattr(space, "floor_bytes", lambda *_: 1000)
    for free, is_written in ((1999, False), (2100, False), (2200, True), (2000, True), (1999, False)):
        monkeypatch.setattr(space, "free_bytes", lambda _, free=free: free)
        fill(rig, free)
        if is_written:
            rig.run()
            whole(rig)
        else:
            with pytest.raises(NotNow, match="the disk is nearly full, what is left is for the database"):
                rig.write()


def test_an_open_file_that_was_deleted_does_not_keep_others_from_being_closed(
    make_rig: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(gzip=False)
    fill(rig, 0)
    rig.run()
    (rig.root / "pulses/2026-03-01.csv").unlink()
    monkeypatch.setattr(part, "_UNUSED_S", -1.0)
    rig.run(2)
    assert rig.rows("SELECT path FROM output_files WHERE closed = 0 AND path LIKE '%/%/%'") == []
    assert rig.rows("SELECT count(*) FROM output_files WHERE path LIKE 'pulses/%'") == [(0,)]
