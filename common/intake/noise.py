"""Messages on the bus that are no frame of a known stream: counted, and told to the ledger a few times a minute."""

import time
from collections.abc import Sequence

from common.store.items import Noise

_EVERY_S = 10.0
_MAX_KEYS = 16  # topics that a flood may invent; the rest is counted under "*"


class NoiseCount:
    def __init__(self) -> None:
        self.total = 0
        self._counts: dict[tuple[str, str], tuple[int, str]] = {}
        self._next = 0.0

    def add(self, topic: bytes, cause: str, detail: str) -> None:
        self.total += 1
        # what a stranger sends will stand on somebody's terminal
        text = topic[:64].decode("ascii", "backslashreplace")
        key = ("".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text), cause)
        if key not in self._counts and len(self._counts) >= _MAX_KEYS:
            key = ("*", cause)
        count, first = self._counts.get(key, (0, detail[:200]))
        self._counts[key] = (count + 1, first)

    def put_back(self, items: Sequence[Noise]) -> None:
        """What was taken and could not be stored."""
        for item in items:
            key = (item.topic, item.cause)
            self._counts[key] = (self._counts.get(key, (0, ""))[0] + item.count, item.detail)

    def take(self, *, now: bool = False) -> list[Noise]:
        """What is to be written, at most every ten seconds; with `now` all that there is."""
        if not self._counts or (not now and time.monotonic() < self._next):
            return []
        self._next = time.monotonic() + _EVERY_S
        out = [Noise(topic, count, cause, detail) for (topic, cause), (count, detail) in self._counts.items()]
        self._counts.clear()
        return out
