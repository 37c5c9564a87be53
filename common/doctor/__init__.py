"""What a rig needs, whether it is there, and the one command that mends what is not. It changes nothing.

A daemon that runs is asked. Of one that does not, the device is opened as the daemon would open it, and let go of; the
lines of a pump are not: nothing here may move a motor.
"""

from collections.abc import Iterator

from common import rig
from common.config.schema import Config
from common.doctor import machine, running, stopped
from common.doctor.finding import Finding
from common.paths import Folders, is_alive


def examine(config: Config, folders: Folders) -> Iterator[Finding]:
    """Findings in the order of the daemons, the machine first."""
    yield from machine.examine(config, folders)
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
