"""The daemon table: adding one is a module in daemons/, a row here, a unit, a table of the configuration."""

from typing import NamedTuple

from common.config.schema import Config


class Daemon(NamedTuple):
    """name: module in daemons/ and table of the configuration. stage: started from 0 up, stopped from 2 down."""

    name: str
    stage: int
    stop_s: float  # how long its stop may take before it is killed


BUS, SINK, PRODUCER = 0, 1, 2
PARENT = "RIGBUS_SUPERVISOR"  # environment: pid of the `rigbus run` that a daemon ends with

DAEMONS = (
    Daemon("bus", BUS, 1.0),
    Daemon("sink", SINK, 2.0),
    Daemon("pulse", PRODUCER, 3.5),
    Daemon("highspeed", PRODUCER, 3.5),
)


def configured(config: Config) -> list[Daemon]:
    """The daemons that the configuration asks for, in the order of their start."""
    return [d for d in DAEMONS if getattr(config, d.name) is not None]
