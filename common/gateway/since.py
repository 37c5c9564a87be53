"""Since when something is as it is, as far as this process has seen it."""

from typing import Any


class Since:
    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, int]] = {}

    def look(self, name: str, value: Any, t: int) -> int:
        """Wall ns at which `name` became `value`; t: now, or when it is known to have become so."""
        found = self._known.get(name)
        if found is None or found[0] != value:
            found = self._known[name] = value, t
        return found[1]
