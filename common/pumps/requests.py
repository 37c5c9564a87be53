"""What may be asked of the pumps: the fields of each request, checked. Pure."""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from common.frames import Name

CommandId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}\Z")]
# far above any bound of a configuration: what is larger is a slip, and its arithmetic might overflow
_Seconds = Annotated[float, Meta(gt=0, le=86_400)]
_Ml = Annotated[float, Meta(gt=0, le=1_000_000)]
_Hz = Annotated[float, Meta(ge=1, le=1_000_000)]
T = TypeVar("T", bound=Struct)

DIRECTIONS = {
    **dict.fromkeys(("forward", "fwd", "cw"), "forward"),
    **dict.fromkeys(("reverse", "rev", "ccw", "back"), "reverse"),
}


class _Motion(Struct, kw_only=True):
    command_id: CommandId
    pump: Name | None = None
    hz: _Hz | None = None
    direction: str = "forward"


class _Prime(_Motion, kw_only=True):
    seconds: _Seconds
    pumps: Annotated[list[Name], Meta(min_length=1, max_length=64)] | None = None


class _Dispense(_Motion, kw_only=True):
    ml: _Ml


class Calibrate(Struct, kw_only=True):
    """run: the command_id of the run that was measured. Without ml: read back."""

    pump: Name
    ml: _Ml | None = None
    run: CommandId | None = None


class Stop(Struct, kw_only=True):
    pump: Name


class Motion(NamedTuple):
    """One command for one or more pumps: seconds or ml, never both. hz None: each pump's own."""

    command_id: str
    action: str  # prime, dispense
    pumps: tuple[str, ...]
    direction: str
    hz: float | None
    seconds: float | None
    ml: float | None

    @property
    def text(self) -> str:
        """The same for requests that ask for the same."""
        return json.dumps(self[1:])


def motion(op: str, request: Mapping[str, Any]) -> Motion:
    """Raises msgspec.ValidationError, one line that names the field."""
    r: _Prime | _Dispense = take(_Prime, request) if op == "prime" else take(_Dispense, request)
    direction = DIRECTIONS.get(r.direction)
    if direction is None:
        raise msgspec.ValidationError(f"direction: {r.direction[:40]!r} is none of {', '.join(DIRECTIONS)}")
    several = r.pumps if isinstance(r, _Prime) else None
    if (r.pump is None) == (several is None):
        raise msgspec.ValidationError("one of `pump` and `pumps` is needed" if op == "prime" else "`pump` is needed")
    names = tuple(sorted(several)) if several is not None else (str(r.pump),)
    if len(set(names)) < len(names):
        raise msgspec.ValidationError("pumps: a pump stands there twice")
    seconds = r.seconds if isinstance(r, _Prime) else None
    ml = r.ml if isinstance(r, _Dispense) else None
    return Motion(r.command_id, op, names, direction, r.hz, seconds, ml)


def take(kind: type[T], request: Mapping[str, Any]) -> T:
    """A request's fields as `kind`; no NaN, no infinity. Raises msgspec.ValidationError."""
    for key, value in request.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise msgspec.ValidationError(f"{key}: {value} is no number to go by")
    return msgspec.convert(request, kind)


def aimed_at(request: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[str, list[str]] | None:
    """(command_id, pumps) of a request that is malformed otherwise, so that it can be recorded as refused; or None."""
    try:
        command_id = msgspec.convert(request.get("command_id"), CommandId)
        names = dict.fromkeys(msgspec.convert(request.get("pumps") or [request.get("pump")], list[Name]))
    except msgspec.ValidationError:
        return None
    return (command_id, list(names)) if names and names.keys() <= known.keys() else None
