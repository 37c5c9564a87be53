"""What a series' name says: its unit, how to draw it, and where its raw values stand. The names are docs/store.md's."""

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from common.errors import RigbusError
from common.store.rows import THERMOSTAT_FIELDS


class UnknownSeries(RigbusError):
    """Not a name of a series."""


class OfSamples(NamedTuple):
    sensor: str
    axis: str


class OfPulses(NamedTuple):
    """watts: the power between edges; else the lifetime count."""

    channel: str
    watts: bool


class OfRows(NamedTuple):
    """A column of a table. time: `t_ns` (ns) or `ts` (s). where: SQL, with `values` in its places."""

    table: str
    time: Literal["t_ns", "ts"]
    column: str
    where: str
    values: tuple[str | int | None, ...]


class Series(NamedTuple):
    """unit "": none, or only the data tell. step: a value holds until the next. periodic: values come by a clock."""

    name: str
    unit: str
    kind: Literal["step", "line"]
    periodic: bool
    raw: OfSamples | OfPulses | OfRows


_VOLT = ("i_tec", "adc", "dac_value", "dac_feedback", "tec_u_meas")
_UNITS = {
    "temperature": "°C", "sens": "Ω", "pid_output": "A", "i_set": "A", "tec_i": "A", "interval": "s",
    "device_time_s": "s", **dict.fromkeys(_VOLT, "V"),
}  # fmt: skip
_FLAGS = ("pid_engaged", "current_swapped")
_CAMERA = {
    "fps": ("actual_fps", "Hz"), "target_fps": ("target_fps", "Hz"), "drops": ("drop_count", ""),
    "motion": ("motion_score", ""),
}  # fmt: skip


def _pulse(name: str, channel: str) -> Series:
    return Series(name, "", "step", False, OfPulses(channel, False))


def _energy(name: str, channel: str) -> Series:
    return Series(name, "W", "step", False, OfPulses(channel, True))


def _samples(name: str, sensor: str, axis: str) -> Series:
    return Series(name, "", "line", True, OfSamples(sensor, axis))


def _thermostat(name: str, device: str, channel: str, field: str) -> Series:
    number = int(channel) if channel else None
    raw = OfRows("thermostat_readings", "t_ns", field, "device = ? AND channel IS ?", (device, number))
    return Series(name, _UNITS.get(field, ""), "step" if field in _FLAGS else "line", True, raw)


def _angle(joint: str) -> str:
    """Of the gripper the unit is not known to the store."""
    return "°" if 0 <= int(joint) <= 5 else ""


def _joint(name: str, joint: str) -> Series:
    return Series(name, _angle(joint), "line", True, OfRows("dds_feedback", "ts", f"angle{joint}", "+funcode = 1", ()))


def _target(name: str, joint: str) -> Series:
    raw = OfRows("dds_commands", "ts", "target_value", "joint_id = ?", (int(joint),))
    return Series(name, _angle(joint), "step", False, raw)


def _smoother(name: str, joint: str, column: str) -> Series:
    raw = OfRows("smoother_state", "ts", column, "joint_id = ?", (int(joint),))
    return Series(name, _angle(joint), "line", True, raw)


def _pump(name: str, pump: str, column: str) -> Series:
    where = "pump = ? AND event IN ('done', 'stopped')"
    return Series(
        name, "mL" if column == "ml" else "", "line", False, OfRows("pump_events", "t_ns", column, where, (pump,))
    )


def _camera(name: str, camera: str, what: str) -> Series:
    column, unit = _CAMERA[what]
    return Series(name, unit, "line", True, OfRows("camera_health", "ts", column, "camera_id = ?", (camera,)))


def _web(name: str, endpoint: str) -> Series:
    raw = OfRows("web_requests", "ts", "response_ms", "endpoint = ?", (endpoint,))
    return Series(name, "ms", "line", False, raw)


_INTEGER = r"(-?\d{1,18})"
_FIELDS = "|".join((*THERMOSTAT_FIELDS, "device_time_s"))
# what comes from applications may hold anything: cameras' and endpoints' names have slashes
_NAMES: tuple[tuple[re.Pattern[str], Callable[..., Series]], ...] = tuple(
    (re.compile(pattern, re.DOTALL), build)
    for pattern, build in (
        (r"pulse/([^/]+)", _pulse),
        (r"energy/([^/]+)", _energy),
        (r"samples/([^/]+)/(.+)", _samples),
        (rf"thermostat/([^/]+)/((?:-?\d{{1,18}})?)/({_FIELDS})", _thermostat),
        (r"arm/joint([0-6])", _joint),
        (rf"arm/joint{_INTEGER}/target", _target),
        (rf"smoother/{_INTEGER}/(target|current|sent|step_size)", _smoother),
        (r"pump/([^/]+)/(ml|steps)", _pump),
        (rf"camera/(.*)/({'|'.join(_CAMERA)})", _camera),
        (r"web/(.*)/response_ms", _web),
    )
)


def series_of(name: str) -> Series:
    """What a name means. Raises UnknownSeries."""
    for pattern, build in _NAMES:
        if match := pattern.fullmatch(name):
            return build(name, *match.groups())
    raise UnknownSeries(
        f"{name[:100]!r} is no name of a series: pulse/…, energy/…, samples/…/x, thermostat/…/0/temperature …"
    )
