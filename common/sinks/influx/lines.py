"""Line protocol: escaping, values, batches of lines. Pure.

A line never holds a line break, so that a batch can be cut at them, and a foreign text cannot bring in lines of its
own: in texts a line break becomes the two characters backslash and n.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

_BREAKS = {"\n": "\\n", "\r": "\\r"}
_IN_MEASUREMENT = str.maketrans({",": "\\,", " ": "\\ ", **_BREAKS})
_IN_TAG = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\=", **_BREAKS})
_IN_TEXT = str.maketrans({"\\": "\\\\", '"': '\\"', **_BREAKS})
I64 = 2**63


class Batch(NamedTuple):
    """Lines for one bucket, each with its line break, and the id of the row that each is from."""

    bucket: str
    body: bytes
    ids: Sequence[int]

    def cut(self, at: int) -> "tuple[Batch, Batch]":
        """The first `at` lines, and the rest."""
        lines = self.body.splitlines(keepends=True)
        head, tail = b"".join(lines[:at]), b"".join(lines[at:])
        return Batch(self.bucket, head, self.ids[:at]), Batch(self.bucket, tail, self.ids[at:])


def measurement(name: str) -> str:
    return name.translate(_IN_MEASUREMENT)


def key(name: str) -> str:
    """A tag's value, or the name of a tag or field. A backslash at its end cannot be written, and is left out."""
    return name.translate(_IN_TAG).rstrip("\\")


def text(value: str) -> str:
    """A field's text, in quotes."""
    return f'"{value.translate(_IN_TEXT)}"'


def tags(pairs: Sequence[tuple[str, Any]]) -> str:
    """`,name=value` of each, in this order; those that are None or empty are left out."""
    found = ((name, key(str(value))) for name, value in pairs if value is not None)
    return "".join(f",{name}={value}" for name, value in found if value)


def decimal(value: Any) -> str | None:
    """A field's float; None where there is none to be written."""
    if isinstance(value, int | float) and math.isfinite(value):
        return repr(float(value))
    return None


def whole(value: Any) -> str | None:
    """A field's integer; None for what is none: a field that is an integer once must be one for ever."""
    if isinstance(value, int) and -I64 <= value < I64:
        return f"{int(value)}i"
    return None


def flag(value: Any) -> str | None:
    return None if value is None else "true" if value else "false"


def quoted(value: Any) -> str | None:
    return None if value is None else text(str(value))


def own_time(t_ns: int, row_id: int) -> int:
    """A time that no other row of its kind has, and that is the same whenever it is made.

    Two points of the same measurement, tags and time are one to InfluxDB: the nanoseconds below 1 µs are the row's.
    """
    return t_ns - t_ns % 1000 + row_id % 1000
