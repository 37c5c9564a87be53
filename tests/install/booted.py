"""An installed machine with systemd as PID 1, in namespaces of its own: it boots in a second, nothing is emulated.

It sees no device of the host and no network but its own loopback; cgroups are there to tell processes apart, without
limits. What needs kernel GPIO, I2C, memory limits or another clock is in tests/lab.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from install_machine import Machine

_BOOT_S = 60.0
_NAMESPACES = "--cgroup --mount --pid --uts --ipc --net --fork --kill-child"
# Paths of the host that hold its state are emptied; /proc/sys is read-only, as it is the host's own.
_BOOT = """set -e
mount -t overlay overlay -o lowerdir=/,upperdir={upper},workdir={work} {root}
cd {root}
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
if [ -e proc/sysrq-trigger ]; then mount --bind /dev/null proc/sysrq-trigger; fi
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for place in run tmp var/tmp var/log dev; do mount -t tmpfs -o mode=755 tmpfs $place; done
chmod 1777 tmp var/tmp
for device in null zero full random urandom tty; do touch dev/$device; mount --bind /dev/$device dev/$device; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
: > etc/fstab
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-modules-load.service; do
    ln -sf /dev/null etc/systemd/system/$unit
done
mkdir .host
pivot_root . .host
umount -l .host
mount --make-rshared /
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec env -i container=rigbus PATH=$PATH /lib/systemd/systemd --unit=basic.target --log-target=journal
"""


def missing() -> str:
    """Why no machine can be booted here; empty: one can."""
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/lib/systemd/systemd").exists() or not shutil.which("nsenter"):
        return "needs systemd and nsenter"
    return "" if _cgroups() else "needs cgroups of version 2"


class Booted:
    """machine: installed, and not used by anybody else meanwhile."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        root = _cgroups()
        assert root is not None
        self._cgroup = Path(tempfile.mkdtemp(prefix="rigbus-test-", dir=root))
        script = _BOOT.format(upper=machine.upper, work=machine.work, root=machine.root)
        enter = f"echo $$ > {self._cgroup}/cgroup.procs && exec setpriv --pdeathsig KILL unshare"
        self._host = subprocess.Popen(
            ["bash", "-c", f"{enter} {_NAMESPACES} bash -c {shlex.quote(script)}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._pid = self._first()
        self.until("systemctl is-system-running 2>&1 | grep -qE 'running|degraded'", _BOOT_S)

    def _first(self) -> int:
        """PID 1 as this machine numbers it."""
        end = time.monotonic() + _BOOT_S
        while time.monotonic() < end and self._host.poll() is None:
            for pid in Path(f"/proc/{self._host.pid}/task/{self._host.pid}/children").read_text().split():
                with suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                        return int(pid)
            time.sleep(0.02)
        self._host.kill()
        said = self._host.communicate()[0].decode(errors="replace")
        self.close()
        raise RuntimeError(f"systemd did not start: {said}")

    def run(self, command: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """A bash command as root in it, its output and errors together."""
        enter = ["nsenter", "-t", str(self._pid), "-m", "-p", "-u", "-i", "-C", "-n", "-r", "-w"]
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.run(
            [*enter, "/usr/bin/env", "-i", "HOME=/root", path, "bash", "-c", command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip

    def sh(self, command: str, timeout_s: float = 120) -> str:
        """What it says. RuntimeError: it failed."""
        done = self.run(command, timeout_s)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.returncode}\n{done.stdout}")
        return done.stdout

    def until(self, condition: str, timeout_s: float = 120, what: str = "") -> None:
        """Waits until a command succeeds. AssertionError: not in time; it shows what units said."""
        end = time.monotonic() + timeout_s
        while self.run(condition).returncode:
            if time.monotonic() > end:
                log = self.run("journalctl -q --no-pager -o short-monotonic -n 60").stdout
                raise AssertionError(f"not so after {timeout_s:g} s: {what or condition}\n{log}")
            time.sleep(0.2)

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file in it, of root's."""
        enter = ["nsenter", "-t", str(self._pid), "-m", "-r", "-w"]
        quoted = shlex.quote(path)
        script = f'mkdir -p "$(dirname {quoted})" && cat > {quoted} && chmod {mode:o} {quoted}'
        subprocess.run([*enter, "bash", "-c", script], input=text, text=True, check=True, timeout=30)

    def close(self) -> None:
        """Ends all that runs in it, as a power cut does."""
        self._host.kill()
        self._host.wait(30)
        if self._host.stdout is not None:
            self._host.stdout.close()
        end = time.monotonic() + 10
        while self._cgroup.exists() and time.monotonic() < end:
            for folder in sorted(self._cgroup.rglob("*"), reverse=True):
                if folder.is_dir():
                    with suppress(OSError):
                        folder.rmdir()
            with suppress(OSError):
                self._cgroup.rmdir()
            time.sleep(0.05)
        if self._cgroup.exists():
            print(f"left behind: {self._cgroup}", file=sys.stderr)


def _cgroups() -> Path | None:
    """Where cgroups of version 2 are mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            return Path(place)
    return None
