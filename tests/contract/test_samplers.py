"""What every fast sensor must do (common/drivers/samplers.py: Sampler): all drivers, all modes, on simulated chips.

The chips live in a time of their own, which passes where a test says so and with each byte on the bus.
"""

import array
import errno
import itertools
import math

import pytest

from common import drivers
from common.config.schema import HighspeedConfig
from common.drivers import adxl345, adxl345_sim, mpu6050, mpu6050_sim
from common.drivers.i2c_sim import Fault, SimBus, VirtualClock, sim_port
from common.drivers.samplers import Block, Lost
from common.errors import ConfigError, DeviceMissing

# name in the table, mode, the driver's module, its chip, the chip's own address
KINDS = {
    "sim": ("fifo", None, None, 0),
    "mpu6050 fifo": ("fifo", mpu6050, mpu6050_sim.SimChip, 0x68),
    "mpu6050 polled": ("polled", mpu6050, mpu6050_sim.SimChip, 0x68),
    "adxl345 fifo": ("fifo", adxl345, adxl345_sim.SimChip, 0x53),
    "adxl345 polled": ("polled", adxl345, adxl345_sim.SimChip, 0x53),
}
CHIPS = [name for name, kind in KINDS.items() if kind[1]]
RATE_HZ = 800.0
SIZE = {"<i2": 2, "<f4": 4}
TYPECODE = {"<i2": "h", "<f4": "f"}


class Bench:
    """A driver on a simulated bus, called as the daemon's loop would."""

    def __init__(self, kind, identity=None, **more):
        mode, module, chip, address = KINDS[kind]
        cfg = HighspeedConfig(driver=kind.split()[0], mode=mode, **{"rate_hz": RATE_HZ, **more})
        self.clock = VirtualClock()
        self.bus = SimBus(self.clock)
        if module is None:
            self.sampler = drivers.open_sampler(cfg)
            return
        self.chip = chip(self.clock) if identity is None else chip(self.clock, identity=identity)
        self.bus.chips[cfg.address or address] = self.chip
        self.sampler = module.open_at(cfg, sim_port(self.bus))
        self.deadline = self.clock.ns

    def run(self, seconds):
        """What the sampler tells in that time, in its order."""
        found = []
        period = round(self.sampler.period_s * 1e9)
        for _ in range(math.ceil(seconds / self.sampler.period_s)):
            self.deadline += period
            self.clock.ns = max(self.clock.ns, self.deadline)
            found += self.sampler.take(self.deadline)
        return found


@pytest.fixture(params=CHIPS)
def bench(request):
    made = Bench(request.param)
    with made.sampler:
        yield made


def blocks(parts):
    return [part for part in parts if isinstance(part, Block)]


def lost(parts):
    return [part for part in parts if isinstance(part, Lost)]


def values_of(sampler, parts):
    """Samples as lists of units, one list an axis."""
    numbers = array.array(TYPECODE[sampler.dtype], b"".join(part.values for part in blocks(parts)))
    width = len(sampler.axes)
    return [[number * sampler.scale for number in numbers[i::width]] for i in range(width)]


def test_every_shipped_driver_is_tested_here():
    assert {kind.split()[0] for kind in KINDS} == set(drivers.SAMPLERS)


@pytest.mark.parametrize("kind", KINDS)
def test_it_describes_itself(kind):
    with Bench(kind).sampler as sampler:
        assert sampler.period_s > 0
        assert sampler.rate_hz == pytest.approx(RATE_HZ, rel=0.05)
        assert sampler.axes
        assert len(set(sampler.axes)) == len(sampler.axes)
        assert all(isinstance(axis, str) and axis for axis in sampler.axes)
        assert (sampler.unit, sampler.fault) == ("g", "")
        assert sampler.scale > 0
        assert sampler.dtype in SIZE
        with sampler as entered:
            assert entered is sampler


