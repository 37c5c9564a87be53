"""What the command line asks of every bench."""

from collections.abc import Callable

from msgspec import Struct

Progress = Callable[[str, float], None]  # (what is done now, seconds it will take)


class Options(Struct):
    """quick: short, for a look. rounds: interleaved pairs a figure. rt_seconds: length of the drift measurement."""

    quick: bool = False
    rounds: int = 3
    rt_seconds: float = 0.0
