"""What a source of meter edges is: it hands over the edges since the last look, with their own time stamps."""

from typing import Literal, NamedTuple, Protocol, Self


class EdgeRead(NamedTuple):
    """Edges of one channel since the last take().

    t_ns: CLOCK_MONOTONIC ns, rising. missed: edges dropped before rigbus saw them; None where it cannot be known.
    """

    channel: str
    t_ns: list[int]
    missed: int | None


class EdgeSource(Protocol):
    """time_source: who stamps an edge. requested_ns: CLOCK_MONOTONIC ns of the lines' request, for `settle_ms`.

    missed_cause: the ledger's word for a `missed`.
    """

    time_source: Literal["kernel", "user"]
    requested_ns: int
    missed_cause: str

    def take(self) -> list[EdgeRead]:
        """All that came since the last call, one EdgeRead a channel that has any; never waits. Raises DeviceMissing."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
