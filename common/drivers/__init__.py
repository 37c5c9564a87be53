"""Drivers by name: a table of the shipped ones, extended by entry points of other packages.

A name stands for "module:class" or "module:function", imported only when it is used, called with the configuration.
`rigbus.edges`: common.drivers.edges.EdgeSource. `rigbus.samplers`: common.drivers.samplers.Sampler. `rigbus.steppers`:
common.drivers.steppers.Stepper. How to write one: docs/extend.md.
"""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from common.config.schema import HighspeedConfig, PulseConfig, PumpConfig, PumpLines
from common.drivers.edges import EdgeSource
from common.drivers.samplers import Sampler
from common.drivers.steppers import Stepper
from common.errors import ConfigError, DeviceMissing

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

EDGES = {
    "sim": "common.drivers.edges_sim:SimEdges",
    "gpiod": "common.drivers.edges_gpiod:GpiodEdges",
    "rpigpio": "common.drivers.edges_rpigpio:RpiGpioEdges",
}
SAMPLERS = {
    "sim": "common.drivers.mpu6050:open_sim",
    "mpu6050": "common.drivers.mpu6050:open_mpu6050",
    "adxl345": "common.drivers.adxl345:open_adxl345",
}
STEPPERS = {
    "sim": "common.drivers.steppers_sim:SimStepper",
    "lgpio": "common.drivers.steppers_lgpio:LgpioStepper",
    "gpiod": "common.drivers.steppers_gpiod:GpiodStepper",
    "rpigpio": "common.drivers.steppers_rpigpio:RpiGpioStepper",
}
_MEND = ".venv/bin/pip install -e '.[rpi]'"
SHIPPED = {"edges": EDGES, "samplers": SAMPLERS, "steppers": STEPPERS}
Kind = Literal["edges", "samplers", "steppers"]


def known(kind: Kind) -> list[str]:
    """The names that the configuration may use."""
    return sorted({*SHIPPED[kind], *(point.name for point in _plugged(kind))})


def _plugged(kind: str) -> "Iterable[EntryPoint]":
    from importlib.metadata import entry_points  # here: the command that units ask at their start does without it

    return entry_points(group=f"rigbus.{kind}")


def open_edges(cfg: PulseConfig) -> EdgeSource:
    """The configured edge source, its lines requested. Raises ConfigError, DeviceMissing."""
    source: EdgeSource = find("edges", cfg.driver)(cfg)
    return source


def open_sampler(cfg: HighspeedConfig) -> Sampler:
    """The configured sensor, ready to sample. Raises ConfigError, DeviceMissing."""
    sampler: Sampler = find("samplers", cfg.driver)(cfg)
    return sampler


def open_stepper(cfg: PumpConfig, pump: PumpLines, run: Path) -> Stepper:
    """One pump's motor, its EN inactive; run: the run folder. Raises ConfigError, DeviceMissing."""
    stepper: Stepper = find("steppers", cfg.driver)(cfg, pump, run)
    return stepper


def find(kind: str, name: str) -> Any:
    """The driver's class, imported. Raises ConfigError for an unknown name, DeviceMissing without its library."""
    shipped, plugged = SHIPPED[kind], {}
    for point in _plugged(kind):
        if point.name in shipped or point.name in plugged:
            raise ConfigError(f"driver {point.name!r} is given twice, once by {point.value}")
        plugged[point.name] = point
    if name in plugged:
        try:
            return plugged[name].load()
        except (ImportError, AttributeError, RuntimeError) as e:
            raise DeviceMissing(f"driver {name} ({plugged[name].value}): {e}") from None
    if name not in shipped:
        raise ConfigError(f"no driver {name!r} for {kind}; there are: {', '.join(sorted([*shipped, *plugged]))}")
    module, _, attribute = shipped[name].partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, RuntimeError) as e:  # RPi.GPIO raises RuntimeError off a Pi
        raise DeviceMissing(f"driver {name}: {e} (its library comes with the extra `rpi`: {_MEND})", _MEND) from None
