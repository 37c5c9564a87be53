"""Fixtures of the system tests: rigs of real processes, each in a short folder of its own, gone when the test ends."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rig import Listener, MakeRig, Rig


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, as the path of a socket has at most 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="rb", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def make_rig(folder: Path) -> Iterator[MakeRig]:
    """make_rig(extra) → Rig: TOML that is merged over the tests' configuration."""
    rigs: list[Rig] = []

    def make(extra: str = "") -> Rig:
        place = folder / str(len(rigs))
        place.mkdir()
        rigs.append(Rig(place, extra))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig()


@pytest.fixture
def listener(rig: Rig) -> Iterator[Listener]:
    """A foreign script that hears all that `rig` publishes."""
    rig.run.mkdir()
    listener = Listener(rig)
    yield listener
    listener.close()


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Callable[[Path, int], None]]:
    """small_disk(path, kilobytes): mounts a file system of that size there."""
    mounted: list[Path] = []

    def mount(path: Path, kilobytes: int) -> None:
        path.mkdir(parents=True, exist_ok=True)
        options = ["mount", "-t", "tmpfs", "-o"]
        try:
            done = subprocess.run([*options, f"size={kilobytes}k", "none", str(path)], capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if done.returncode:
            pytest.skip("a small file system can only be mounted by root")
        mounted.append(path)

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)