def test_a_block_holds_n_samples_of_all_axes(bench):
    width = len(bench.sampler.axes) * SIZE[bench.sampler.dtype]
    for block in blocks(bench.run(0.5)):
        assert type(block.t_ns) is int
        assert type(block.step_ns) is int
        assert type(block.values) is bytes
        assert len(block.values) == block.n * width > 0


def test_blocks_follow_each_other_and_keep_the_rate(bench):
    """The first sample of a block comes one step after the last of the block before, and nothing is lost."""
    found = bench.run(4)
    parts = blocks(found)
    for before, after in itertools.pairwise(parts):
        assert after.t_ns == before.t_ns + before.n * before.step_ns
    assert lost(found) == []
    assert sum(block.n for block in parts) == pytest.approx(4 * bench.sampler.rate_hz, abs=40)


@pytest.mark.parametrize("kind", CHIPS)
@pytest.mark.parametrize("range_g", [2, 4, 8, 16])
def test_a_simulated_sensor_stands_upright_and_shakes_at_its_pumps_frequency(kind, range_g):
    bench = Bench(kind, range_g=range_g)
    with bench.sampler as sampler:
        found = bench.run(10)
    x, y, z = values_of(sampler, found)
    assert sampler.unit == "g"
    assert sum(z) / len(z) == pytest.approx(1.0, abs=0.01)
    assert sum(x) / len(x) == pytest.approx(0.0, abs=0.01)
    assert max(y) < range_g

    def strength(signal, hz):
        turns = [2 * math.pi * hz * i / sampler.rate_hz for i in range(len(signal))]
        real = sum(v * math.cos(a) for v, a in zip(signal, turns, strict=True))
        imaginary = sum(v * math.sin(a) for v, a in zip(signal, turns, strict=True))
        return 2 * math.hypot(real, imaginary) / len(signal)

    assert strength(x, 49.5) == pytest.approx(0.30, abs=0.02)
    assert strength(x, 120.0) < 0.02


def test_two_simulated_sensors_give_the_same():
    one, other = Bench("mpu6050 fifo"), Bench("mpu6050 fifo")
    assert one.run(1) == other.run(1)


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.EREMOTEIO, "nack"),
        (errno.ENXIO, "nack"),
        (errno.ETIMEDOUT, "bus_timeout"),
        (errno.EIO, "bus_error"),
        (errno.EAGAIN, "bus_error"),
    ],
)
def test_a_bus_that_fails_for_a_second_is_one_loss_with_its_cause_and_then_over(bench, number, cause):
    bench.run(3)
    bench.bus.stuck = number
    began = bench.clock.ns
    assert bench.run(1) == []
    assert bench.sampler.fault.startswith(cause)
    bench.bus.stuck = 0
    (loss,), after = lost(found := bench.run(1)), blocks(found)
    assert bench.sampler.fault == ""
    assert loss.cause == cause
    assert found.index(loss) == 0
    assert abs(loss.from_ns - began) < 0.1e9
    assert loss.to_ns == after[0].t_ns
    assert loss.n == pytest.approx((loss.to_ns - loss.from_ns) / 1e9 * bench.sampler.rate_hz, abs=1)
    assert loss.n > 0.9 * RATE_HZ


def test_a_bus_that_locks_up_is_closed_and_opened(bench):
    bench.run(1)
    opened = bench.bus.opened
    bench.bus.stuck = errno.ETIMEDOUT
    bench.run(5)
    assert 2 <= bench.bus.opened - opened <= 10
    bench.bus.stuck = 0
    assert [loss.cause for loss in lost(bench.run(3))] == ["bus_timeout"]


def test_one_failed_transfer_costs_no_sample(bench):
    bench.run(3)
    bench.bus.faults.append(Fault(errno.EREMOTEIO))
    assert sum(loss.n for loss in lost(bench.run(1))) == 0


def test_a_chip_that_lost_its_power_is_configured_again(bench):
    bench.run(3)
    bench.chip.power_on()
    found = bench.run(2)
    (loss,) = lost(found)
    assert loss.cause == "chip_reset"
    assert 0 < loss.n < 0.2 * RATE_HZ
    assert sum(block.n for block in blocks(found)) + loss.n == pytest.approx(2 * bench.sampler.rate_hz, abs=35)


