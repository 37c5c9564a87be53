"""Whatever an application hands over, as what MessagePack, JSON and SQLite take. Nothing here raises.

Values are copied: who logs a dictionary may go on changing it. NumPy's numbers and arrays become plain ones.
"""

from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

_DEPTH = 16  # below it only the text of a value is kept: something may hold itself
_I64 = 2**63


def plain(value: Any, depth: int = 0) -> Any:
    """A copy of JSON's types alone; what has no such form becomes its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value, depth + 1)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return int(value) if -_I64 <= value < _I64 else str(int(value))
    try:
        return _container(value, depth) if depth < _DEPTH else _described(value)
    except Exception:
        return _described(value)


def _container(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return {text(key): plain(v, depth + 1) for key, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [plain(v, depth + 1) for v in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    as_list = getattr(value, "tolist", None)  # NumPy's arrays and scalars
    return plain(as_list(), depth + 1) if callable(as_list) else _described(value)


def _described(value: Any) -> str:
    try:
        return text(str(value))[:1000]
    except Exception:
        return f"<{type(value).__name__}>"


def text(value: Any) -> str:
    """Text that UTF-8 can hold."""
    if not isinstance(value, str):
        return _described(value)
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def text_or_none(value: Any) -> str | None:
    return None if value is None else text(value)


def whole(value: Any) -> int | None:
    """An integer of 64 bits; None for what is none."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if -_I64 <= number < _I64 else None


def number(value: Any) -> float | None:
    """A number; None for what is none, or not a number."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found == found else None


def json_or_none(value: Any) -> str | None:
    """JSON of a value; NaN and infinity become null."""
    return None if value is None else msgspec.json.encode(plain(value)).decode()
