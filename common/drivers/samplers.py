"""What a fast sensor is: it hands over blocks of evenly spaced samples in the chip's own counts, and what it lost."""

from typing import Literal, NamedTuple, Protocol, Self


class Block(NamedTuple):
    """n samples. t_ns: CLOCK_MONOTONIC ns of the first; values: n × axes of the sampler's dtype, sample-major.

    step_ns: from one sample to the next, and from the last to what follows; 0: by the sampler's rate_hz.
    """

    t_ns: int
    n: int
    values: bytes
    step_ns: int = 0


class Lost(NamedTuple):
    """Samples that will never come: from_ns is when the first of them was due, to_ns when the next good one is.

    n: how many; None where nobody can know. cause: a word of the table in docs/delivery.md.
    """

    from_ns: int
    to_ns: int
    n: int | None
    cause: str
    detail: str = ""


class Sampler(Protocol):
    """period_s: how often take() is to be called. scale: `unit` per count. rate_hz: fitted to the host's clock.

    fault: "" while samples come, else what keeps them away, in a few words; the driver goes on trying.
    """

    period_s: float
    axes: list[str]
    unit: str
    scale: float
    dtype: Literal["<i2", "<f4"]

    @property
    def rate_hz(self) -> float: ...

    @property
    def fault(self) -> str: ...

    def take(self, deadline_ns: int) -> "list[Block | Lost]":
        """What came since the last call, in the order of time. deadline_ns: CLOCK_MONOTONIC, now due.

        Never waits for longer than the next sample takes.
        """
        ...

    def rest(self) -> "list[Block | Lost]":
        """What take() would still have to tell, an outage that goes on included; called once, before close()."""
        ...

    def close(self) -> None:
        """Gives the device back, asleep if it can sleep."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