def test_a_chip_that_vanishes_and_returns_needs_no_restart(bench):
    bench.run(3)
    chips, bench.bus.chips = bench.bus.chips, {}
    bench.run(10)
    bench.bus.chips = chips
    bench.chip.power_on()
    found = bench.run(4)
    loss, *more = lost(found)
    assert loss.cause == "nack"
    # the mending takes its time on the bus: the sample after it may come too soon for the next
    assert {other.cause for other in more} <= {"not_ready"}
    assert loss.n == pytest.approx(10 * bench.sampler.rate_hz, rel=0.25)
    assert blocks(found)


def test_another_chip_at_its_address_gives_no_samples(bench):
    bench.run(1)
    bench.chip._identity = 0x12
    bench.chip.power_on()
    assert blocks(bench.run(3)) == []
    assert "reads 0x12" in bench.sampler.fault


def test_an_outage_is_told_each_minute_and_at_the_end(bench):
    bench.run(1)
    bench.bus.stuck = errno.ETIMEDOUT
    found = lost(bench.run(150))
    assert [loss.cause for loss in found] == ["bus_timeout"] * 2
    (last,) = bench.sampler.rest()
    for before, after in itertools.pairwise([*found, last]):
        assert before.to_ns == after.from_ns
    assert sum(loss.n for loss in [*found, last]) == pytest.approx(150 * bench.sampler.rate_hz, rel=1e-3)


def test_what_is_left_at_the_end_is_handed_over(bench):
    bench.run(1)
    bench.clock.ns += 20_000_000
    left = bench.sampler.rest()
    assert [type(part) for part in left] in ([Block], [])
    assert bool(left) == (bench.sampler.period_s > 0.002)


def test_a_closed_chip_sleeps(bench):
    bench.sampler.close()
    made = bench.chip.made
    bench.clock.ns += 10**9
    bench.chip.read(0, 1)
    assert bench.chip.made == made


@pytest.mark.parametrize("kind", CHIPS)
def test_a_chip_that_is_not_there_is_missing_in_one_line(kind):
    _, module, _, address = KINDS[kind]
    cfg = HighspeedConfig(driver=kind.split()[0], mode=kind.split()[1], rate_hz=RATE_HZ)
    with pytest.raises(DeviceMissing) as error:
        module.open_at(cfg, sim_port(SimBus(VirtualClock())))
    assert f"no answer from address 0x{address:02x} on simulated bus" in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 69


@pytest.mark.parametrize("kind", CHIPS)
def test_a_wrong_identity_names_what_was_read_what_is_expected_and_the_key(kind):
    with pytest.raises(ConfigError) as error:
        Bench(kind, identity=0x71)
    expected = {"mpu6050": "0x68", "adxl345": "0xe5"}[kind.split()[0]]
    for word in ("reads 0x71", f"expected {expected}", "accept_ids = [113]"):
        assert word in str(error.value)
    bench = Bench(kind, identity=0x71, accept_ids=[113])
    with bench.sampler:
        assert blocks(bench.run(0.5))


@pytest.mark.parametrize("driver", ["mpu6050", "adxl345"])
@pytest.mark.parametrize("mode", ["fifo", "polled"])
def test_a_rate_that_the_chip_does_not_have_is_refused_with_what_it_has(driver, mode):
    cfg = HighspeedConfig(driver=driver, mode=mode, rate_hz=3777.0)
    with pytest.raises(ConfigError, match=r"rate_hz = 3777") as error:
        drivers.open_sampler(cfg)
    has = {"fifo": "the nearest are ", "polled": " samples a second"}[mode]
    assert has in str(error.value)


def test_a_bus_that_is_not_there_is_missing_in_one_line():
    with pytest.raises(DeviceMissing, match=r"/dev/i2c-243: not there"):
        drivers.open_sampler(HighspeedConfig(driver="mpu6050", bus=243))
