"""Which edges are pulses. Pure: time stamps in, accepted edges and counts out."""

from collections.abc import Sequence
from typing import NamedTuple


class Accepted(NamedTuple):
    """edges: the accepted ones' stamps. filtered: how many were rejected."""

    edges: list[int]
    filtered: int


class EdgeFilter:
    """Accepts an edge when it comes at least min_interval after the last accepted one, and not while the line settles.

    Not a sleeping debounce: an S0 pulse may be as short as 30 ms (EN 62053-31), and each edge is looked at.
    """

    def __init__(self, min_interval_ns: int, settled_ns: int) -> None:
        """settled_ns: edges before this stamp are phantoms of the line's request."""
        self.min_interval_ns, self._settled_ns = min_interval_ns, settled_ns
        self._last_ns: int | None = None

    def take(self, t_ns: Sequence[int]) -> Accepted:
        """Stamps of one clock, not falling."""
        edges: list[int] = []
        last = self._last_ns
        for t in t_ns:
            if t >= self._settled_ns and (last is None or t - last >= self.min_interval_ns):
                edges.append(t)
                last = t
        self._last_ns = last
        return Accepted(edges, len(t_ns) - len(edges))
