"""Outputs by name: a table of the shipped ones, extended by entry points `rigbus.outputs` of other packages.

A name stands for "module:class", imported only when it is used, called with a Place. How to write one: docs/extend.md.
"""

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from common.config.schema import Config
from common.errors import ConfigError
from common.log import Log
from common.secrets import Secrets
from common.sinks.output import Output, Place

SHIPPED = {
    "csv": "common.sinks.csv.output:CsvOutput",
    "influx": "common.sinks.influx.output:InfluxOutput",
}
EXTRAS = {"influx": "influx"}  # output → the extra that has its libraries


def plugged() -> list[str]:
    """The names that `driver` of `[sink.output.<name>]` may use."""
    return sorted({point.name for point in entry_points(group="rigbus.outputs")} - SHIPPED.keys())


def enabled(config: Config) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name → (driver, options) of each output that the configuration switches on."""
    sink = config.sink
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    if sink.csv.enabled:
        found["csv"] = "csv", {}
    if sink.influx.enabled:
        found["influx"] = "influx", {}
    for name, plugin in sink.output.items():
        if plugin.enabled:
            found[name] = plugin.driver or name, dict(plugin.options)
    return found


def settings(name: str, config: Config) -> Any:
    """All of the configuration that an output goes by; None: it is not switched on."""
    sink, found = config.sink, enabled(config).get(name)
    return found and {"csv": (sink.csv, sink.min_free_mb), "influx": sink.influx}.get(name, found)


def open_output(name: str, config: Config, data: Path, log: Log, secrets: Secrets) -> Output:
    """An enabled output, opened: it has not looked at any server or folder yet. Raises ConfigError."""
    driver, options = enabled(config)[name]
    if driver in ("csv", "influx") and driver != name:
        raise ConfigError(f"sink.output.{name}: {driver} has a table of its own, [sink.{driver}]")
    output: Output = find(driver)(Place(name, config, data, log, secrets, options))
    return output


def find(driver: str) -> Any:
    """The output's class, imported. Raises ConfigError for an unknown one, or one whose library is missing."""
    plugged = {}
    for point in entry_points(group="rigbus.outputs"):
        if point.name in SHIPPED or point.name in plugged:
            raise ConfigError(f"output {point.name!r} is given twice, once by {point.value}")
        plugged[point.name] = point
    if driver in plugged:
        try:
            return plugged[driver].load()
        except (ImportError, AttributeError) as e:
            raise ConfigError(f"output {driver} ({plugged[driver].value}): {e}") from None
    if driver not in SHIPPED:
        raise ConfigError(f"no output {driver!r}; there are: {', '.join(sorted([*SHIPPED, *plugged]))}")
    module, _, attribute = SHIPPED[driver].partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ImportError as e:
        mend = f"; its libraries: .venv/bin/pip install -e '.[{EXTRAS[driver]}]'" if driver in EXTRAS else ""
        raise ConfigError(f"output {driver}: {e}{mend}") from None
