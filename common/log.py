"""Log lines: one a change of state, never one a sample or a retry. To stderr, as journald reads them.

A line is `<priority>source: text key=value …`; the priority only under systemd (JOURNAL_STREAM).
"""

import os
import sys
import time
from typing import Any, TextIO

_PRIORITY = {"error": 3, "warning": 4, "info": 6, "debug": 7}


class Log:
    """Writes lines of one source. A line that cannot be written (closed pipe, full disk) is dropped."""

    def __init__(self, src: str, stream: TextIO | None = None) -> None:
        self.src = src
        self._stream = stream
        self._last: dict[str, float] = {}

    def _write(self, level: str, text: str, fields: dict[str, Any]) -> None:
        stream = self._stream or sys.stderr
        line = f"{self.src}: {text}" + "".join(f" {k}={_quoted(v)}" for k, v in fields.items())
        line = line.replace("\n", " ")
        if os.environ.get("JOURNAL_STREAM"):
            line = f"<{_PRIORITY[level]}>{line}"
        elif level in ("error", "warning"):
            line = f"{line}  [{level}]"
        try:
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError):
            pass

    def error(self, text: str, **fields: Any) -> None:
        self._write("error", text, fields)

    def warning(self, text: str, **fields: Any) -> None:
        self._write("warning", text, fields)

    def info(self, text: str, **fields: Any) -> None:
        self._write("info", text, fields)

    def seldom(self, key: str, text: str, *, every_s: float = 60.0, **fields: Any) -> None:
        """A warning that may repeat: at most one line a key and interval."""
        now = time.monotonic()
        if now - self._last.get(key, -every_s) >= every_s:
            self._last[key] = now
            self.warning(text, **fields)


def _quoted(value: Any) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text
