"""Frames out of blocks: their length, their stamps, what is told where something is missing, and time by command."""

import itertools
import struct

import pytest

from common.config.schema import HighspeedConfig
from common.drivers.samplers import Block, Lost
from common.samples import Framer

STEP = 1_250_000
START = 50 * 10**9
MINUTE = 60 * 10**9


class Rt:
    """What a Framer asks of a Runtime."""

    def __init__(self):
        self.frames, self.losses, self.down = [], [], []

    def publish(self, frame):
        self.frames.append(frame)

    def lose(self, stream, unit, count, cause, *, from_t, to_t, detail=""):
        assert (stream, unit) == ("samples/vibration/", "sample")
        self.losses.append((cause, count, to_t - from_t, detail))

    def mark_down_time(self, stream, unit, untold_s):
        self.down.append((stream, unit, untold_s > 60))


class Sampler:
    axes, unit, scale, dtype, rate_hz = ("x",), "g", 1.0, "<i2", 800.0


@pytest.fixture
def rt():
    return Rt()


@pytest.fixture
def framer(rt):
    return Framer(rt, HighspeedConfig(), Sampler())  # frames of 80


def block(first, n, step=STEP, at=None):
    """Samples first, first + 1, … at their time."""
    return Block(START + first * STEP if at is None else at, n, struct.pack(f"<{n}h", *range(first, first + n)), step)


def numbers(frames):
    return [v for frame in frames for (v,) in struct.iter_unpack("<h", frame.values)]


def test_the_time_since_the_run_before_is_marked(rt, framer):
    assert rt.down == [("samples/vibration/", "sample", True)]


@pytest.mark.parametrize("size", [1, 7, 32, 80, 100, 333])
def test_every_frame_has_its_length_whatever_the_blocks_have(rt, framer, size):
    for first in range(0, 1000, size):
        framer.add(block(first, size))
    framer.flush()
    assert {frame.n for frame in rt.frames[:-1]} == {80}
    assert numbers(rt.frames) == list(range(len(numbers(rt.frames))))
    assert rt.losses == []
    for before, after in itertools.pairwise(rt.frames):
        assert after.mono - before.mono == 80 * STEP
        assert before.dt_ns == STEP


def test_a_step_that_changes_within_a_frame_is_told_by_its_mean(rt, framer):
    framer.add(block(0, 40))
    framer.add(block(40, 40, STEP + 100))
    framer.add(block(80, 80, STEP, at=START + 80 * STEP + 4000))
    one, two = rt.frames
    assert one.dt_ns == STEP + 50
    assert two.mono - one.mono == 80 * one.dt_ns


def test_a_block_without_a_step_goes_by_the_rate(rt, framer):
    framer.add(block(0, 80, 0))
    assert rt.frames[0].dt_ns == STEP


def test_a_hole_that_nobody_tells_is_late(rt, framer):
    framer.add(block(0, 30))
    framer.add(block(37, 30))
    assert [frame.n for frame in rt.frames] == [30]
    assert rt.losses == [("late", 7, 7 * STEP, "")]


def test_half_a_step_is_no_hole(rt, framer):
    framer.add(block(0, 30))
    framer.add(block(30, 50, at=START + 30 * STEP + STEP // 2 - 1))
    assert rt.losses == []


def test_a_loss_ends_a_frame_and_is_no_hole_besides(rt, framer):
    framer.add(block(0, 30))
    framer.add(Lost(START + 30 * STEP, START + 47 * STEP, 17, "nack", "gone"))
    framer.add(block(47, 80))
    assert [frame.n for frame in rt.frames] == [30, 80]
    assert rt.losses == [("nack", 17, 17 * STEP, "gone")]


def test_many_losses_are_few_rows_and_still_end_frames(rt, framer):
    for first in range(0, 8000, 40):
        framer.add(block(first, 30))
        framer.add(Lost(START + (first + 30) * STEP, START + (first + 40) * STEP, 10, "nack", "gone"))
    framer.tell(START + 8000 * STEP, last=True)
    assert [frame.n for frame in rt.frames] == [30] * 200
    assert rt.losses == [("nack", 10, 10 * STEP, "gone"), ("nack", 1990, 7930 * STEP, "199 times, the last: gone")]


def test_a_sum_is_told_in_time_though_nothing_comes(rt, framer):
    framer.add(block(0, 30))
    framer.add(block(31, 30))
    framer.add(block(63, 30))
    framer.hold("stopped", START + 100 * STEP)
    framer.tell(START + 12 * 10**9)
    assert [loss[:2] for loss in rt.losses] == [("late", 1), ("late", 2)]


def test_what_comes_in_a_pause_is_counted_to_the_sample(rt, framer):
    framer.add(block(0, 30))
    framer.hold("paused", START)
    framer.add(block(30, 500))
    framer.add(Lost(START + 530 * STEP, START + 540 * STEP, 10, "nack"))
    framer.add(block(541, 100))  # and one was late
    framer.release()
    framer.add(block(641, 80))
    assert numbers(rt.frames) == [*range(30), *range(641, 721)]
    assert rt.losses == [("paused", 611, 611 * STEP, "")]


def test_an_unknown_count_in_a_pause_stays_unknown(rt, framer):
    framer.add(block(0, 30))
    framer.hold("paused", START)
    framer.add(block(30, 50))
    framer.add(Lost(START + 80 * STEP, START + 90 * STEP, None, "nack"))
    framer.release()
    assert rt.losses == [("paused", None, 60 * STEP, "")]


def test_a_stop_is_told_by_the_rate_until_the_next_sample(rt, framer):
    framer.add(block(0, 30))
    framer.hold("stopped", START + 33 * STEP)
    framer.tell(START + 40 * STEP)
    assert rt.losses == []
    framer.add(block(8030, 80))
    assert rt.losses == [("stopped", 8000, 8000 * STEP, "")]
    assert numbers(rt.frames) == [*range(30), *range(8030, 8110)]


def test_long_holds_are_told_each_minute_and_at_the_end(rt, framer):
    framer.add(block(0, 80))
    framer.hold("stopped", START + 80 * STEP)
    for t in range(0, 150, 1):
        framer.tell(START + 80 * STEP + t * 10**9)
    framer.tell(START + 80 * STEP + 150 * 10**9, last=True)
    assert [cause for cause, *_ in rt.losses] == ["stopped"] * 3
    assert sum(count for _, count, _, _ in rt.losses) == 150 * 800
    assert sum(span for _, _, span, _ in rt.losses) == 150 * 10**9
    assert rt.losses[0][2] > MINUTE


def test_a_pause_that_ends_in_a_stop_is_told_as_both(rt, framer):
    framer.add(block(0, 80))
    framer.hold("paused", START)
    framer.add(block(80, 800))
    framer.hold("stopped", START)
    framer.tell(START + 1680 * STEP, last=True)
    assert [loss[:2] for loss in rt.losses] == [("paused", 800), ("stopped", 800)]


def test_a_pause_before_the_first_sample_is_no_loss(rt, framer):
    framer.hold("paused", START)
    framer.release()
    framer.add(block(0, 80))
    assert rt.losses == []
