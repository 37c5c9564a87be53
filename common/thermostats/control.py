"""Control commands: what a ctl request asks for, checked, in the words of the device's dialect. No I/O."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

import msgspec

from common.errors import RigbusError
from common.thermostats.link import MAX_REQUEST

# Amperes and volts that the firmware takes: 2 A from 2024-09 on, where it also holds the voltage to 4.0 or (later)
# 4.3 V; 3 A and 5 V before (its `pwm` summary). A dialect that is not known gets the narrower ones.
_LIMITS = {"old": (3.0, 5.0), "swap": (3.0, 5.0)}
_NARROW = (2.0, 4.3)
# The firmware takes any target; beyond these no thermistor of the kind works.
TARGET_C = (-100.0, 200.0)
_OUTPUT_WORD = {"old": "pwm", "swap": "pwm", "new": "output"}

_PID = ("target", "kp", "ki", "kd", "output_min", "output_max")
_OUTPUT = ("i_set", "max_v", "max_i_pos", "max_i_neg")


class Addressed(msgspec.Struct, kw_only=True):
    """What each request may say. device: may be left out where there is only one. command_id: kept in the record."""

    device: str | None = None
    command_id: str | None = None


class _OfChannel(Addressed, kw_only=True):
    channel: int


class Pid(_OfChannel, kw_only=True):
    target: float | None = None
    kp: float | None = None
    ki: float | None = None
    kd: float | None = None
    output_min: float | None = None
    output_max: float | None = None


class Output(_OfChannel, kw_only=True):
    pid: bool | None = None
    i_set: float | None = None
    max_v: float | None = None
    max_i_pos: float | None = None
    max_i_neg: float | None = None
    polarity: Literal["normal", "reversed"] | None = None


class Setpoint(_OfChannel, kw_only=True):
    celsius: float


class Save(Addressed, kw_only=True):
    channel: int | None = None


class Setting(msgspec.Struct, frozen=True):
    """One command: words(dialect) gives the line to send, replies how many lines answer it."""

    op: str
    words: Callable[[str], str]
    replies: int = 1
    command_id: str | None = None


def setting_of(op: str, request: dict[str, Any]) -> tuple[str | None, Setting]:
    """The device named and what is to be set. Raises msgspec.ValidationError for a wrong form, RigbusError for a no.

    Each number is checked before anything is sent; what depends on the dialect is checked by words().
    """
    if op == "pid":
        return _pid(msgspec.convert(request, Pid))
    if op == "output":
        return _output(msgspec.convert(request, Output))
    if op == "setpoint":
        t = msgspec.convert(request, Setpoint)
        return _pid(Pid(device=t.device, command_id=t.command_id, channel=t.channel, target=t.celsius), "setpoint")
    s = msgspec.convert(request, Save)
    where = "" if s.channel is None else f" {_channel(s.channel)}"
    # bare, the firmware answers once for each of its two channels
    return s.device, Setting(op, lambda _: f"save{where}", 1 if where else 2, s.command_id)


def _pid(r: Pid, op: str = "pid") -> tuple[str | None, Setting]:
    name, value = _the_one(r, _PID)
    channel, number = _channel(r.channel), _number(name, value)
    if name == "target" and not TARGET_C[0] <= value <= TARGET_C[1]:
        raise RigbusError(f"target: {value:g} °C is not within {TARGET_C[0]:g} to {TARGET_C[1]:g} °C")

    def words(dialect: str) -> str:
        if name in ("output_min", "output_max"):
            _within(name, value, -_limits(dialect)[0], _limits(dialect)[0], "A")
        return _fits(f"pid {channel} {name} {number}")

    return r.device, Setting(op, words, command_id=r.command_id)


def _output(r: Output) -> tuple[str | None, Setting]:
    name, value = _the_one(r, ("pid", *_OUTPUT, "polarity"))
    channel = _channel(r.channel)
    if name == "pid" and value is not True:
        raise RigbusError("pid: only true can be asked for; a current (i_set) is what disengages the PID")
    number = _number(name, value) if name in _OUTPUT else ""

    def words(dialect: str) -> str:
        word = _OUTPUT_WORD.get(dialect)
        if word is None:
            raise RigbusError("the firmware's dialect is not known, and so not its word for the output")
        if name == "polarity" and dialect != "new":
            raise RigbusError("this firmware has no polarity")
        amperes, volts = _limits(dialect)
        if name == "i_set":
            _within(name, value, -amperes, amperes, "A")
        elif name in ("max_i_pos", "max_i_neg"):
            _within(name, value, 0.0, amperes, "A")
        elif name == "max_v":
            _within(name, value, 0.0, volts, "V")
        return _fits(f"{word} {channel} {name if name == 'pid' else f'{name} {number or value}'}")

    return r.device, Setting("output", words, command_id=r.command_id)


def _the_one(r: msgspec.Struct, names: tuple[str, ...]) -> tuple[str, Any]:
    """One command sets one thing: each has an outcome of its own."""
    given = [(name, getattr(r, name)) for name in names if getattr(r, name) is not None]
    if len(given) != 1:
        raise RigbusError(f"exactly one of {', '.join(names)} is to be given, not {len(given)}")
    return given[0]


def _channel(channel: int) -> int:
    if channel not in (0, 1):
        raise RigbusError(f"channel: there are 0 and 1, not {channel}")
    return channel


def _number(name: str, value: float) -> str:
    """As digits and a point: the firmware reads `1e-5` as 1."""
    if not math.isfinite(value):
        raise RigbusError(f"{name}: {value} is not a finite number")
    return f"{Decimal(repr(value)):f}"


def _within(name: str, value: float, low: float, high: float, unit: str) -> None:
    if not low <= value <= high:
        raise RigbusError(f"{name}: {value:g} {unit} is not within {low:g} to {high:g} {unit}")


def _limits(dialect: str) -> tuple[float, float]:
    return _LIMITS.get(dialect, _NARROW)


def _fits(words: str) -> str:
    if len(words) >= MAX_REQUEST:
        raise RigbusError(f"{words.split()[2]}: that number has too many digits for the device's {MAX_REQUEST} bytes")
    return words
