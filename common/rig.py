"""The daemon table: adding one is a module in daemons/, a row here, a unit, a table of the configuration."""

from typing import NamedTuple

from common.config.schema import Config


class Daemon(NamedTuple):
    """name: table of the configuration. stage: started from 0 up, stopped the other way."""

    name: str
    stage: int
    stop_s: float  # how long its stop may take before it is killed
    serves: str = ""  # of a simulated peer: the daemon that talks to it

    @property
    def module(self) -> str:
        return f"common.sims.{self.name.removeprefix('sim-')}" if self.serves else f"daemons.{self.name}"


BUS, SINK, PEER, PRODUCER = range(4)
PARENT = "RIGBUS_SUPERVISOR"  # environment: pid of the `rigbus run` that a daemon ends with

DAEMONS = (
    Daemon("bus", BUS, 1.0),
    Daemon("sink", SINK, 5.0),
    Daemon("pulse", PRODUCER, 3.5),
    Daemon("highspeed", PRODUCER, 3.5),
    Daemon("thermostat", PRODUCER, 3.5),
    Daemon("pump", PRODUCER, 4.0),
    Daemon("dds", PRODUCER, 3.5),
    Daemon("gateway", PRODUCER, 4.0),
)


def configured(config: Config) -> list[Daemon]:
    """The daemons that the configuration asks for, in the order of their start."""
    sections = [(d, getattr(config, d.name)) for d in DAEMONS]
    return [d for d, section in sections if section is not None and getattr(section, "enabled", True)]


def peers(config: Config) -> list[Daemon]:
    """The simulated devices that `rigbus run` starts beside the daemons that talk to them."""
    rows = (
        (Daemon("sim-thermostat", PEER, 1.0, "thermostat"), config.sim.thermostat),
        (Daemon("sim-arm", PEER, 1.0, "dds"), config.sim.arm),
    )
    running = {d.name for d in configured(config)}
    return [peer for peer, wanted in rows if wanted and peer.serves in running]
