"""What a configuration must satisfy beyond the type of each key."""

import itertools
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from common import drivers
from common.config.keys import Path, describe, dotted, fields, fits, literal, shape_of
from common.config.schema import Config, Name
from common.config.tree import Source, refuse


class _Places:
    """Where keys stand, so that a contradiction is reported at the key that was read last."""

    def __init__(self, origins: Mapping[Path, Source], root: Source) -> None:
        self._origins = origins
        self._root = root

    def source(self, path: Path) -> Source:
        """The source of a key, else of the innermost table around it."""
        while path and path not in self._origins:
            path = path[:-1]
        return self._origins.get(path, self._root)

    def last(self, *paths: Path) -> Path:
        """The path that was read last; a key that is given counts before one that is a default."""
        return max(paths, key=lambda path: (path in self._origins, self.source(path)))


def check(config: Config, origins: Mapping[Path, Source], root: Source) -> None:
    """ConfigError, one line with the place of the later offender, at the first contradiction. `root`: the main file."""
    places = _Places(origins, root)
    if not fits(config.node, Name):  # the default is the host's name, which the schema does not check
        refuse(places.source(("node",)), ("node",), f"expected {describe(Name)}, got the host name {config.node!r}")
    _check_lines(config, places)
    _check_frames(config, places)
    _check_journal(config, places)
    _check_drivers(config, places)
    _check_outputs(config, places)


_KINDS: dict[str, drivers.Kind] = {
    "pulse": "edges",
    "highspeed": "samplers",
    "pump": "steppers",
}


def _check_drivers(config: Config, places: _Places) -> None:
    for section, kind in _KINDS.items():
        part = getattr(config, section)
        if part is None or not part.enabled or part.driver in drivers.SHIPPED[kind]:
            continue
        names = drivers.known(kind)
        if part.driver not in names:
            path = (section, "driver")
            refuse(places.source(path), path, f"no driver {literal(part.driver)}; there are: {', '.join(names)}")


_OUTPUT_NAMES = ("csv", "influx", "rollups", "store")  # taken, each with cursors or a quarantine of its own


def _check_outputs(config: Config, places: _Places) -> None:
    for name in config.sink.output:
        if name in _OUTPUT_NAMES:
            path = ("sink", "output", name)
            refuse(places.source(path), path, f"this name is taken; another one than {', '.join(_OUTPUT_NAMES)}")


_BUCKETS = ("raw_bucket", "b1m_bucket", "b5m_bucket", "b1h_bucket")


def check_outputs(config: Config, origins: Mapping[Path, Source], root: Source) -> None:
    """What `rigbus config check` looks at too. ConfigError; the rig itself goes on without an output that is wrong."""
    from common.sinks import plugged  # here: entry points of all packages are looked through

    places, there = _Places(origins, root), plugged()
    for name, plugin in config.sink.output.items():
        driver, here = plugin.driver or name, ("sink", "output", name, "driver")
        if plugin.enabled and driver not in there:
            refuse(places.source(here), here, f"no output {literal(driver)}; there are: {', '.join(there) or 'none'}")
    influx = config.sink.influx
    address = ("sink", "influx", "url")
    if not _is_address(influx.url):
        refuse(places.source(address), address, "expected the address of a server, as http://localhost:8086")
    for one, other in itertools.combinations(_BUCKETS, 2):
        if getattr(influx, one) == getattr(influx, other):
            later = places.last(("sink", "influx", one), ("sink", "influx", other))
            wrong = f"{one} and {other} are both {literal(getattr(influx, one))}: each needs a bucket of its own"
            refuse(places.source(later), later, wrong)


def _is_address(url: str) -> bool:
    try:
        found = urlsplit(url)
        return found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0 and " " not in url
    except ValueError:
        return False


def _check_lines(config: Config, places: _Places) -> None:
    for path in (("pulse", "channel"), ("thermostat", "device"), ("pump", "pump")):
        section = getattr(config, path[0])
        if section is not None and section.enabled and not getattr(section, path[1]):
            refuse(places.source(path), path, f"[{path[0]}] needs at least one [[{'.'.join(path)}]]")
    for (chip, line, one), (other_chip, other_line, other) in itertools.combinations(_gpio_lines(config), 2):
        if (chip, line) == (other_chip, other_line):
            later = places.last(one, other)
            earlier = one if later == other else other
            used = f"line {line} of {chip} is already used by {dotted(earlier)} ({places.source(earlier)})"
            refuse(places.source(later), later, used)


def _gpio_lines(config: Config) -> Iterator[tuple[str, int, Path]]:
    """Every GPIO line in use: chip, line, the key that says so. Pumps and meters share chips: all come in here."""
    if config.pulse is not None and config.pulse.enabled:
        for channel in config.pulse.channel:
            yield config.pulse.chip, channel.line, ("pulse", "channel", channel.name, "line")
    if config.pump is not None and config.pump.enabled:
        for pump in config.pump.pump:
            for key in ("step", "dir", "en"):
                yield config.pump.chip, getattr(pump, key), ("pump", "pump", pump.name, key)


def _check_frames(config: Config, places: _Places) -> None:
    highspeed = config.highspeed
    if highspeed is None:
        return
    if highspeed.frame_ms * highspeed.rate_hz < 1000:
        path = places.last(("highspeed", "frame_ms"), ("highspeed", "rate_hz"))
        wrong = f"a frame of {highspeed.frame_ms:g} ms at {highspeed.rate_hz:g} Hz holds less than one sample"
        refuse(places.source(path), path, wrong)


def _check_journal(config: Config, places: _Places) -> None:
    consumers, path = config.journal.consumers, ("journal", "consumers")
    for name in consumers:
        if consumers.count(name) > 1:
            refuse(places.source(path), path, f"{literal(name)} stands there twice")
    if config.sink.name not in consumers:
        later = places.last(("sink", "name"), path)
        wrong = f"{literal(config.sink.name)}, the sink's name, is not in journal.consumers {literal(consumers)}"
        refuse(places.source(later), later, f"{wrong}: nothing would be kept for it")
    known = list(daemons())
    for name in config.journal.daemon:
        if name not in known:  # a typing error here would leave pulses in memory unnoticed
            here = ("journal", "daemon", name)
            refuse(places.source(here), here, f"no such daemon; known: {', '.join(known)}")


def daemons() -> Iterator[str]:
    """The daemons that have a section: those tables of the schema that say on which CPU."""
    for key, field in fields(Config).items():
        _, inner = shape_of(field.type)
        if "cpu" in getattr(inner, "__struct_fields__", ()):
            yield key
