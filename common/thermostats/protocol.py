"""The thermostat's language (Sinara 8451, M-Labs firmware), without I/O: bytes in, replies out.

A request is a line of words; a reply is one line of JSON. A list is a report or a summary of settings; `{}` says that
something was set; `{"error": …}` and `{"warning": …}` say what they say. Some firmware sends errors as `{{…}}`, which
is not JSON, and NaN, which Python's reader takes.
"""

import json
import math
import re
from collections.abc import Generator
from typing import Any, NamedTuple

from common.errors import RigbusError

# A report of two channels has up to 1,024 bytes (the firmware's buffer): what is longer than this is no thermostat's.
MAX_LINE = 8192
# A summary of two channels has 11. Python's reader of JSON recurses, and from 3.12 on deeper than our threads' stacks.
_MAX_BRACKETS = 100
_MAX_CHANNELS = 16
_MAX_TEXT = 200
# What these fields can be; a device's time is taken for one up to 300 years.
_NUMBERS = frozenset((
    "temperature", "time", "interval", "adc", "sens", "i_set", "vref", "dac_value", "dac_feedback", "i_tec", "tec_i",
    "tec_u_meas", "pid_output",
))  # fmt: skip
_FLAGS = frozenset(("pid_engaged", "current_swapped"))
_LONGEST_TIME_S = 1e10
_DOUBLE_BRACES = re.compile(r"^\{\s*(\{.*\})\s*\}$", re.DOTALL)

Reading = dict[str, Any]


class Malformed(RigbusError):
    """What came is not this language; one line says what it was."""

    cause = "malformed"


class Listing(NamedTuple):
    """A list of maps: a report, or a summary of settings."""

    maps: list[dict[str, Any]]

    @property
    def is_report(self) -> bool:
        return bool(self.maps) and all("temperature" in m and "channel" in m for m in self.maps)


class Done(NamedTuple):
    """`{}`, or a map that says neither error nor warning: `fields`."""

    fields: dict[str, Any]


class Warned(NamedTuple):
    """The device did it, and warns."""

    text: str


class Refusal(NamedTuple):
    """The device says no."""

    text: str


Reply = Listing | Done | Warned | Refusal


class Splitter:
    """Lines out of bytes that come in any portions. Empty lines are skipped; CR and LF both end one."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that this completes. Raises Malformed for a line over the bound; what came before it is gone."""
        *lines, rest = re.split(rb"[\r\n]", self._rest + data)
        self._rest = rest
        if max(map(len, (*lines, rest))) > self._max_line:
            self._rest = b""
            raise Malformed(f"a line of over {self._max_line} bytes")
        return [line for line in lines if line]

    def clear(self) -> None:
        """Forgets the beginning of a line."""
        self._rest = b""


def parse(line: bytes) -> Reply:
    """One line. Raises Malformed for what is not UTF-8, not JSON, or JSON that no firmware sends."""
    try:
        text = line.decode().strip()
    except UnicodeDecodeError:
        raise Malformed(f"not UTF-8: {_shown(line)}") from None
    if text.count("[") + text.count("{") > _MAX_BRACKETS:
        raise Malformed(f"over {_MAX_BRACKETS} brackets in a line: {_shown(line)}")
    doubled = _DOUBLE_BRACES.match(text)
    try:
        found = json.loads(doubled[1] if doubled else text)
    except ValueError:
        if doubled:
            return Refusal(_clean(text))
        raise Malformed(f"not JSON: {_shown(line)}") from None
    if isinstance(found, list):
        if not all(isinstance(m, dict) for m in found):
            raise Malformed(f"a list of something else than maps: {_shown(line)}")
        return Listing(found)
    if not isinstance(found, dict):
        raise Malformed(f"neither a list nor a map: {_shown(line)}")
    if "error" in found:
        return Refusal(_clean(str(found["error"])))
    if "warning" in found:
        return Warned(_clean(str(found["warning"])))
    return Done({_clean(key): _value(value)[0] for key, value in found.items()})


def readings_of(listing: Listing) -> list[Reading]:
    """A report's readings, one map a channel, the device's own names, SI units; what is no number is None with a flag.

    `flags` (only where there is something to say) lists `name: null`, `name: nan`, `name: inf`, `name: range`,
    `name: type` (text, a list or true where a number belongs, or the other way round).
    Raises Malformed for what is no report, or names a channel twice.
    """
    if not listing.is_report:
        raise Malformed("a list that is no report: each map needs channel and temperature")
    if len(listing.maps) > _MAX_CHANNELS:
        raise Malformed(f"a report of {len(listing.maps)} channels")
    readings, channels = [], set()
    for fields in listing.maps:
        channel = fields["channel"]
        if type(channel) is not int or not 0 <= channel < _MAX_CHANNELS or channel in channels:
            raise Malformed(f"a report with channel {_clean(repr(channel))}")
        channels.add(channel)
        reading: Reading = {}
        flags = []
        for name, value in fields.items():
            name = _clean(name)
            reading[name], flag = _field(name, value)
            if flag:
                flags.append(f"{name}: {flag}")
        if flags:
            reading["flags"] = flags
        readings.append(reading)
    return readings


def probe(skip: frozenset[str] = frozenset()) -> Generator[str, Reply, str]:
    """Tells the dialect by reads that change nothing: yields requests, takes each reply, returns the dialect's name.

    skip: words that the device has left without an answer before. `swap` alone is never sent: it might swap.
    "unknown" where nothing tells: such a device is read all the same.
    """
    fields: set[str] = set()
    reply = yield "report"
    if isinstance(reply, Listing) and reply.is_report:
        fields = set().union(*reply.maps)
    if "current_swapped" in fields:
        return "swap"
    for word, dialect in (("output", "new"), ("pwm", "old")):
        if word in skip:
            continue
        reply = yield word
        # a device that answers everything with a report has said nothing by that
        if isinstance(reply, Listing) and reply.maps and not reply.is_report:
            return dialect
    return "old" if "vref" in fields else "unknown"


def _field(name: str, value: Any) -> tuple[Any, str]:
    found, flag = _value(value)
    if found is None:
        return None, flag
    if name in _FLAGS or name in _NUMBERS:
        is_flag = isinstance(found, bool)
        if is_flag is (name in _NUMBERS) or not isinstance(found, int | float):
            return None, "type"
    if name == "time" and not 0 <= found <= _LONGEST_TIME_S:
        return None, "range"
    return found, ""


def _value(value: Any) -> tuple[Any, str]:
    """A JSON value as a frame can carry it and a database can hold it, and the flag where it became None."""
    if value is None:
        return None, "null"
    if isinstance(value, bool):
        return value, ""
    if isinstance(value, int):
        return (value, "") if -(2**63) <= value < 2**63 else (None, "range")
    if isinstance(value, float):
        return (value, "") if math.isfinite(value) else (None, "nan" if math.isnan(value) else "inf")
    return _clean(value if isinstance(value, str) else json.dumps(value)), ""


def _clean(text: str) -> str:
    """Text that UTF-8 can write: JSON may hold halves of surrogate pairs."""
    return text.encode(errors="replace").decode()[:_MAX_TEXT]


def _shown(line: bytes) -> str:
    return repr(line[:60])[1:] + ("…" if len(line) > 60 else "")
