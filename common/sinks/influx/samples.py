"""Chunks of samples as lines, one a sample: measurement `samples`, tag `sensor`, a field an axis. Pure."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from common.sinks.influx import lines
from common.store import chunks


def encode(row: tuple[Any, ...], size: int) -> Iterator[tuple[bytes, int]]:
    """Lines of one row (id and a chunk's columns), at most `size` at once, with their number. Raises BadChunk."""
    sensor, times, counts, axes, _, scale = chunks.unpack(row[1:])
    head = "samples" + lines.tags([("sensor", sensor)])
    names = [lines.key(axis) for axis in axes]
    for start in range(0, len(times), size):
        some, at = counts[start : start + size], times[start : start + size]
        with np.errstate(over="ignore", invalid="ignore"):
            whole = np.isfinite(some.astype(np.float64) * scale).all()
        yield (_together if whole else _one_by_one)(head, names, some, scale, at)


def _together(
    head: str, names: list[str], counts: npt.NDArray[Any], scale: float, times: npt.NDArray[np.int64]
) -> tuple[bytes, int]:
    """All of them by one format: every axis has a value."""
    n, axes = counts.shape
    width = axes + 1
    parts: list[Any] = [None] * (n * width)
    for axis in range(axes):
        parts[axis::width] = _written(counts[:, axis], scale)
    parts[axes::width] = times.tolist()
    line = head.replace("%", "%%") + " " + ",".join(f"{name.replace('%', '%%')}=%s" for name in names) + " %d\n"
    return ((line * n) % tuple(parts)).encode(), n


def _written(counts: npt.NDArray[Any], scale: float) -> list[str]:
    """Each value as text. A sensor of 16 bit gives few different ones: each is written once."""
    different, which = np.unique(counts, return_inverse=True)
    texts = [repr(value) for value in (different.astype(np.float64) * scale).tolist()]
    found: list[str] = np.array(texts, dtype=object)[which].tolist()
    return found


def _one_by_one(
    head: str, names: list[str], counts: npt.NDArray[Any], scale: float, times: npt.NDArray[np.int64]
) -> tuple[bytes, int]:
    """Some are NaN or infinite: these are left out, and a sample without any value."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = (counts.astype(np.float64) * scale).tolist()
    found = []
    for sample, t_ns in zip(values, times.tolist(), strict=True):
        said = [f"{name}={w}" for name, v in zip(names, sample, strict=True) if (w := lines.decimal(v)) is not None]
        if said:
            found.append(f"{head} {','.join(said)} {t_ns}\n")
    return "".join(found).encode(), len(found)
