"""Where a chunk ends, and what it says of its rate."""

from typing import Any

import numpy as np
import pytest

from common.frames import Samples
from common.store import chunks
from common.store.assemble import Chunk, assemble

T, MONO, STEP = 1_760_000_000_000_000_000, 10**12, 1_250_000


def frame(first: int, n: int = 80, **changes: Any) -> Samples:
    """n samples of 800 Hz; the first is number `first` since T."""
    fields: dict[str, Any] = {"seq": first // 80 + 1, "t": T + first * STEP, "mono": MONO + first * STEP, "n": n}
    fields |= {"sensor": "v", "rate_hz": 800.5, "nominal_hz": 800.0, "axes": ["x"], "unit": "g", "scale": 1.0}
    fields |= {"dtype": "<i2", "values": bytes(2 * min(n, 10**6)), "dt_ns": STEP, **changes}
    return Samples(node="r", src="s", run="0" * 16, **fields)


def cut(*frames: Samples) -> list[Chunk]:
    return list(assemble(frames))


def test_nothing_gives_nothing() -> None:
    assert cut() == []


def test_a_second_of_frames_is_one_chunk_with_one_step() -> None:
    (chunk,) = cut(*[frame(80 * i) for i in range(10)])
    assert (chunk.n, chunk.frames, chunk.dt_ns, chunk.t_ns, chunk.encoding) == (800, 10, STEP, T, "d1s2z")
    assert (chunk.axes, chunk.unit, chunk.scale, chunk.sensor) == ('["x"]', "g", 1.0, "v")


def test_a_chunk_is_at_most_a_second_long() -> None:
    assert [chunk.frames for chunk in cut(*[frame(80 * i) for i in range(11)])] == [10, 1]


def test_a_chunk_has_at_most_65536_samples() -> None:
    frames = [
        frame(0, n=30_000, dt_ns=10, values=bytes(60_000), t=T + i * 300_000, mono=MONO + i * 300_000) for i in range(3)
    ]
    assert [chunk.n for chunk in cut(*frames)] == [60_000, 30_000]


def test_a_frame_is_never_cut() -> None:
    (chunk,) = cut(frame(0, n=70_000, values=bytes(140_000)))
    assert chunk.n == 70_000


@pytest.mark.parametrize("late", [-STEP // 2, 0, STEP // 2])
def test_half_a_step_is_jitter(late: int) -> None:
    second = frame(80, t=T + 80 * STEP + late, mono=MONO + 80 * STEP + late)
    (chunk,) = cut(frame(0), second)
    assert chunks.times(chunk.t_ns, chunk.dt_ns, chunk.n)[80] == second.t


@pytest.mark.parametrize("late", [-STEP // 2 - 1, STEP // 2 + 1, STEP])
def test_more_than_half_a_step_is_a_gap(late: int) -> None:
    second = frame(80, t=T + 80 * STEP + late, mono=MONO + 80 * STEP + late)
    assert len(cut(frame(0), second)) == 2


@pytest.mark.parametrize(("step", "count"), [(1_000_000, 1), (-1_000_000, 1), (1_000_001, 2), (-1_000_001, 2)])
def test_a_wall_clock_set_by_more_than_1_ms_ends_a_chunk(step: int, count: int) -> None:
    assert len(cut(frame(0), frame(80, t=T + 80 * STEP + step))) == count


def test_times_that_run_backwards_within_a_chunk_are_kept() -> None:
    fast = [
        frame(0, n=80, dt_ns=10_000, t=T, mono=MONO),
        frame(0, n=80, dt_ns=10_000, t=T - 100_000, mono=MONO + 800_000),
    ]
    (chunk,) = cut(*fast)
    assert chunks.times(chunk.t_ns, chunk.dt_ns, chunk.n)[[0, 79, 80, 159]].tolist() == [
        *(T, T + 790_000),
        *(T - 100_000, T + 690_000),
    ]


@pytest.mark.parametrize(
    "change",
    [{"nominal_hz": 801.0}, {"scale": 2.0}, {"unit": "m/s2"}, {"axes": ["y"]}, {"dtype": "<f4", "values": bytes(320)}],
)
def test_a_change_ends_a_chunk(change: dict[str, Any]) -> None:
    assert len(cut(frame(0), frame(80, **change))) == 2


def test_the_fitted_rate_may_change() -> None:
    assert len(cut(frame(0), frame(80, rate_hz=799.0))) == 1


def test_rate_is_measured_on_the_boot_clock_over_more_than_a_frame() -> None:
    steps = [frame(80 * i, t=T + 80 * i * STEP + i * 900_000, dt_ns=STEP) for i in range(5)]
    (chunk,) = cut(*steps)
    assert chunk.rate_hz == pytest.approx(800.0)
    (alone,) = cut(frame(0))
    assert alone.rate_hz == 800.5


def test_frames_of_one_sample_are_joined() -> None:
    single = [frame(i, n=1, seq=i + 1) for i in range(5)]
    assert [chunk.n for chunk in cut(*single)] == [5]
    listed = [frame(i, n=1, seq=i + 1, dt_ns=[]) for i in range(5)]
    assert [chunk.n for chunk in cut(*listed)] == [5]


def test_listed_steps_and_one_step_can_stand_in_one_chunk() -> None:
    steps = [STEP + (-1) ** i for i in range(79)]
    frames = [frame(0, dt_ns=steps), frame(80), frame(160, dt_ns=steps)]
    (chunk,) = cut(*frames)
    expected = np.concatenate(
        [f.t + np.concatenate([[0], np.cumsum(s)]) for f, s in zip(frames, (steps, [STEP] * 79, steps), strict=True)]
    )
    assert chunks.times(chunk.t_ns, chunk.dt_ns, chunk.n).tolist() == expected.tolist()


def test_times_beyond_the_clock_are_refused() -> None:
    with pytest.raises(OverflowError):
        cut(frame(0, t=2**63 - 1))


def test_samples_without_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="axes"):
        cut(frame(0, n=2**40, axes=[], values=b""))
