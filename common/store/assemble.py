"""Joins the Samples frames of one stream and sensor into chunks, so that a stored sample costs few bytes.

A chunk is whole frames: at most 1 s from its first to its last sample and 65,536 samples, but never less than a frame.
It ends at every gap (the next frame's `mono` differs from the expected one by more than half a step), where the wall
clock was set (t − mono changes by more than 1 ms), and where rate, scale, unit, axes or dtype change. What is left, the
few ns by which frame borders differ from the step, stands in dt_ns: every sample keeps its time to the ns.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from common.frames import Samples
from common.store import chunks

MAX_SPAN_NS = 1_000_000_000
MAX_SAMPLES = 65_536
MAX_CLOCK_CHANGE_NS = 1_000_000
_I64_END = 2**63


class Chunk(NamedTuple):
    """One row of sample_chunks, in the order of COLUMNS."""

    t_ns: int
    sensor: str
    n: int
    rate_hz: float
    axes: str
    unit: str
    scale: float
    dtype: str
    dt_ns: int | bytes
    encoding: str
    data: bytes
    from_seq: int
    to_seq: int
    frames: int


COLUMNS = ", ".join(Chunk._fields)


def assemble(frames: Sequence[Samples]) -> Iterator[Chunk]:
    """frames: of one stream and sensor, n > 0 each, rising in seq. ValueError or OverflowError where one cannot be."""
    start = 0
    expected = half_step = offset = first_mono = total = 0
    kind: object = None
    for i, f in enumerate(frames):
        n, mono, dt = f.n, f.mono, f.dt_ns
        if type(dt) is int:
            step, span = dt, dt * (n - 1)
        else:
            span = sum(dt)  # type: ignore[arg-type]  # UNSET is not one of its types
            step = span // (n - 1) if n > 1 else int(1e9 / f.nominal_hz) if f.nominal_hz > 0 else 0
        this = (f.nominal_hz, f.scale, f.dtype, f.unit, f.axes)
        if (
            abs(mono - expected) > half_step
            or abs(f.t - mono - offset) > MAX_CLOCK_CHANGE_NS
            or mono + span - first_mono > MAX_SPAN_NS
            or total + n > MAX_SAMPLES
            or this != kind
        ):
            if i:
                yield _chunk(frames[start:i])
            start, first_mono, total, kind = i, mono, 0, this
        expected = mono + span + step
        half_step = step >> 1
        offset = f.t - mono
        total += n
    if frames:
        yield _chunk(frames[start:])


def _chunk(frames: Sequence[Samples]) -> Chunk:
    first, last = frames[0], frames[-1]
    n = first.n if len(frames) == 1 else sum([f.n for f in frames])
    dt_ns, span = _steps(frames)
    # Fitted on `mono`, which no clock setting bends. A frame alone is too short to measure better than its driver.
    rate_hz = (n - 1) * 1e9 / span if len(frames) > 1 and span > 0 else first.rate_hz
    values = first.values if len(frames) == 1 else b"".join([f.values for f in frames])
    return Chunk(
        first.t,
        first.sensor,
        n,
        rate_hz,
        msgspec.json.encode(first.axes).decode(),
        first.unit,
        first.scale,
        first.dtype,
        dt_ns,
        chunks.ENCODING,
        chunks.encode(values, n, len(first.axes), first.dtype),
        first.seq,
        last.seq,
        len(frames),
    )


def _steps(frames: Sequence[Samples]) -> tuple[int | bytes, int]:
    """The column dt_ns, and mono ns from the first to the last sample."""
    first, last = frames[0], frames[-1]
    last_span = last.dt_ns * (last.n - 1) if isinstance(last.dt_ns, int) else sum(last.dt_ns)
    if last.t + last_span >= _I64_END:
        raise OverflowError(f"the last sample lies beyond the clock: t {last.t} + {last_span} ns")
    if len(frames) == 1:
        if isinstance(first.dt_ns, int):
            return first.dt_ns, last_span
        return (chunks.pack_steps(np.array(first.dt_ns, np.int64)) if first.dt_ns else 0), last_span
    counts = np.array([f.n for f in frames])
    starts = np.array([f.t for f in frames], np.int64)
    borders = np.cumsum(counts) - 1  # the step after the last sample of each frame
    if all(type(f.dt_ns) is int for f in frames):
        within = np.array([f.dt_ns for f in frames], np.int64)
        steps = np.repeat(within, counts)
        ends = starts + within * (counts - 1)
    else:
        steps = np.zeros(int(borders[-1]) + 1, np.int64)
        for f, end in zip(frames, borders.tolist(), strict=True):
            steps[end - f.n + 1 : end] = f.dt_ns
        ends = starts + np.add.reduceat(steps, borders - counts + 1)
    steps[borders[:-1]] = starts[1:] - ends[:-1]
    return chunks.pack_steps(steps[:-1]), last.mono + last_span - first.mono
