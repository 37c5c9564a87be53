"""The Flux tasks that sum up pulses: a minute from raw, five minutes from minutes, an hour from five minutes.

A window is stamped with its start, and only whole windows are read, so none is written half. A point that comes late
is summed when a run looks back far enough: every run looks back a little, one an hour farther, one a day as far as raw
data is kept. A window that is summed again is overwritten by the same series and time. Each level looks back farther
than the one below it, and later, so that what that one corrected is found.
"""

import re

from msgspec import Struct

from common.config.schema import InfluxConfig

_DAY_S = 86400


class Look(Struct, frozen=True):
    """A run whose scheduled time (UTC) has this hour and minute (None: any) looks back so far."""

    hour: int | None
    minute: int | None
    back_s: int


class Window(Struct, frozen=True):
    """One task. looks: the first that fits counts; the last fits always. Every back_s is a multiple of every_s."""

    name: str
    every_s: int
    offset: str
    looks: tuple[Look, ...]


WINDOWS = (
    # one day less than raw data is kept: a window must never be summed from what retention has left of it
    Window("1m", 60, "10s", (Look(3, 0, 29 * _DAY_S), Look(None, 30, _DAY_S), Look(None, None, 3600))),
    Window("5m", 300, "20s", (Look(3, 30, 30 * _DAY_S), Look(None, 45, 2 * _DAY_S), Look(None, None, 7200))),
    Window("1h", 3600, "30s", (Look(4, None, 31 * _DAY_S), Look(None, None, 3 * _DAY_S))),
)
_DEFAULTS = InfluxConfig()


def task_name(window: Window, config: InfluxConfig) -> str:
    """The seed's name with its bucket; with a bucket of your own that too, as two rigs may share a server."""
    name, bucket = f"powerlogger_downsample_{window.name}", _bucket(window, config)
    return name if bucket == _bucket(window, _DEFAULTS) else f"{name} ({bucket})"


def task(window: Window, config: InfluxConfig) -> str:
    """The task's Flux."""
    index, every = WINDOWS.index(window), window.name
    source, measurement, field = config.raw_bucket, config.measurement, "Pulse"
    if index:
        below = WINDOWS[index - 1]
        source, measurement, field = _bucket(below, config), f"{measurement}_{below.name}", "PulseCount"
    return f"""// Made by `rigbus influx setup`, which puts it back when it was changed.
import "date"

option task = {{name: {literal(task_name(window, config))}, every: {every}, offset: {window.offset}}}

// Points may come late, after an outage: some runs look back farther, and sum those windows again.
hour = date.hour(t: now())
minute = date.minute(t: now())
back = {_choice(window.looks)}
stop = date.truncate(t: now(), unit: {every})
start = time(v: int(v: stop) - int(v: back))

from(bucket: {literal(source)})
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == {literal(measurement)} and r._field == {literal(field)})
    |> aggregateWindow(every: {every}, fn: sum, createEmpty: false, timeSrc: "_start")
    |> set(key: "_measurement", value: {literal(f"{config.measurement}_{every}")})
    |> set(key: "_field", value: "PulseCount")
    |> set(key: "window", value: {literal(every)})
    |> to(bucket: {literal(_bucket(window, config))})
"""


def same(one: str, other: str) -> bool:
    """Whether two texts are the same but for white space at the ends of lines: a server may keep it otherwise."""
    return [line.rstrip() for line in one.strip().splitlines()] == [
        line.rstrip() for line in other.strip().splitlines()
    ]


def writes_to(text: str, config: InfluxConfig) -> list[str]:
    """Which of the buckets of sums a Flux text hands to `to()`, as a task of somebody else's may."""
    handed = " ".join(re.findall(r"\bto\(([^)]*)\)", text))
    return [name for name in (_bucket(w, config) for w in WINDOWS) if literal(name) in handed]


def look_back_s(window: Window, hour: int, minute: int) -> int:
    """How far the run of this time looks back: what the task's `back` is."""
    return next(look.back_s for look in window.looks if look.hour in (None, hour) and look.minute in (None, minute))


def literal(text: str) -> str:
    """A Flux string. `${` would be put in for what stands in the braces."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'


def _choice(looks: tuple[Look, ...]) -> str:
    parts = []
    for look in looks:
        tests = [
            f"{key} == {value}" for key, value in (("hour", look.hour), ("minute", look.minute)) if value is not None
        ]
        parts.append(f"if {' and '.join(tests)} then {_duration(look.back_s)}" if tests else _duration(look.back_s))
    return " else ".join(parts)


def _duration(seconds: int) -> str:
    return f"{seconds // _DAY_S}d" if seconds % _DAY_S == 0 else f"{seconds // 3600}h"


def _bucket(window: Window, config: InfluxConfig) -> str:
    name: str = getattr(config, f"b{window.name}_bucket")
    return name
