"""The daemon table: adding one is a module in daemons/, a row here, a unit, a table of the configuration."""

from typing import NamedTuple

from common.config.schema import Config


class Daemon(NamedTuple):
    """name: table of the configuration. stage: started from 0 up, stopped the other way."""

    name: str
    stage: int
    stop_s: float  # how long its stop may take before it is killed

    @property
    def module(self) -> str:
        return f"common.sims.{self.name.removeprefix('sim-')}" if self.stage == PEER else f"daemons.{self.name}"


BUS, SINK, PEER, PRODUCER = range(4)
PARENT = "RIGBUS_SUPERVISOR"  # environment: pid of the `rigbus run` that a daemon ends with

DAEMONS = (
    Daemon("bus", BUS, 1.0),
    Daemon("sink", SINK, 2.0),
    Daemon("pulse", PRODUCER, 3.5),
    Daemon("highspeed", PRODUCER, 3.5),
    Daemon("thermostat", PRODUCER, 3.5),
    Daemon("pump", PRODUCER, 4.0),
    Daemon("dds", PRODUCER, 3.5),
)


def configured(config: Config) -> list[Daemon]:
    """The daemons that the configuration asks for, in the order of their start."""
    sections = [(d, getattr(config, d.name)) for d in DAEMONS]
    return [d for d, section in sections if section is not None and getattr(section, "enabled", True)]


def peers(config: Config) -> list[Daemon]:
    """The simulated devices that `rigbus run` starts beside the daemons that talk to them."""
    running = {d.name for d in configured(config)}
    wanted = {
        "sim-thermostat": config.sim.thermostat and "thermostat" in running,
        "sim-arm": config.sim.arm and "dds" in running,
    }
    return [Daemon(name, PEER, 1.0) for name, yes in wanted.items() if yes]
