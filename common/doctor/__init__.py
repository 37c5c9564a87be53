"""What a rig needs, whether it is there, and the one command that mends what is not. It changes nothing.

A daemon that runs is asked. Of one that does not, the device is opened as the daemon would open it, and let go of; the
lines of a pump are not: nothing here may move a motor.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from common import rig
from common.config.load import Loaded
from common.config.locate import CHECKOUT
from common.doctor import machine, running, stopped, units
from common.doctor.finding import Finding
from common.paths import Folders, is_alive


def examine(loaded: Loaded, folders: Folders) -> Iterator[Finding]:
    """Findings in the order of the daemons, the machine and the services first."""
    for finding in _examine(loaded, folders):
        finding.mend = _here(finding.mend)
        yield finding


def _here(mend: str) -> str:
    """What drivers say for a checkout, for an environment elsewhere, such as /opt/rigbus/venv."""
    if Path(sys.prefix).is_relative_to(CHECKOUT):
        return mend
    if mend == "scripts/install-cyclonedds.sh":
        return f"sudo {mend} {sys.prefix}/bin/python"
    return mend.replace(".venv/bin/pip install -e '.[", f"sudo {sys.prefix}/bin/pip install 'rigbus[")


def _examine(loaded: Loaded, folders: Folders) -> Iterator[Finding]:
    config, installed = loaded.config, units.is_installed(folders)
    yield from machine.examine(config, folders, as_service=installed)
    if installed:
        yield from units.readable(loaded.sources)
        yield from units.examine(config)
    daemons = rig.configured(config)
    alive = {d.name for d in daemons if is_alive(folders, d.name)}
    for daemon in daemons:
        if daemon.name in alive:
            yield from running.examine(daemon.name, config, folders)
            continue
        if alive:
            detail, mend = "the rig runs, and this daemon does not", running.log_of(daemon.name)
            yield Finding(daemon.name, "missing", detail, mend)
        if daemon.name in stopped.CHECKS:
            yield from stopped.CHECKS[daemon.name](getattr(config, daemon.name), config)
