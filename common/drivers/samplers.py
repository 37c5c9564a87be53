"""What a fast sensor is: it hands over blocks of evenly spaced samples in the chip's own counts."""

from typing import Literal, NamedTuple, Protocol, Self


class Block(NamedTuple):
    """n samples. t_ns: CLOCK_MONOTONIC ns of the first; values: n × axes of the sampler's dtype, sample-major."""

    t_ns: int
    n: int
    values: bytes


class Sampler(Protocol):
    """period_s: how often take() is to be called. scale: `unit` per count. rate_hz: fitted to the host's clock."""

    period_s: float
    rate_hz: float
    axes: list[str]
    unit: str
    scale: float
    dtype: Literal["<i2", "<f4"]

    def take(self, deadline_ns: int) -> Block:
        """What is due at the deadline (CLOCK_MONOTONIC ns); short, never waits. Raises DeviceMissing."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
