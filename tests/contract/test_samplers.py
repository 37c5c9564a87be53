"""What every fast sensor must do (common/drivers/samplers.py: Sampler), the simulated and the real."""

import array
import itertools
import math
import threading
import time

import pytest

from common import drivers
from common.config.schema import HighspeedConfig
from common.drivers.samplers import Block

DRIVERS = ("sim",)  # chips: each with a model of itself behind a bus of the test's own
RATE_HZ = 800.0
SIZE = {"<i2": 2, "<f4": 4}
TYPECODE = {"<i2": "h", "<f4": "f"}


def config(driver, **more):
    return HighspeedConfig(driver=driver, **{"rate_hz": RATE_HZ, **more})


@pytest.fixture(params=DRIVERS)
def sampler(request):
    with drivers.open_sampler(config(request.param)) as made:
        yield made


def blocks(sampler, count, start_ns=None):
    """Blocks at the deadlines that the daemon's loop would have; no time passes."""
    start = time.monotonic_ns() if start_ns is None else start_ns
    period = round(sampler.period_s * 1e9)
    return [sampler.take(start + i * period) for i in range(count)]


def values_of(sampler, parts):
    """Samples as lists of units, one list an axis."""
    numbers = array.array(TYPECODE[sampler.dtype], b"".join(part.values for part in parts))
    width = len(sampler.axes)
    return [[number * sampler.scale for number in numbers[i::width]] for i in range(width)]


def test_every_shipped_driver_is_tested_here():
    assert set(DRIVERS) == set(drivers.SAMPLERS)


def test_it_describes_itself(sampler):
    assert sampler.period_s > 0
    assert sampler.rate_hz == pytest.approx(RATE_HZ, rel=0.05)
    assert sampler.axes
    assert len(set(sampler.axes)) == len(sampler.axes)
    assert all(isinstance(axis, str) and axis for axis in sampler.axes)
    assert sampler.unit
    assert sampler.scale > 0
    assert sampler.dtype in SIZE


def test_with_gives_itself(sampler):
    with sampler as entered:
        assert entered is sampler


def test_a_block_holds_n_samples_of_all_axes(sampler):
    width = len(sampler.axes) * SIZE[sampler.dtype]
    for block in blocks(sampler, 50):
        assert isinstance(block, Block)
        assert type(block.t_ns) is int
        assert type(block.values) is bytes
        assert len(block.values) == block.n * width


def test_blocks_follow_each_other_and_keep_the_rate(sampler):
    """The first sample of a block comes one step after the last of the block before."""
    step = 1e9 / sampler.rate_hz
    parts = [block for block in blocks(sampler, 800) if block.n]
    for before, after in itertools.pairwise(parts):
        assert abs(after.t_ns - (before.t_ns + before.n * step)) < step / 2
    assert sum(block.n for block in parts) == pytest.approx(800 * sampler.period_s * sampler.rate_hz, abs=16)


def test_a_take_does_not_wait(sampler):
    done = threading.Event()

    def many():
        blocks(sampler, 2000)
        done.set()

    threading.Thread(target=many, daemon=True).start()
    assert done.wait(30)


def test_the_sample_of_a_tick_has_the_stamp_of_its_deadline():
    with drivers.open_sampler(config("sim")) as sampler:
        assert [block.t_ns for block in blocks(sampler, 3, start_ns=1_000)] == [1_000, 1_251_000, 2_501_000]


@pytest.mark.parametrize("range_g", [2, 4, 16])
def test_the_simulated_sensor_stands_upright_and_shakes_at_its_pumps_frequency(range_g):
    with drivers.open_sampler(config("sim", range_g=range_g)) as sampler:
        x, y, z = values_of(sampler, blocks(sampler, 8000))
    assert sampler.unit == "g"
    assert sum(z) / len(z) == pytest.approx(1.0, abs=0.01)
    assert sum(x) / len(x) == pytest.approx(0.0, abs=0.01)
    assert max(y) < range_g

    def strength(signal, hz):
        turns = [2 * math.pi * hz * i / RATE_HZ for i in range(len(signal))]
        real = sum(v * math.cos(a) for v, a in zip(signal, turns, strict=True))
        imaginary = sum(v * math.sin(a) for v, a in zip(signal, turns, strict=True))
        return 2 * math.hypot(real, imaginary) / len(signal)

    assert strength(x, 49.5) == pytest.approx(0.30, abs=0.01)
    assert strength(x, 120.0) < 0.01


def test_two_simulated_sensors_give_the_same():
    with drivers.open_sampler(config("sim")) as one, drivers.open_sampler(config("sim")) as other:
        assert blocks(one, 100, 0) == blocks(other, 100, 0)
