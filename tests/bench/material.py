"""The samples that benches publish: the simulated sensor's own noise, cut into frames beforehand."""

from collections.abc import Iterator
from itertools import cycle

from common import clock
from common.drivers.samplers_sim import vibration
from common.frames import Event, Samples

RATE_HZ = 800.0
STEP_NS = round(1e9 / RATE_HZ)
AXES = ["x", "y", "z"]
SCALE = 2 / 32768


def blocks(n: int) -> list[bytes]:
    """Ten seconds of 3 axes int16, in pieces of n samples."""
    raw = vibration(RATE_HZ, 1 / SCALE).tobytes()
    size = 6 * n
    return [raw[i : i + size] for i in range(0, len(raw) - size + 1, size)]


def samples(n: int, *, live: bool = False) -> Iterator[Samples]:
    """Frames of n samples at 800 Hz, stamped as they are asked for (live), else in an even row from an hour ago on."""
    mono, step = clock.boot_ns() - 3600 * 10**9, n * STEP_NS
    offset = clock.wall_minus_boot_ns()
    for values in cycle(blocks(n)):
        if live:
            mono = max(mono + step, clock.boot_ns() - step)
        yield Samples(
            sensor="bench", rate_hz=RATE_HZ, nominal_hz=RATE_HZ, n=n, axes=AXES, unit="g", scale=SCALE,
            dtype="<i2", values=values, dt_ns=STEP_NS, t=mono + offset, mono=mono,
        )  # fmt: skip
        if not live:
            mono += step


def events(size: int) -> Iterator[Event]:
    """Frames of about `size` bytes on the wire."""
    detail = "x" * (size - 190)
    while True:
        yield Event(event_type="bench", source="bench", detail=detail)
