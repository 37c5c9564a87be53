"""What is known now, in sections (docs/http.md, "The status"): from the bus, the daemons and the store."""

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from common import clock
from common.gateway.sections import SECTIONS, Context
from common.gateway.seen import Seen

_LEAST_S = 0.1  # two looks at the same within so long are one
_encode = msgspec.msgpack.Encoder().encode


class Now:
    """Any thread may read; `refresh` makes the sections anew, each with a number that changes with it."""

    def __init__(self, context: Callable[[], Context], seen: Seen) -> None:
        self._context, self.seen = context, seen
        self.t = 0  # wall ns of the last refresh
        self._at = 0.0
        self._lock = threading.Lock()  # of a refresh: requests of /metrics come in threads of their own
        self._sections: dict[str, Any] = {}
        self._encoded: dict[str, tuple[int, bytes]] = {}

    @property
    def names(self) -> list[str]:
        return list(SECTIONS)

    def section(self, name: str) -> Any:
        """One section as it is now; None where its device is not configured. KeyError: there is none of this name."""
        self.refresh()
        return self._sections[name]

    def sections(self) -> dict[str, Any]:
        """All of them, as they are now: `/api/status`."""
        self.refresh()
        return dict(self._sections)

    def encoded(self, name: str) -> tuple[int, bytes]:
        """(number, MessagePack) of a section as last refreshed; an unknown name is a section that is null."""
        return self._encoded.get(name, (0, b"\xc0"))

    def refresh(self) -> None:
        with self._lock:
            at = time.monotonic()
            if at - self._at >= _LEAST_S:
                self._refresh(at)

    def _refresh(self, at: float) -> None:
        self._at, self.t = at, clock.wall_ns()
        context = self._context()
        made: dict[str, Any] = {}
        for name, make in SECTIONS.items():
            made[name] = make(context, made)
            whole = _encode(made[name])
            number, before = self._encoded.get(name, (0, b""))
            if whole != before:
                self._encoded[name] = number + 1, whole
        self._sections = made
