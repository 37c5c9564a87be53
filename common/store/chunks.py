"""Bytes of sample chunks: the codec `d1s2z`, and the steps between samples (docs/store.md has both layouts).

Values are differenced on their bits as unsigned integers, so that float32 survives whatever it holds: NaN payloads,
infinities, negative zero. All functions are pure; compression contexts belong to the thread that calls.

Level 1, measured (x86-64, int16 noise of σ 300 counts, chunks of 800 × 3; µs CPU per 64 samples, bytes a sample):
−1 1.0, 5.34 · 1 1.4, 4.75 · 3 1.7, 4.69 · 6 2.5, 4.66 · 9 4.0, 4.60. Noise has no matches to search for, so that higher
levels buy next to nothing; negative levels leave out the entropy coder, which does all the work.
"""

import threading
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import zstandard

ENCODING = "d1s2z"
COLUMNS = "t_ns, sensor, n, axes, unit, scale, dtype, dt_ns, encoding, data"  # of sample_chunks, as `unpack` takes them
LEVEL = 1
MAX_RAW_BYTES = 256 * 2**20  # decode refuses to unpack more: a flipped bit must not ask for terabytes
_UNSIGNED: dict[str, np.dtype[Any]] = {"<i2": np.dtype("<u2"), "<f4": np.dtype("<u4")}
_WIDTHS = (1, 2, 4, 8)


class _Contexts(threading.local):
    """zstd contexts are costly to make and not safe to share between threads."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


_contexts = _Contexts()


class BadChunk(ValueError):
    """A row that cannot be unpacked: it never can."""


class Unpacked(NamedTuple):
    """A row of sample_chunks. t_ns int64 (n,); counts of its dtype (n, axes), one count = scale units."""

    sensor: str
    t_ns: npt.NDArray[np.int64]
    counts: npt.NDArray[Any]
    axes: tuple[str, ...]
    unit: str
    scale: float


def unpack(row: tuple[Any, ...]) -> Unpacked:
    """row: COLUMNS. Raises BadChunk."""
    t_ns, sensor, n, axes_json, unit, scale, dtype, dt_ns, encoding, data = row
    try:
        if encoding != ENCODING:
            raise ValueError(f"encoding {encoding!r} is not known to this rigbus")
        axes = _axes(axes_json)
        return Unpacked(sensor, times(t_ns, dt_ns, n), decode(data, n, len(axes), dtype), axes, unit, scale)
    except (ValueError, TypeError, OverflowError, msgspec.MsgspecError) as e:
        raise BadChunk(f"not a chunk of samples: {e}") from None


@lru_cache(maxsize=64)
def _axes(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])


def encode(values: bytes, n: int, axes: int, dtype: str) -> bytes:
    """values: n × axes (at least one) of dtype ('<i2' or '<f4'), sample-major → one zstd frame. ValueError if not."""
    unsigned = _unsigned(dtype)
    if n < 0 or axes < 1 or len(values) != n * axes * unsigned.itemsize:
        raise ValueError(f"{len(values)} bytes are not {n} samples × {axes} axes of {dtype}")
    by_axis = np.frombuffer(values, unsigned).reshape(n, axes).T
    steps = np.empty((axes, n), unsigned)
    steps[:, :1] = by_axis[:, :1]
    np.subtract(by_axis[:, 1:], by_axis[:, :-1], out=steps[:, 1:])
    compressed: bytes = _contexts.compress(_shuffle(steps.reshape(-1)))
    return compressed


def decode(data: bytes, n: int, axes: int, dtype: str) -> npt.NDArray[Any]:
    """The inverse of `encode`: an array of dtype, shape (n, axes). ValueError where data is not such a chunk."""
    unsigned = _unsigned(dtype)
    raw = _decompress(data, n * axes * unsigned.itemsize)
    steps = _unshuffle(raw, unsigned).reshape(axes, n)
    by_axis = np.cumsum(steps, axis=1, dtype=unsigned)
    return np.ascontiguousarray(by_axis.T).view(dtype)


def pack_steps(steps: npt.NDArray[np.int64]) -> int | bytes:
    """ns from each sample to the next (n − 1 of them, n > 1) → one int where all are equal, else the blob."""
    base, top = int(steps.min()), int(steps.max())
    if base == top:
        return base
    width = next(w for w in _WIDTHS if (top - base) >> (8 * w) == 0)
    # As u64 the difference from the least is exact even where it does not fit i64.
    above = (steps.view(np.uint64) - np.uint64(base % 2**64)).astype(f"<u{width}")
    packed: bytes = _contexts.compress(base.to_bytes(8, "little", signed=True) + _shuffle(above))
    return packed


def unpack_steps(packed: int | bytes, n: int) -> npt.NDArray[np.int64]:
    """The n − 1 steps (ns) of a chunk of n samples from its column dt_ns. ValueError where it is not one."""
    if n < 2:
        return np.empty(0, np.int64)
    if isinstance(packed, int):
        return np.full(n - 1, packed, np.int64)
    raw = _decompress(packed, None)
    width, rest = divmod(len(raw) - 8, n - 1)
    if rest or width not in _WIDTHS:
        raise ValueError(f"dt_ns unpacks to {len(raw)} bytes, which do not fit {n} samples")
    above = _unshuffle(raw[8:], np.dtype(f"<u{width}")).astype(np.uint64)
    base = np.uint64(int.from_bytes(raw[:8], "little", signed=True) % 2**64)
    return (above + base).view(np.int64)


def times(t_ns: int, packed: int | bytes, n: int) -> npt.NDArray[np.int64]:
    """Wall time (ns) of each of the n samples of a chunk."""
    t = np.full(n, t_ns, np.int64)
    t[1:] += np.cumsum(unpack_steps(packed, n))
    return t


def _unsigned(dtype: str) -> np.dtype[Any]:
    try:
        return _UNSIGNED[dtype]
    except KeyError:
        raise ValueError(f"dtype {dtype!r} is neither '<i2' nor '<f4'") from None


def _shuffle(a: npt.NDArray[Any]) -> bytes:
    """All first bytes, then all second bytes, …"""
    return a.view(np.uint8).reshape(-1, a.itemsize).T.tobytes()


def _unshuffle(raw: bytes, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, -1).T).view(dtype).reshape(-1)


def _decompress(data: bytes, size: int | None) -> bytes:
    try:
        told = zstandard.get_frame_parameters(data).content_size
        if told > MAX_RAW_BYTES or (size is not None and told != size):
            raise ValueError(f"the chunk unpacks to {told} bytes, expected {size if size is not None else 'less'}")
        raw: bytes = _contexts.decompress(data)
    except zstandard.ZstdError as e:
        raise ValueError(f"not a chunk: {e}") from None
    return raw
