"""What the lab keeps in its folder, and when each piece is made anew.

vmlinuz, initrd.gz, disk.qcow2   by build.sh, from Debian packages and the project's wheels (about a minute)
base.qcow2, base.ram             the machine after a cold boot, settled (about 20 s)
rig.qcow2, rig.ram               `base` with this checkout's wheel in /opt/venv (20 s); most tests resume this one
needs.qcow2, needs.ram           `base` with what rigbus needs in /opt/rigbus/venv, and not rigbus (about 4 minutes)
installed.qcow2, installed.ram   `needs` after `make install` in a copy of this checkout, nothing started (a minute)

A piece has a stamp, a hash of all that went into it, written last; where it does not fit, the piece is made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from .vm import Guest

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
CONSTRAINTS = CHECKOUT / "constraints.txt"
PACKAGE_OF = {  # to run
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "setpriv": "util-linux",
}
BUILD_PACKAGE_OF = {"mmdebstrap": "mmdebstrap", "gcc-12": "gcc-12", "make": "make", "xz": "xz-utils", "apt-get": "apt"}
LOCK_WAIT_S = 60
INSTALLED_EXTRAS = ("web", "influx", "plot", "rpi", "dds")  # without export: pyarrow is large, and may be absent
# what `make install` takes from a checkout
SHIPPED = ("common", "daemons", "config", "systemd", "scripts")
SHIPPED_FILES = ("Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE", ".env.example")
IN_GUEST = "/root/rigbus"
WHEELS_IN_GUEST = "/var/tmp/wheels"
VERSION = 'import sys; print("%d.%d" % sys.version_info[:2])'


def folder() -> Path:
    """$RIGBUS_LAB, else rigbus-lab in the user's cache folder.  A short path: unix sockets lie in it."""
    if chosen := os.environ.get("RIGBUS_LAB"):
        return Path(chosen).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rigbus-lab"


def missing(lab: Path) -> list[str]:
    """What this machine lacks, named as something a user can get; empty: the lab can run."""
    needs = dict(PACKAGE_OF)
    lacks = [] if platform.machine() == "x86_64" else ["an amd64 machine"]
    if not _stamped(lab, "disk", _disk_hash()):
        needs |= BUILD_PACKAGE_OF
        if os.geteuid() != 0:
            lacks.append("root (to build the image, once)")
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    packages = sorted({package for command, package in needs.items() if not shutil.which(command, path=search)})
    return ([f"the Debian packages {' '.join(packages)}"] if packages else []) + lacks


def ready(lab: Path) -> bool:
    """Whether `rig` and `installed` fit the source tree as it is now."""
    return _stamped(lab, "rig", _rig_hash()) and _stamped(lab, "installed", _installed_hash())


def prepare(lab: Path) -> None:
    """Make what is not there or does not fit any more; says what it does."""
    if not _stamped(lab, "disk", _disk_hash()):
        print("lab: building the machine (about a minute)", flush=True)
        with _making(lab, "disk", _disk_hash()), tempfile.TemporaryDirectory() as tmp:
            requirements = Path(tmp) / "requirements.txt"
            requirements.write_text(_requirements())
            command = [str(HERE / "build.sh"), str(lab), str(requirements), str(CONSTRAINTS)]
            subprocess.run(command, check=True, timeout=1800, env=os.environ | {"PYTHON": sys.executable})
    if not _stamped(lab, "base", _base_hash()):
        print("lab: booting it once", flush=True)
        with _making(lab, "base", _base_hash()):
            _overlay(lab, "base", "disk")
            with Guest(lab, "base", keep=True) as guest:
                guest.sh("systemctl is-system-running --wait", 180, check=False)
                guest.sh("/opt/venv/bin/python -c 'import zmq, msgpack, gpiod, sqlite3'", 120)  # warms the page cache
                guest.save("base")
    if not _stamped(lab, "rig", _rig_hash()):
        print("lab: installing the checkout in it", flush=True)
        with _making(lab, "rig", _rig_hash()), tempfile.TemporaryDirectory() as tmp:
            pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp, str(CHECKOUT)]
            subprocess.run(pip, check=True, timeout=600)
            (wheel,) = Path(tmp).glob("*.whl")
            _overlay(lab, "rig", "base")
            with Guest(lab, "rig", "base", keep=True) as guest:
                guest.put(f"/var/tmp/{wheel.name}", wheel.read_bytes())
                guest.sh(f"/opt/venv/bin/pip install -q --no-deps --no-index /var/tmp/{wheel.name} 2>&1", 300)
                guest.sh("/opt/venv/bin/rigbus --help", 120)
                guest.save("rig")
    if not _stamped(lab, "needs", _needs_hash()):
        print("lab: installing what rigbus needs in it (minutes)", flush=True)
        with _making(lab, "needs", _needs_hash()):
            _overlay(lab, "needs", "base")
            with Guest(lab, "needs", "base", keep=True) as guest:
                put_wheels(guest)
                guest.sh("python3 -m venv /opt/rigbus/venv", 600)
                pip = "/opt/rigbus/venv/bin/pip install -q --no-index --find-links ."
                guest.sh(f"cd {WHEELS_IN_GUEST} && {pip} *.whl 2>&1", 1800)
                guest.sh(f"/opt/rigbus/venv/bin/python -c '{VERSION}' > /opt/rigbus/venv/made")  # as install.sh does
                guest.save("needs")
    if not _stamped(lab, "installed", _installed_hash()):
        print("lab: make install in it", flush=True)
        with _making(lab, "installed", _installed_hash()):
            _overlay(lab, "installed", "needs")
            with Guest(lab, "installed", "needs", keep=True) as guest:
                put_checkout(guest)
                guest.sh(f"cd {IN_GUEST} && make install WHEELS={WHEELS_IN_GUEST} 2>&1", 900)
                guest.save("installed")


