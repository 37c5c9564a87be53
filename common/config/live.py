"""What of the configuration a running daemon takes when it reads it anew. docs/config.md lists it for users.

A row names a key, or a table with all that is in it, elements that come and go included. What is not in a daemon's row
needs a restart of it.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar, cast

from msgspec import Struct

from common.config.keys import NAME_SLOT, Path, Shape, fields, shape_of
from common.config.schema import Config

_JOURNAL = ("journal.max_bytes", "journal.keep_s", "journal.sync", "journal.daemon.<name>.max_bytes")
_IMP = "pulse.channel.<name>.imp_per_kwh"
_PUMP_KEYS = (
    *("hz", "ramp_s", "steps_per_ml", "legacy_presets", "max_steps", "max_s", "max_ml"),
    *("max_steps_day", "max_s_day", "max_ml_day"),
)
_PUMP = tuple(f"pump.pump.<name>.{key}" for key in _PUMP_KEYS)

LIVE: dict[str, tuple[str, ...]] = {
    "bus": ("bus.cpu",),
    "pulse": ("pulse.channel.<name>.min_interval_ms", _IMP, "pulse.cpu", *_JOURNAL),
    "highspeed": ("highspeed.frame_ms", "highspeed.cpu", *_JOURNAL),
    "thermostat": ("thermostat.device", "thermostat.cpu", *_JOURNAL),
    "pump": (*_PUMP, "pump.cpu", *_JOURNAL),
    "dds": ("dds.allow_motion", "dds.stale_s", "dds.cpu", *_JOURNAL),
    "sink": (
        *("sink.commit_s", "sink.retention_days", "sink.rollup_1m_days", "sink.rollup_5m_days", "sink.min_free_mb"),
        *("sink.csv", "sink.influx", "sink.output", "sink.cpu", "clock.hold_s", _IMP),
    ),
    "gateway": ("gateway.names", "gateway.cpu", _IMP, "thermostat.device", *_PUMP, *_JOURNAL),
}
# What a daemon reads besides its own table; another change is none of its business.
_READS: dict[str, tuple[str, ...]] = {
    "bus": ("node", "paths"),
    "sink": ("node", "paths", "clock", "journal", _IMP),
    "gateway": ("node", "paths", "pulse", "highspeed", "thermostat", "pump", "dds", "sink"),
}
_PRODUCER_READS = ("node", "paths")
_JOURNALED = ("journal.place", "journal.max_bytes", "journal.keep_s", "journal.sync", "journal.consumers")

S = TypeVar("S", bound=Struct)


def taken_over(src: str, old: Config, new: Config) -> Config:
    """The old configuration with what a running daemon takes of the new one."""
    return _merged(old, new, [_parts(row) for row in LIVE.get(src, ())], ())


def changes(old: Config, new: Config) -> Iterator[Path]:
    """Keys with another value; a table that is in one of them only stands for all that is in it."""
    return _differences(old, new, ())


def concerns(src: str, path: Path) -> bool:
    """Whether a daemon reads that key at all."""
    rows = [src, *_READS.get(src, _PRODUCER_READS), *LIVE.get(src, ())]
    if src not in ("bus", "sink"):
        rows += [*_JOURNALED, f"journal.daemon.{src}"]
        if path[:2] == ("journal", "daemon") and path[2:3] != (src,):
            return False
    return any(_fits(_parts(row), path) for row in rows)


def _parts(row: str) -> Path:
    return tuple(row.split("."))


def _fits(row: Path, path: Path) -> bool:
    """Whether one lies within the other."""
    return all(slot in (NAME_SLOT, part) for slot, part in zip(row, path, strict=False))


def _is_live(rows: Sequence[Path], path: Path) -> bool:
    return any(len(row) <= len(path) and _fits(row, path) for row in rows)


def _merged(old: S, new: S, rows: Sequence[Path], path: Path) -> S:
    values = {}
    for key, field in fields(type(old)).items():
        here, (shape, inner) = (*path, key), shape_of(field.type)
        a, b = getattr(old, key), getattr(new, key)
        if a == b or _is_live(rows, here):
            a = b
        elif shape is Shape.TABLE and a is not None and b is not None:
            a = _merged(a, b, rows, here)
        elif shape is Shape.ARRAY:
            found = {element.name: element for element in b}
            a = [_merged(e, found[e.name], rows, (*here, e.name)) if e.name in found else e for e in a]
        elif shape is Shape.MAP:
            names = dict.fromkeys([*a, *b])
            a = {n: _merged(a.get(n) or inner(), b.get(n) or inner(), rows, (*here, n)) for n in names}
        values[key] = a
    return type(old)(**values)


def _differences(old: Struct, new: Struct, path: Path) -> Iterator[Path]:
    for key, field in fields(type(old)).items():
        here, (shape, inner) = (*path, key), shape_of(field.type)
        a, b = getattr(old, key), getattr(new, key)
        if a == b:
            continue
        if shape is Shape.TABLE and a is not None and b is not None:
            yield from _differences(a, b, here)
        elif shape is Shape.ARRAY:
            ones, others = ({element.name: element for element in side} for side in (a, b))
            yield from _by_name(ones, others, here)
        elif shape is Shape.MAP:
            empty = cast(Struct, inner())
            for name in dict.fromkeys([*a, *b]):
                yield from _differences(a.get(name, empty), b.get(name, empty), (*here, name))
        else:
            yield here


def _by_name(ones: dict[str, Struct], others: dict[str, Struct], path: Path) -> Iterator[Path]:
    for name in dict.fromkeys([*ones, *others]):
        one, other = ones.get(name), others.get(name)
        if one is None or other is None:
            yield (*path, name)
        else:
            yield from _differences(one, other, (*path, name))
