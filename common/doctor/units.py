"""The systemd units of an installed rig: there, enabled, running, not given up; and whether their log can be read."""

import grp
import os
import pwd
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from common import rig
from common.config.locate import SYSTEM_FOLDERS
from common.config.schema import Config
from common.doctor.finding import Finding
from common.doctor.running import log_of
from common.paths import Folders

_TARGET = "rigbus.target"
_PROPERTIES = "Id,LoadState,UnitFileState,ActiveState,SubState,Result,NRestarts,ExecMainStatus,StatusText"
_INSTALL = "sudo make install  # in the checkout"
_ANSWER_S = 30
_BAD_CONFIG = "78"
_JOURNALS = (Path("/var/log/journal"), Path("/run/log/journal"))

Unit = dict[str, str]


def is_installed(folders: Folders) -> bool:
    """Whether this is the rig that units run: the one on the system's folders, where systemd runs."""
    return tuple(folders) == tuple(SYSTEM_FOLDERS) and Path("/run/systemd/system").is_dir()


def readable(files: Iterable[Path]) -> Iterator[Finding]:
    """Files of the configuration that the services may not read, whoever asks."""
    try:
        user = pwd.getpwnam("rigbus")
    except KeyError:
        return
    groups = {user.pw_gid, *(group.gr_gid for group in grp.getgrall() if "rigbus" in group.gr_mem)}
    for file in files:
        there = file.stat()
        mine = 0o400 if there.st_uid == user.pw_uid else 0o040 if there.st_gid in groups else 0o004
        if not there.st_mode & mine:
            mend = f"sudo chgrp rigbus {file} && sudo chmod 640 {file}"
            yield Finding("configuration", "missing", f"{file}: the services, user rigbus, may not read it", mend)


def examine(config: Config) -> Iterator[Finding]:
    """The target, each daemon's unit, the log, and which devices are simulated."""
    names = [daemon.name for daemon in rig.DAEMONS]
    units = _show([_TARGET, *map(_unit, names)])
    if units is None:
        yield Finding("units", "missing", "systemctl does not answer", "systemctl status")
        return
    target = units.get(_TARGET, {})
    yield _target(target)
    if target.get("LoadState") != "loaded":
        return
    asked_for = {daemon.name for daemon in rig.configured(config)}
    for name in names:
        unit = units.get(_unit(name), {})
        if name in asked_for:
            yield _daemon(name, unit, started=target.get("ActiveState") == "active")
        elif unit.get("ActiveState") == "active":
            detail = "runs, and the configuration does not ask for it"
            yield Finding(_unit(name), "warning", detail, f"sudo systemctl restart {_unit(name)}")
        else:
            yield Finding(_unit(name), "ok", "rests: the configuration does not ask for it")
    yield _log()
    for name in sorted(asked_for):
        if getattr(getattr(config, name), "driver", "") == "sim":
            mend = f"rigbus config show | grep -n -A3 '\\[{name}\\]'  # the file where driver stands"
            yield Finding(name, "warning", "simulated: what it records is not real", mend)


def _unit(name: str) -> str:
    return f"rigbus-{name}.service"


def _show(names: list[str]) -> dict[str, Unit] | None:
    """Properties by unit; None where systemd cannot be asked."""
    command = ["systemctl", "show", f"--property={_PROPERTIES}", *names]
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    units = (dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in out.split("\n\n"))
    return {unit["Id"]: unit for unit in units if "Id" in unit}


def _target(unit: Unit) -> Finding:
    if unit.get("LoadState") != "loaded":
        return Finding(_TARGET, "missing", "not installed as services", _INSTALL)
    if unit["ActiveState"] != "active":
        return Finding(_TARGET, "missing", "not started", f"sudo systemctl start {_TARGET}")
    if unit["UnitFileState"] != "enabled":
        return Finding(_TARGET, "missing", "does not start at boot", f"sudo systemctl enable {_TARGET}")
    return Finding(_TARGET, "ok", "started, and at each boot")


def _daemon(name: str, unit: Unit, *, started: bool) -> Finding:
    what, state = _unit(name), unit.get("ActiveState")
    if unit.get("LoadState") == "masked":
        return Finding(what, "missing", "masked", f"sudo systemctl unmask {what}")
    if unit.get("LoadState") != "loaded":
        return Finding(what, "missing", "no such unit", _INSTALL)
    if state == "failed":
        return _failed(name, unit)
    if unit.get("SubState") == "auto-restart":
        return Finding(what, "missing", f"ended, and is started again ({unit['NRestarts']} times so far)", log_of(name))
    if state == "activating":
        return Finding(what, "warning", f"starting: {unit.get('StatusText') or 'no word from it yet'}", log_of(name))
    if state in ("inactive", "deactivating") and started:
        return Finding(what, "missing", "stopped", f"sudo systemctl start {what}")
    if unit.get("UnitFileState") not in ("enabled", "enabled-runtime", "alias", "static", "linked"):
        return Finding(what, "missing", "does not start at boot", f"sudo systemctl enable {what}")
    restarts = int(unit.get("NRestarts") or 0)
    times = f", restarted {restarts} times by systemd" if restarts > 1 else ", restarted once by systemd"
    return Finding(what, "ok", f"{state}, enabled{times if restarts else ''}")


def _failed(name: str, unit: Unit) -> Finding:
    what = _unit(name)
    if unit.get("ExecMainStatus") == _BAD_CONFIG:
        return Finding(
            what, "missing", "its configuration or a token is refused", f"rigbus config check; {log_of(name)}"
        )
    again = f"sudo systemctl reset-failed {what} && sudo systemctl start {what}"
    mend = f"journalctl -u {what.removesuffix('.service')} -e  # why; when it is mended: {again}"
    if unit.get("Result") == "start-limit-hit":
        return Finding(what, "missing", "ended too often in a short time: systemd does not start it any more", mend)
    return Finding(what, "missing", f"failed: {unit.get('Result')}", mend)


def _log() -> Finding:
    """Root, and members of systemd-journal, adm or wheel, see what the daemons say."""
    kept = [file for folder in _JOURNALS for file in folder.glob("*/system.journal")]
    if not kept:
        return Finding("log", "warning", "no journal is kept here", "systemctl status systemd-journald")
    if any(os.access(file, os.R_OK) for file in kept):
        return Finding("log", "ok", "journalctl -u 'rigbus-*'")
    mend = 'sudo usermod -aG systemd-journal "$USER"  # then log in again'
    return Finding("log", "missing", "you may not read the journal", mend)
