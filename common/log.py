"""Log lines: one a change of state, never one a sample or a retry. To journald with fields, else to stderr as text.

As text a line is `source: text key=value …`. docs/logs.md has the fields and the kinds of events.
"""

import select
import sys
import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TextIO

from common import journald
from common.journald import Journald
from common.log_events import LogEvent

_PRIORITY = {"error": 3, "warning": 4, "info": 6}
Also = Mapping[str, Any]
_NOTHING: Also = MappingProxyType({})
_MOST_KEYS = 256  # of what is told seldom


class Log:
    """Writes lines of one source, from any thread. A line that cannot be written (closed pipe, full disk) is dropped.

    event: the line's kind. Other keywords are its fields. also: fields for journald alone, which the text says already.
    """

    def __init__(self, src: str, stream: TextIO | None = None, journal: Journald | None = None) -> None:
        """stream: where text goes; stderr, or journald where that reads stderr. journal: takes lines before any stream.

        What journald does not take goes to the stream, with its priority in front, if that does not wait.
        """
        self.src = src
        self._stream = stream
        self._journal = journal or (journald.of_stderr() if stream is None else None)
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()
        self._dropped = 0

    def error(self, text: str, *, event: LogEvent | None = None, also: Also = _NOTHING, **fields: Any) -> None:
        self._write("error", text, event, fields, also)

    def warning(self, text: str, *, event: LogEvent | None = None, also: Also = _NOTHING, **fields: Any) -> None:
        self._write("warning", text, event, fields, also)

    def info(self, text: str, *, event: LogEvent | None = None, also: Also = _NOTHING, **fields: Any) -> None:
        self._write("info", text, event, fields, also)

    def seldom(
        self, key: str, text: str, *, every_s: float = 60.0, event: LogEvent | None = None, **fields: Any
    ) -> None:
        """A warning that may repeat: at most one line a key and interval."""
        if self._is_due(key, every_s):
            self._write("warning", text, event, fields)

    def noted(self, event: LogEvent, text: str, *, warn: bool = False, seldom: str = "", **fields: Any) -> None:
        """For journald alone: on a terminal `rigbus run` has its board for it. seldom: a key, as for seldom()."""
        if self._journal is not None and (not seldom or self._is_due(seldom, 60.0)):
            self._write("warning" if warn else "info", text, event, fields)

    def watched(self, text: str, **fields: Any) -> None:
        """For people who watch, not for journald: how something goes on, said again and again."""
        if self._journal is None:
            self._write("info", text, None, fields)

    def _is_due(self, key: str, every_s: float) -> bool:
        now = time.monotonic()
        if len(self._last) >= _MOST_KEYS:
            self._last.clear()
        if now - self._last.get(key, -every_s) < every_s:
            return False
        self._last[key] = now
        return True

    def _write(
        self, level: str, text: str, event: LogEvent | None, fields: dict[str, Any], also: Also = _NOTHING
    ) -> None:
        line = (text + "".join(f" {k}={_quoted(v)}" for k, v in fields.items())).replace("\n", " ")
        if self._journal is not None:
            self._to_journal(self._journal, level, line, event, {**fields, **also})
            return
        mark = f"  [{level}]" if level in ("error", "warning") else ""
        _print(self._stream or sys.stderr, f"{self.src}: {line}{mark}\n")

    def _to_journal(
        self, journal: Journald, level: str, line: str, event: LogEvent | None, fields: dict[str, Any]
    ) -> None:
        if self._dropped:
            self._tell_dropped(journal)
        kind = [] if event is None else [("MESSAGE_ID", event.value), ("RIGBUS_EVENT", event.name.lower())]
        own = [(f"RIGBUS_{key.upper()}", str(value)) for key, value in fields.items()]
        if journal.send([*self._head(level, line), *kind, *own]):
            return
        stream = self._stream or sys.stderr
        if not (_has_room(stream) and _print(stream, f"<{_PRIORITY[level]}>{self.src}: {line}\n")):
            with self._lock:
                self._dropped += 1

    def _tell_dropped(self, journal: Journald) -> None:
        with self._lock:
            head = self._head("warning", "lines were dropped: journald did not take them")
            if journal.send([*head, ("RIGBUS_COUNT", str(self._dropped))]):
                self._dropped = 0

    def _head(self, level: str, line: str) -> list[tuple[str, str]]:
        return [("MESSAGE", line), ("PRIORITY", str(_PRIORITY[level])), ("SYSLOG_IDENTIFIER", f"rigbus-{self.src}")]


def _quoted(value: Any) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text


def _print(stream: TextIO, text: str) -> bool:
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def _has_room(stream: TextIO) -> bool:
    """Whether a write would not wait for a reader that stands still. What is no file descriptor never waits."""
    try:
        fd = stream.fileno()
    except (OSError, ValueError):
        return True
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return any(events & select.POLLOUT for _, events in poll.poll(0))
