"""Chunks lose nothing: any bits of int16 and float32, any time stamps, however the frames are cut."""

import random
import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.frames import Samples
from common.store import chunks
from common.store.assemble import MAX_SAMPLES, MAX_SPAN_NS, assemble

EXTREME = {
    "<i2": [struct.pack("<h", v) for v in (-32768, -1, 0, 1, 32767)],
    "<f4": [
        struct.pack("<I", v) for v in (0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00001, 0xFFFFFFFF, 1, 0x7F7FFFFF)
    ],
}


@st.composite
def matrices(draw: st.DrawFn) -> tuple[bytes, int, int, str]:
    dtype = draw(st.sampled_from(["<i2", "<f4"]))
    size = int(dtype[2])
    n, axes = draw(st.integers(0, 40)), draw(st.integers(1, 4))
    item = st.one_of(st.sampled_from(EXTREME[dtype]), st.binary(min_size=size, max_size=size))
    return b"".join(draw(st.lists(item, min_size=n * axes, max_size=n * axes))), n, axes, dtype


@settings(deadline=None)
@given(matrices())
def test_values_come_back_bit_by_bit(matrix: tuple[bytes, int, int, str]) -> None:
    values, n, axes, dtype = matrix
    decoded = chunks.decode(chunks.encode(values, n, axes, dtype), n, axes, dtype)
    assert decoded.shape == (n, axes)
    assert decoded.dtype == np.dtype(dtype)
    assert decoded.tobytes() == values


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 300), min_size=1, max_size=50))
def test_steps_come_back_whatever_they_are(steps: list[int]) -> None:
    packed = chunks.pack_steps(np.array(steps, np.int64))
    assert isinstance(packed, int) == (len(set(steps)) == 1)
    assert chunks.unpack_steps(packed, len(steps) + 1).tolist() == steps


@settings(deadline=None)
@given(matrices(), st.data())
def test_damage_is_refused_or_the_same(matrix: tuple[bytes, int, int, str], data: st.DataObject) -> None:
    values, n, axes, dtype = matrix
    encoded = bytearray(chunks.encode(values, n, axes, dtype))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        decoded = chunks.decode(bytes(encoded), n, axes, dtype)
    except ValueError:
        return
    assert decoded.tobytes() == values  # a bit that zstd does not use


@pytest.mark.parametrize(
    ("values", "n", "axes", "dtype"),
    [(b"\0" * 5, 1, 3, "<i2"), (b"\0" * 6, 1, 3, "<i4"), (b"", 7, 0, "<i2"), (b"\0" * 6, -1, -3, "<i2")],
)
def test_what_does_not_fit_is_refused(values: bytes, n: int, axes: int, dtype: str) -> None:
    with pytest.raises(ValueError):
        chunks.encode(values, n, axes, dtype)


def test_decode_refuses_another_shape_and_foreign_bytes() -> None:
    encoded = chunks.encode(b"\1\2\3\4", 2, 1, "<i2")
    for data, n in ((encoded, 3), (b"", 2), (b"foreign", 2), (encoded[:-1], 2)):
        with pytest.raises(ValueError):
            chunks.decode(data, n, 1, "<i2")


def test_decode_never_unpacks_more_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = chunks.encode(bytes(2000), 1000, 1, "<i2")
    packed = chunks.pack_steps(np.arange(999, dtype=np.int64))
    with pytest.raises(ValueError, match="unpacks to 2000 bytes, expected 1998"):
        chunks.decode(encoded, 999, 1, "<i2")
    monkeypatch.setattr(chunks, "MAX_RAW_BYTES", 1000)
    with pytest.raises(ValueError, match="unpacks to 2000 bytes"):
        chunks.decode(encoded, 1000, 1, "<i2")
    with pytest.raises(ValueError, match="unpacks to"):
        chunks.unpack_steps(packed, 1000)


def test_steps_of_another_length_are_refused() -> None:
    packed = chunks.pack_steps(np.array([1, 2, 3], np.int64))
    with pytest.raises(ValueError):
        chunks.unpack_steps(packed, 6)


CHANGES = [
    *(("nominal_hz", 400.0), ("nominal_hz", 800.0), ("scale", 2.0), ("unit", "m/s2"), ("dtype", "<f4")),
    *(("dtype", "<i2"), ("axes", ["x"]), ("axes", ["x", "y", "z"])),
]


class Source:
    """A sensor that is sampled in frames of any size, with gaps, clock settings and changes of its own choosing."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.t, self.mono, self.seq = 1_760_000_000_000_000_000, 5_000_000_000, 0
        self.shape = {"nominal_hz": 800.0, "scale": 0.5, "unit": "g", "axes": ["x", "y"], "dtype": "<i2"}

    def frame(self) -> Samples:
        rng = self.rng
        change = rng.random()
        if change < 0.05:
            self._wait(rng.choice([625_002, 700_000, 10**9, 10**13]))  # more than half a step: a gap
        elif change < 0.10:
            self.t += rng.choice([-(10**12), -1_000_001, 1_000_001, 10**15])  # the wall clock was set
        elif change < 0.15:
            key, value = rng.choice(CHANGES)
            self.shape = {**self.shape, key: value}
        self._wait(rng.randrange(-300, 300))  # borders are never exact
        n = rng.choice([1, 2, 7, 64, 80, 1000])
        steps = [1_250_000 + rng.randrange(-5, 5) for _ in range(n - 1)] if rng.random() < 0.3 else 1_250_000
        axes = self.shape["axes"]
        size = 2 if self.shape["dtype"] == "<i2" else 4
        self.seq += rng.choice([1, 1, 3])  # other kinds have numbers too
        fields = {"seq": self.seq, "t": self.t, "mono": self.mono, "n": n, "sensor": "v", "rate_hz": 800.1}
        fields |= {"values": rng.randbytes(n * len(axes) * size), "dt_ns": steps, **self.shape}
        frame = Samples(node="r", src="s", run="0" * 16, **fields)
        self._wait((sum(steps) if isinstance(steps, list) else steps * (n - 1)) + 1_250_000)
        return frame

    def _wait(self, ns: int) -> None:
        self.t += ns
        self.mono += ns


def times_of(frame: Samples) -> list[int]:
    steps = frame.dt_ns if isinstance(frame.dt_ns, list) else [frame.dt_ns] * (frame.n - 1)
    return [frame.t + sum(steps[:i]) for i in range(frame.n)]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_the_assembler_keeps_every_value_and_time(seed: int, count: int) -> None:
    source = Source(seed)
    frames = [source.frame() for _ in range(count)]
    found = list(assemble(frames))
    assert sum(chunk.frames for chunk in found) == count
    rest = iter(frames)
    for chunk in found:
        own = [next(rest) for _ in range(chunk.frames)]
        assert (chunk.from_seq, chunk.to_seq) == (own[0].seq, own[-1].seq)
        assert chunks.times(chunk.t_ns, chunk.dt_ns, chunk.n).tolist() == [t for f in own for t in times_of(f)]
        axes = len(own[0].axes)
        assert chunks.decode(chunk.data, chunk.n, axes, chunk.dtype).tobytes() == b"".join(f.values for f in own)
        if len(own) == 1:
            continue
        assert chunk.n <= MAX_SAMPLES
        shapes = {(f.nominal_hz, f.scale, f.unit, tuple(f.axes), f.dtype) for f in own}
        assert len(shapes) == 1
        assert times_of(own[-1])[-1] - chunk.t_ns <= MAX_SPAN_NS + 2_000_000
        offsets = [f.t - f.mono for f in own]
        assert max(abs(b - a) for a, b in pairwise(offsets)) <= 1_000_000
