"""Samples for a screen: pairs of lowest and highest, no peak is lost."""

from math import ceil, nan

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.frames import Samples, encode
from common.gateway.reduce import reduced


def frame(values: np.ndarray, rate_hz: float = 800.0, dt_ns=1_250_000, dtype: str = "<i2") -> bytes:
    n, axes = values.shape
    return encode(
        Samples(
            node="n", src="highspeed", run="0" * 16, seq=3, t=5, mono=4,
            sensor="vib", rate_hz=rate_hz, nominal_hz=800.0,
            n=n, axes=list("xyz"[:axes]), unit="g", scale=0.5, dtype=dtype, values=values.astype(dtype).tobytes(),
            dt_ns=dt_ns,
        )
    )  # fmt: skip


def read(payload: bytes) -> tuple[dict, np.ndarray]:
    found = msgspec.msgpack.decode(payload)
    return found, np.frombuffer(found["values"], found["dtype"]).reshape(found["n"], len(found["axes"]))


@given(
    st.integers(3, 200),
    st.integers(1, 3),
    st.floats(1, 700),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["<i2", "<f4"]),
)
def test_each_pair_is_the_lowest_and_the_highest_of_its_samples_in_their_order(n, axes, samples_hz, seed, dtype):
    values = np.random.default_rng(seed).integers(-32768, 32767, (n, axes)).astype(dtype)
    found, pairs = read(reduced(frame(values, dtype=dtype), samples_hz))
    group = found["reduced"]
    assert group == min(ceil(2 * 800 / samples_hz), n)
    assert len(pairs) == 2 * ceil(n / group)
    for number in range(ceil(n / group)):
        part, pair = values[number * group : (number + 1) * group], pairs[2 * number : 2 * number + 2]
        assert (pair.min(axis=0) == part.min(axis=0)).all()
        assert (pair.max(axis=0) == part.max(axis=0)).all()
        low_first = part.argmin(axis=0) <= part.argmax(axis=0)
        assert ((pair[0] == part.min(axis=0)) >= low_first).all()


def test_its_rate_is_at_most_what_was_asked_for():
    values = np.zeros((80, 3))
    for samples_hz in (20, 100, 199, 200, 300, 700):
        found, _ = read(reduced(frame(values), samples_hz))
        assert 800 / found["reduced"] * 2 <= samples_hz
        assert found["dt_ns"] == round(1_250_000 * found["reduced"] / 2)


@pytest.mark.parametrize("samples_hz", [1, 5, 19])
def test_a_frame_has_a_pair_at_least_and_it_lies_within_its_own_time(samples_hz):
    found, _ = read(reduced(frame(np.zeros((80, 3))), samples_hz))
    assert (found["n"], found["reduced"]) == (2, 80)
    assert found["dt_ns"] < 80 * 1_250_000


@pytest.mark.parametrize("rate_hz", [float("nan"), float("inf")])
def test_a_rate_that_is_no_number_is_left_as_it_is(rate_hz):
    odd = {**msgspec.msgpack.decode(frame(np.ones((80, 3)))), "rate_hz": rate_hz}
    payload = msgspec.msgpack.encode(odd)
    assert reduced(payload, 100) is payload


def test_the_rest_of_the_frame_stays_as_it_was():
    before = msgspec.msgpack.decode(frame(np.ones((80, 3))))
    after = msgspec.msgpack.decode(reduced(frame(np.ones((80, 3))), 100))
    changed = {key for key in after if after[key] != before.get(key)}
    assert changed == {"n", "dt_ns", "values", "reduced"}


@pytest.mark.parametrize("samples_hz", [800, 790, 1e6])
def test_what_is_no_faster_stays_as_it_is(samples_hz):
    payload = frame(np.ones((80, 3)))
    assert reduced(payload, samples_hz) is payload


def test_uneven_steps_become_their_mean():
    steps = [1_000_000, 1_500_000] * 39 + [1_000_000]
    found, _ = read(reduced(frame(np.ones((80, 1)), dt_ns=steps), 100))
    assert found["dt_ns"] == round(sum(steps) / 79 * 16 / 2)


def test_nan_hides_no_peak():
    values = np.array([[nan], [1.0], [nan], [-2.0], [nan], [nan], [nan], [nan]])
    _, pairs = read(reduced(frame(values, dtype="<f4"), 400))
    assert pairs[:2].ravel().tolist() == [1.0, -2.0]
    assert np.isnan(pairs[2:]).all()


@pytest.mark.parametrize("payload", [b"", b"\xc1", msgspec.msgpack.encode({"k": "samples"}), msgspec.msgpack.encode(7)])
def test_what_cannot_be_read_stays_as_it_is(payload):
    assert reduced(payload, 10) is payload