def put_checkout(guest: Guest) -> None:
    """A copy of this checkout, as far as `make install` needs it, in the guest's IN_GUEST."""
    _put_tree(guest, IN_GUEST, {str(file.relative_to(CHECKOUT)): file for file in _shipped()})


def put_wheels(guest: Guest) -> None:
    """What rigbus needs, as wheels for the guest's Python, in the guest's WHEELS_IN_GUEST; fetched on the host."""
    version = guest.sh("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'").strip()
    platforms = ("any", *(f"manylinux_{glibc}_x86_64" for glibc in ("2_17", "2_26", "2_28", "2_31", "2_34", "2_36")))
    command = [sys.executable, "-m", "pip", "download", "-qq", "--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", version, "-c", str(CONSTRAINTS)]
    for abi in (f"cp{version.replace('.', '')}", "abi3", "none"):
        command += ["--abi", abi]
    for platform_name in (*platforms, "manylinux2014_x86_64"):
        command += ["--platform", platform_name]
    project = _pyproject()
    needs = project["project"]["dependencies"] + project["build-system"]["requires"]
    for extra in INSTALLED_EXTRAS:
        needs += project["project"]["optional-dependencies"][extra]
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run([*command, "-d", tmp, *needs], check=True, timeout=600)
        _put_tree(guest, WHEELS_IN_GUEST, {file.name: file for file in Path(tmp).iterdir()})


def _put_tree(guest: Guest, folder: str, files: dict[str, Path]) -> None:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, file in files.items():
            tar.add(file, name)
    guest.put("/var/tmp/tree.tar", packed.getvalue())
    guest.sh(f"rm -rf {folder} && mkdir -p {folder} && tar -xf /var/tmp/tree.tar -C {folder} --no-same-owner")
    guest.sh("rm /var/tmp/tree.tar")


@contextmanager
def locked(lab: Path) -> Iterator[None]:
    """One run at a time: two emulated machines on two cores would time out."""
    lab.mkdir(parents=True, exist_ok=True)
    with open(lab / "lock", "w") as f:
        end = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(f"another lab run holds {lab}/lock") from None
                time.sleep(0.5)
        for stale in lab.glob("run-*"):  # of a run that was killed; its machine died with it
            shutil.rmtree(stale, ignore_errors=True)
        yield


def _overlay(lab: Path, disk: str, below: str) -> None:
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", f"{below}.qcow2", f"{lab}/{disk}.qcow2"]
    subprocess.run(create, check=True, timeout=60)


# ---- stamps


def _stamped(lab: Path, piece: str, value: str) -> bool:
    try:
        return (lab / f"{piece}.stamp").read_text() == value
    except FileNotFoundError:
        return False


@contextmanager
def _making(lab: Path, piece: str, value: str) -> Iterator[None]:
    stamp = lab / f"{piece}.stamp"
    stamp.unlink(missing_ok=True)
    yield
    stamp.write_text(value)


def _hash(parts: Iterable[Path | str]) -> str:
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else str(part.relative_to(CHECKOUT)).encode() + part.read_bytes()
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()


def _files(*roots: Path) -> list[Path]:
    return sorted(f for root in roots for f in root.rglob("*") if f.is_file() and "__pycache__" not in f.parts)


def _shipped() -> list[Path]:
    return [*_files(*(CHECKOUT / name for name in SHIPPED)), *(CHECKOUT / name for name in SHIPPED_FILES)]


def _pyproject() -> dict[str, Any]:
    with open(CHECKOUT / "pyproject.toml", "rb") as f:
        return tomllib.load(f)


def _requirements() -> str:
    project = _pyproject()["project"]
    return "\n".join(project["dependencies"] + project["optional-dependencies"]["rpi"]) + "\n"


def _disk_hash() -> str:
    return _hash([HERE / "build.sh", *_files(HERE / "guest", HERE / "kmodsrc"), CONSTRAINTS, _requirements()])


def _base_hash() -> str:
    # Saved memory fits only the qemu and the command line that it was saved with.
    version = subprocess.run(
        ["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True, timeout=30
    )
    return _hash([_disk_hash(), HERE / "vm.py", version.stdout])


def _rig_hash() -> str:
    sources = _files(CHECKOUT / "daemons", CHECKOUT / "common")
    return _hash([_base_hash(), CHECKOUT / "pyproject.toml", *sources])


def _needs_hash() -> str:
    return _hash([_base_hash(), CHECKOUT / "pyproject.toml", CONSTRAINTS, VERSION])


def _installed_hash() -> str:
    return _hash([_needs_hash(), *_shipped()])
