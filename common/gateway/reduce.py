"""Samples frames for a screen: pairs of lowest and highest, so that no peak is lost. No numpy: it would cost 25 MB."""

import sys
from array import array
from math import ceil, isfinite, nan
from typing import Any

import msgspec

from common.frames import Malformed, Samples, decode
from common.gateway.live import Message

_TOLERANCE = 1.05  # a fitted rate is never quite the nominal one
_TYPES = {"<i2": "h", "<f4": "f"}


class Reduced(Samples, tag="samples"):
    """reduced: how many samples each pair of values stands for."""

    reduced: int = 1


class Reducer:
    """For one `samples_hz`. A frame that several viewers want is reduced once."""

    def __init__(self, samples_hz: float) -> None:
        self._hz = samples_hz
        self._last: tuple[bytes, bytes] = (b"", b"")

    def reduce(self, message: Message) -> bytes:
        """The payload, reduced where its rate is higher than wanted; whatever cannot be read stays as it is."""
        if self._last[0] is not message.payload:
            self._last = message.payload, reduced(message.payload, self._hz)
        return self._last[1]


def reduced(payload: bytes, samples_hz: float) -> bytes:
    """A samples frame as pairs: of each `reduced` samples the lowest and the highest value of each axis, in the order

    in which they came. n, dt_ns and values are those of the pairs; the last group of a frame may be smaller.
    """
    try:
        frame = decode(payload)
    except Malformed:
        return payload
    if not isinstance(frame, Samples) or not frame.axes or frame.n <= 2:
        return payload
    if not isfinite(frame.rate_hz) or frame.rate_hz <= samples_hz * _TOLERANCE:
        return payload
    group = min(ceil(2 * frame.rate_hz / samples_hz), frame.n)
    values: array[Any] = array(_TYPES[frame.dtype])
    values.frombytes(frame.values)
    if sys.byteorder == "big":
        values.byteswap()
    pairs = _pairs(values, len(frame.axes), frame.n, group)
    if sys.byteorder == "big":
        pairs.byteswap()
    fields = {name: getattr(frame, name) for name in frame.__struct_fields__}
    span = frame.dt_ns * (frame.n - 1) if isinstance(frame.dt_ns, int) else sum(frame.dt_ns)
    n = len(pairs) // len(frame.axes)
    step = round(span / max(1, frame.n - 1) * group / 2)
    return msgspec.msgpack.encode(
        Reduced(**{**fields, "n": n, "dt_ns": step, "values": pairs.tobytes(), "reduced": group})
    )


def _pairs(values: "array[Any]", axes: int, n: int, group: int) -> "array[Any]":
    columns: list[array[Any]] = []
    for axis in range(axes):
        column = values[axis::axes]
        out: array[Any] = array(values.typecode)
        for at in range(0, n, group):
            # without NaN, which is not less than anything
            part = [value for value in column[at : at + group] if value == value] or [nan]
            if part[0] != part[0]:
                out.extend((nan, nan))
                continue
            low, high = min(part), max(part)
            out.extend((low, high) if part.index(low) <= part.index(high) else (high, low))
        columns.append(out)
    joined: array[Any] = array(values.typecode, bytes(len(columns[0]) * axes * values.itemsize))
    for axis, column in enumerate(columns):
        joined[axis::axes] = column
    return joined
