"""The machine under the rig: folders, room, CPUs, real-time priority, the clock."""

import os
import resource
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from common import rig
from common.clock import is_synchronised
from common.config.schema import Config
from common.doctor.finding import Finding
from common.paths import Folders

_FREE_BYTES = 200 << 20  # below this a day of vibration does not fit


def examine(config: Config, folders: Folders, *, as_service: bool = False) -> Iterator[Finding]:
    """as_service: the daemons are units, which bring the limits that they need."""
    for name, folder in zip(("data folder", "run folder"), folders, strict=True):
        yield _folder(name, folder)
    yield _space(folders)
    cpus = os.cpu_count() or 1
    for daemon in rig.configured(config):
        wanted = getattr(config, daemon.name).cpu
        numbers = [wanted] if isinstance(wanted, int) else wanted if isinstance(wanted, list) else []
        if missing := [n for n in numbers if n >= cpus]:
            detail = f"CPU {missing} of {daemon.name} is not there ({cpus} CPUs): it runs unpinned"
            yield Finding("cpu", "warning", detail, f"rigbus config show | grep -n cpu  # {daemon.name}.cpu")
    highspeed = config.highspeed
    if highspeed is not None and highspeed.enabled and highspeed.priority and not as_service:
        yield _realtime(highspeed.priority)
    if is_synchronised():
        yield Finding("clock", "ok", "synchronised")
    else:
        yield Finding("clock", "warning", "not synchronised: stamps may be off", "sudo timedatectl set-ntp true")


def _folder(name: str, folder: Path) -> Finding:
    here = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(here, os.W_OK | os.X_OK):
        detail = f"{here}: no permission to write"
        if here == folder:  # somebody's, perhaps a rig's that runs: it is to be shared, not taken away
            return Finding(name, "missing", detail, f'sudo usermod -aG {_group(here)} "$USER"  # then log in again')
        return Finding(name, "missing", detail, f'sudo install -d -o "$USER" {shlex.quote(str(folder))}')
    return Finding(name, "ok", str(folder) if here == folder else f"{folder} (made at the start)")


def _group(path: Path) -> str:
    try:
        return path.group()
    except (KeyError, OSError):
        return str(path.stat().st_gid)


def _space(folders: Folders) -> Finding:
    here = next(path for path in (folders.data, *folders.data.parents) if path.exists())
    free = shutil.disk_usage(here).free
    if free < _FREE_BYTES:
        return Finding(
            "disk", "warning", f"{free / 1e6:.0f} MB free", f"du -xh --max-depth=1 {shlex.quote(str(here))} | sort -h"
        )
    return Finding("disk", "ok", f"{free / 1e9:.1f} GB free")


def _realtime(priority: int) -> Finding:
    soft = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    if os.geteuid() == 0 or soft == resource.RLIM_INFINITY or soft >= priority:
        return Finding("real-time", "ok", f"priority {priority} may be taken")
    mend = 'echo "$USER - rtprio 99" | sudo tee /etc/security/limits.d/rigbus.conf  # then log in again'
    return Finding(
        "real-time", "warning", f"limit {soft} is below highspeed.priority {priority}: loops may be late", mend
    )
