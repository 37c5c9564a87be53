"""scripts/packages.sh: each distribution is asked for what is missing, and for nothing where all is there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from install_machine import CHECKOUT

SOURCE = f"""say() {{ echo "install: $*"; }}
find_python() {{ command -v python3.x; }}
. {CHECKOUT}/scripts/packages.sh
set -euo pipefail
system_packages"""
ASKED = {"apt-get": "dpkg-query", "dnf": "rpm", "yum": "rpm", "pacman": "pacman"}


@pytest.fixture
def ask(recorder, tmp_path):
    """ask(manager, …) runs system_packages where no other manager is; returns what it says and what it called."""
    for tool in ("bash", "grep"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))

    def run(manager, *, missing=True, machine="x86_64", python="3.11", fails="", bits=64):
        recorder("uname", does=f"echo {machine}")
        recorder("dpkg", does=f"echo {'armhf' if bits == 32 else 'of 64 bit'}")
        if python:
            recorder("python3.x", code=0 if python == "3.13" else 1)
        if manager:
            query = '[ $# -gt 0 ] && [ "$1" != -Q ] || exit 1' if manager == "pacman" and missing else ""
            recorder(manager, does=f'{query}\ncase " $* " in *" {fails} "*) exit 1 ;; esac' if fails else query)
        if manager and ASKED[manager] != manager:
            recorder(ASKED[manager], code=int(missing), does="echo install ok installed")
        done = subprocess.run(
            ["bash", "-c", SOURCE], env={"PATH": str(tmp_path / "bin")}, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stderr
        calls = [line for line in (tmp_path / "calls").read_text().splitlines() if line.split()[0] == manager]
        return done.stdout, calls

    return run


@pytest.mark.parametrize(
    ("manager", "last"),
    [
        ("apt-get", "apt-get install -y -qq --no-install-recommends python3-venv gpiod i2c-tools"),
        ("dnf", "dnf install -y -q libgpiod-utils i2c-tools"),
        ("yum", "yum install -y -q libgpiod-utils i2c-tools"),
        ("pacman", "pacman -S --needed --noconfirm --quiet python libgpiod i2c-tools"),
    ],
)
def test_what_is_missing_is_got_at_once(ask, manager, last):
    said, calls = ask(manager)
    assert calls[-1] == last
    assert f"by {manager}" in said


@pytest.mark.parametrize("manager", ASKED)
def test_where_all_is_there_nothing_is_asked_of_a_network(ask, manager):
    said, calls = ask(manager, missing=False)
    assert [call for call in calls if " -Q " not in call] == []
    assert said == ""


def test_a_python_is_asked_for_where_the_systems_is_too_old(ask):
    _, calls = ask("dnf", python="")
    assert calls[-1].endswith("libgpiod-utils i2c-tools python3.12")


@pytest.mark.parametrize(
    ("machine", "bits", "python", "there", "absent"),
    [
        ("aarch64", 64, "3.13", "python3-lgpio python3-rpi-lgpio", "cmake"),
        ("aarch64", 64, "3.11", "i2c-tools", "lgpio"),
        ("x86_64", 64, "3.13", "i2c-tools", "lgpio"),
        ("armv7l", 32, "3.11", "build-essential", "lgpio"),
        ("aarch64", 32, "3.11", "build-essential", "lgpio"),
    ],
)
def test_what_has_no_wheel_comes_from_apt(ask, machine, bits, python, there, absent):
    _, calls = ask("apt-get", machine=machine, bits=bits, python=python)
    assert there in calls[-1]
    assert absent not in calls[-1]


def test_a_package_that_there_is_not_keeps_away_no_other(ask):
    said, calls = ask("apt-get", machine="aarch64", python="3.13", fails="python3-rpi-lgpio")
    assert [call.split()[-1] for call in calls if "install" in call][1:] == [
        "python3-venv",
        "gpiod",
        "i2c-tools",
        "python3-lgpio",
        "python3-rpi-lgpio",
    ]
    assert said.splitlines()[1:] == ["install: apt-get did not get python3-rpi-lgpio; going on without"]


def test_without_a_package_manager_it_says_what_must_be_there(ask):
    said, calls = ask("")
    assert "Python 3.11 to 3.13" in said
    assert calls == []


def test_scripts_are_clean():
    if not shutil.which("shellcheck"):
        pytest.skip("needs shellcheck (make test-deps)")
    scripts = sorted(Path(CHECKOUT, "scripts").glob("*.sh"))
    assert len(scripts) >= 5
    done = subprocess.run(["shellcheck", "-x", *scripts], cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
    for script in scripts:
        assert os.access(script, os.X_OK) != (script.name == "packages.sh")  # that one is sourced
        assert len(script.read_text().splitlines()) < 300
