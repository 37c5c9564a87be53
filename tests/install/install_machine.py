"""A machine to install on: the host's file system under a layer that takes all changes, entered by chroot.

Paths are the real ones (/opt/rigbus, /etc/rigbus), so the scripts run as they are. Nothing runs as PID 1 there, and the
host's other mounts are not seen.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
SHIPPED = ("common", "daemons", "config", "systemd", "scripts")
SHIPPED_FILES = ("Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE", ".env.example")

_ENTER = """set -e
mount -t overlay overlay -o lowerdir=/,upperdir={upper},workdir={work} {root}
mkdir -p {root}/wheels
mount --bind -o ro {wheels} {root}/wheels
mount -t proc proc {root}/proc
mount --rbind /dev {root}/dev
exec chroot {root} /usr/bin/env -i HOME=/root PATH={path} bash -c {command}
"""


class Machine:
    """folder: where its layer lies. wheels: what it sees as /wheels."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.wheels = wheels
        self.upper, self.work, self.root = folder / "up", folder / "work", folder / "root"
        self.said = ""
        for part in (self.upper, self.work, self.root):
            part.mkdir(parents=True)

    def copy(self, folder: Path) -> Machine:
        """Another machine, as this one has become."""
        machine = Machine(folder, self.wheels)
        subprocess.run(["cp", "-a", f"{self.upper}/.", str(machine.upper)], check=True, timeout=120)
        machine.said = self.said
        return machine

    def run(self, command: str, *, first_in_path: str = "") -> subprocess.CompletedProcess[str]:
        """A bash command as root, its output and errors together."""
        path = ":".join(filter(None, (first_in_path, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")))
        script = _ENTER.format(
            upper=self.upper,
            wheels=self.wheels,
            work=self.work,
            root=self.root,
            path=path,
            command=shlex.quote(command),
        )
        return subprocess.run(
            ["unshare", "--mount", "bash", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=300,
            check=False,
        )

    def sh(self, command: str, *, first_in_path: str = "") -> str:
        """What it says. RuntimeError: it failed."""
        done = self.run(command, first_in_path=first_in_path)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.returncode}\n{done.stdout}")
        return done.stdout

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.upper / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def put_tree(self, folder: Path, path: str) -> None:
        shutil.copytree(folder, self.upper / path.lstrip("/"), ignore=shutil.ignore_patterns("__pycache__"))

    def put_checkout(self, path: str) -> None:
        """What `make install` takes from a checkout."""
        for name in SHIPPED:
            self.put_tree(CHECKOUT / name, f"{path}/{name}")
        for name in SHIPPED_FILES:
            shutil.copy(CHECKOUT / name, self.upper / path.lstrip("/") / name)

    def stat(self, path: str) -> str:
        """Owner, group and mode."""
        return self.sh(f"stat -c '%U:%G %a' {path}").strip()
