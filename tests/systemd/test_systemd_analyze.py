"""What systemd itself says of the units, without running it: correct, locked down, users and folders made as meant."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from unit_files import SHIPPED, services

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze: make test-deps (package systemd)"
)
SYSTEM_UNITS = Path("/usr/lib/systemd/system")
MOST = 3.0


@pytest.fixture
def root(tmp_path):
    """A machine as `make install` leaves it, as far as unit files can see."""
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for pattern in ("*.service", "*.target", "*.slice"):
        for file in SHIPPED.glob(pattern):
            shutil.copy(file, units)
    shutil.copytree(SYSTEM_UNITS, tmp_path / "usr/lib/systemd/system", symlinks=True)
    for program in ("opt/rigbus/venv/bin/python", "opt/rigbus/venv/bin/rigbus", "bin/sh", "bin/kill"):
        file = tmp_path / program
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    return tmp_path


def verify(root):
    names = sorted(file.name for file in (root / "etc/systemd/system").iterdir())
    command = ["systemd-analyze", "verify", "--man=no", f"--root={root}", *names]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return found.returncode, found.stdout + found.stderr


def test_verify_prints_nothing(root):
    assert len(list((root / "etc/systemd/system").iterdir())) == len(services()) + 2
    assert verify(root) == (0, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("Restart=always", "Restart=sometimes"), "sometimes"),
        (("WatchdogSec=30", "WatchdogSek=30"), "WatchdogSek"),
        (("venv/bin/python -m", "venv/bin/pyton -m"), "pyton"),
        (("SystemCallFilter=~@privileged", "SystemCallFilter=~@privilege"), "@privilege"),
    ],
)
def test_verify_would_say_what_is_wrong(root, change, said):
    unit = root / "etc/systemd/system/rigbus-pulse.service"
    text = unit.read_text()
    assert change[0] in text
    unit.write_text(text.replace(*change))
    assert said in verify(root)[1]


@pytest.mark.parametrize("daemon", sorted(services()))
def test_a_unit_is_locked_down(daemon, exposures):
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(SHIPPED / f"rigbus-{daemon}.service")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    figure = re.search(rf"Overall exposure level for rigbus-{daemon}\.service: ([\d.]+)", found.stdout)
    assert figure, found.stdout + found.stderr
    exposures[daemon] = float(figure[1])
    assert exposures[daemon] <= MOST, found.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a folder away")
def test_users_and_the_run_folder(tmp_path):
    """In a root folder of its own: a system user without a shell, the run folder with the group's bit."""
    for conf in ("sysusers.d", "tmpfiles.d"):
        (tmp_path / "etc" / conf).mkdir(parents=True)
        shutil.copy(SHIPPED / conf / "rigbus.conf", tmp_path / "etc" / conf)
    for command in (
        ["systemd-sysusers", f"--root={tmp_path}", "rigbus.conf"],
        ["systemd-tmpfiles", f"--root={tmp_path}", "--create", "rigbus.conf"],
    ):
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert found.returncode == 0, found.stderr
    (user,) = [line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines() if "rigbus" in line]
    groups = {line.split(":")[0]: line.split(":") for line in (tmp_path / "etc/group").read_text().splitlines()}
    assert (user[0], user[5]) == ("rigbus", "/var/lib/rigbus")
    assert user[6].endswith("nologin")
    assert {"rigbus", "gpio", "i2c"} <= groups.keys()
    run = (tmp_path / "run/rigbus").stat()
    assert (oct(run.st_mode & 0o7777), run.st_uid, run.st_gid) == ("0o2770", int(user[2]), int(groups["rigbus"][2]))
