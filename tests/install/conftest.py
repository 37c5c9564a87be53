"""Machines to install on: the host's own file system under a throw-away layer, and recorders in place of commands."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from install_machine import CHECKOUT, Machine

Recorder = Callable[..., Path]
_figures: list[str] = []


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """figure(text): a line at the end of the tests' output."""
    return lambda text: _figures.append(f"{request.node.name}: {text}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _figures:
        terminalreporter.section("services: what was counted")
        for line in _figures:
            terminalreporter.line(line)


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    """recorder(name, code=0, does="") puts a command into tmp_path/bin that writes its arguments to tmp_path/calls."""
    folder, calls = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    calls.touch()

    def make(name: str, code: int = 0, does: str = "") -> Path:
        command = folder / name
        command.write_text(f'#!/bin/bash\necho "{name} $*" >> {calls}\n{does}\nexit {code}\n')
        command.chmod(0o755)
        return command

    return make


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What rigbus needs, for the system's Python, as a folder; the host's pip fetches it, or has it in its cache."""
    folder = tmp_path_factory.mktemp("wheels")
    folder.chmod(0o755)  # an ordinary user installs from it, too
    command = [sys.executable, "-m", "pip", "wheel", "-q", "-w", str(folder), "-c", "constraints.txt"]
    command += [".[web,influx,plot,dds]", "hatchling==1.33.0", "editables"]
    fetched = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False)
    if fetched.returncode:
        pytest.skip(f"pip gets no wheels here: {fetched.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Machine:
    """Nothing is installed on it; its checkout is /src, the wheels are /wheels."""
    if os.geteuid() != 0:
        pytest.skip("needs root: file systems are mounted")
    system = subprocess.run(["/usr/bin/python3", "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True)
    if system.stdout.split() != [str(n).encode() for n in sys.version_info[:2]]:
        pytest.skip("the system's Python is not the one that the tests run with, whose wheels were fetched")
    for command in ("unshare", "systemctl", "systemd-sysusers", "systemd-tmpfiles"):
        if not shutil.which(command):
            pytest.skip(f"needs {command}")
    machine = Machine(tmp_path_factory.mktemp("bare"), wheels)
    try:
        machine.sh("true")
    except RuntimeError as e:
        pytest.skip(f"no file system can be laid over another here: {e}")
    machine.put_checkout("/src")
    return machine


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, bare: Machine) -> Machine:
    machine = bare.copy(tmp_path_factory.mktemp("once"))
    machine.said = machine.sh("cd /src && make install WHEELS=/wheels")
    return machine


@pytest.fixture
def installed(once: Machine, tmp_path: Path) -> Iterator[Machine]:
    """`make install` was run on it; what a test does to it is gone afterwards."""
    machine = once.copy(tmp_path / "machine")
    yield machine
    shutil.rmtree(machine.upper, ignore_errors=True)
