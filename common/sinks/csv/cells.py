"""Cells: times as text, and text that no spreadsheet takes for a formula."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")


@lru_cache(maxsize=64)
def _second(s: int) -> str:
    return datetime.fromtimestamp(s, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


@lru_cache(maxsize=64)
def day(s: int) -> str:
    """YYYY-MM-DD of a day's first second since 1970, in UTC."""
    return datetime.fromtimestamp(s, UTC).strftime("%Y-%m-%d")


def time_of(t_ns: int) -> str:
    """ISO 8601 in UTC with microseconds."""
    s, ns = divmod(t_ns, 1_000_000_000)
    return f"{_second(s)}{ns // 1000:06d}+00:00"


def safe(value: Any) -> Any:
    """Text that would be a formula gets a leading '; numbers stay as they are."""
    if isinstance(value, str):
        if "\0" in value:
            value = value.replace("\0", "␀")  # many readers end there
        return f"'{value}" if _FORMULA.match(value) else value
    if isinstance(value, bytes):
        return safe(value.decode(errors="replace"))
    return value


class Lines:
    """Rows as RFC 4180 quotes them, but for their end, which is a newline alone. Belongs to one thread."""

    def __init__(self) -> None:
        self._out = io.StringIO()
        self._write_all = csv.writer(self._out, lineterminator="\n").writerows
        self._write_one = csv.writer(self._out).writerow  # its own end: a \r within a cell is quoted then

    def line(self, values: Iterable[Any]) -> bytes:
        self._write_one([safe(v) for v in values])
        return f"{self._taken()[:-2]}\n".encode(errors="replace")

    def block(self, rows: Sequence[list[Any]]) -> bytes:
        """Many of them, a time first; the rows are changed."""
        for row in rows:
            for i, value in enumerate(row):
                if i and (type(value) is str or type(value) is bytes):
                    row[i] = text = safe(value)
                    if "\r" in text:
                        return b"".join(map(self.line, rows))
        self._write_all(rows)
        return self._taken().encode(errors="replace")

    def _taken(self) -> str:
        text = self._out.getvalue()
        self._out.seek(0)
        self._out.truncate()
        return text


def header(names: Sequence[str]) -> bytes:
    return (",".join(names) + "\n").encode()
