"""The MPU6050's registers, its simulated chip, and what the seed got wrong about it."""

import array
import errno
import itertools
import struct

import pytest

from common.config.schema import HighspeedConfig
from common.drivers import mpu6050
from common.drivers import mpu6050_chip as regs
from common.drivers.i2c_sim import Fault, SimBus, VirtualClock, sim_port
from common.drivers.mpu6050_sim import SimChip
from common.drivers.samplers import Block, Lost
from common.errors import ConfigError


@pytest.mark.parametrize(
    ("rate_hz", "div", "dlpf"),
    [
        (800, 9, 0),  # 8 kHz / 10, 260 Hz
        (1000, 7, 0),
        (500, 1, 1),  # 1 kHz / 2, 184 Hz
        (200, 4, 2),  # 94 Hz
        (100, 9, 3),
        (50, 19, 4),
        (25, 39, 5),
        (10, 99, 6),
        (333.3, 2, 2),
    ],
)
def test_a_rate_has_a_divider_and_the_widest_low_pass_under_half_of_it(rate_hz, div, dlpf):
    found = regs.setting(rate_hz)
    assert (found.smplrt_div, found.dlpf_cfg) == (div, dlpf)
    base = 8000 if dlpf == 0 else 1000
    assert found.rate_hz == pytest.approx(base / (1 + div)) == pytest.approx(rate_hz, rel=1e-3)


@pytest.mark.parametrize(("rate_hz", "low", "high"), [(810, 800, 888.889), (2000, 888.889, 1000), (400, 333.333, 500)])
def test_a_rate_that_is_not_there_names_the_nearest_two(rate_hz, low, high):
    with pytest.raises(ConfigError, match=f"no rate_hz = {rate_hz}; the nearest are {low} and {high}"):
        regs.setting(rate_hz)


def test_no_rate_is_above_the_accelerometers_own_1_khz():
    """Above it each value would come twice."""
    with pytest.raises(ConfigError):
        regs.setting(1142.857)
    with pytest.raises(ConfigError, match="makes 1000 samples a second"):
        regs.polled_setting(1001)


def test_polled_samples_are_made_faster_than_they_are_asked_for():
    assert regs.polled_setting(800) == (1000.0, 0, 1)
    assert regs.polled_setting(37.5).dlpf_cfg == 5


@pytest.mark.parametrize(("range_g", "bits", "per_g"), [(2, 0, 16384), (4, 8, 8192), (8, 16, 4096), (16, 24, 2048)])
def test_ranges(range_g, bits, per_g):
    assert dict(regs.writes(regs.setting(800), range_g, True))[regs.ACCEL_CONFIG] == bits
    assert 1 / regs.scale(range_g) == per_g


def test_only_the_accelerometer_fills_the_fifo():
    assert regs.writes(regs.setting(800), 2, True)[-1] == (0x23, 0x08)
    assert (0x23, 0x08) not in regs.writes(regs.setting(800), 2, False)


def test_big_endian_comes_out_little_endian():
    assert regs.samples(struct.pack(">6h", 1, -2, 300, -32768, 32767, 0)) == struct.pack(
        "<6h", 1, -2, 300, -32768, 32767, 0
    )


@pytest.mark.parametrize(
    ("status", "count", "told"),
    [
        (0x01, 0, ""),
        (0x00, 1020, ""),
        (0x10, 60, "overflow"),
        (0x00, 1024, "full, 1024 bytes"),
        (0x01, 61, "61 bytes, not of whole samples"),
    ],
)
def test_a_fifo_is_doubted_when_its_bytes_need_not_be_whole_samples(status, count, told):
    assert regs.doubt(status, count) == told


# ---- the simulated chip, register by register


class Chip:
    """One at 800 Hz exactly, its FIFO on, numbered samples."""

    def __init__(self):
        self.clock = VirtualClock()
        self.chip = SimChip(self.clock, 0.0, numbered)
        for register, value in regs.writes(regs.setting(800), 2, True):
            self.chip.write(register, bytes([value]))

    def wait(self, samples):
        self.clock.ns += round(samples * 1_250_000)

    def count(self):
        return int.from_bytes(self.chip.read(regs.FIFO_COUNT_H, 2), "big")


def numbered(rate_hz, counts_per_g):
    return array.array("h", [v for i in range(20_000) for v in (i & 0x7FFF, i >> 15, 7)])


def test_at_power_on_it_sleeps():
    chip = SimChip(VirtualClock())
    assert chip.read(regs.PWR_MGMT_1, 1) == b"\x40"
    assert chip.read(regs.WHO_AM_I, 1) == b"\x68"
    chip.write(regs.WHO_AM_I, b"\0")
    assert chip.read(regs.WHO_AM_I, 1) == b"\x68"


def test_its_fifo_fills_by_six_bytes_a_sample_and_empties_by_reading():
    c = Chip()
    c.wait(10.5)
    assert c.count() == 60
    assert c.chip.read(regs.FIFO_R_W, 12) == struct.pack(">6h", 0, 0, 7, 1, 0, 7)
    assert c.count() == 48
    c.wait(1)
    assert c.count() == 54


def test_its_fifo_overflows_at_1024_bytes_and_loses_its_alignment():
    c = Chip()
    c.wait(170.5)
    assert c.count() == 1020
    assert not c.chip.read(regs.INT_STATUS, 1)[0] & regs.FIFO_OVERFLOW
    c.wait(30)
    assert c.count() == 1024
    assert c.chip.read(regs.INT_STATUS, 1)[0] & regs.FIFO_OVERFLOW
    assert not c.chip.read(regs.INT_STATUS, 1)[0] & regs.FIFO_OVERFLOW  # cleared by reading
    assert c.chip.read(regs.FIFO_R_W, 8) == struct.pack(">hhhh", 0, 7, 30, 0)  # 176 bytes are gone: not whole samples
    assert c.chip.dropped_bytes == 200 * 6 - 1024


def test_a_reset_empties_its_fifo():
    c = Chip()
    c.wait(200)
    for register, value in regs.RESET_FIFO:
        c.chip.write(register, bytes([value]))
    assert c.count() == 0
    assert c.chip.read(regs.USER_CTRL, 1) == b"\x40"  # the reset bit went by itself
    c.wait(2)
    assert c.chip.read(regs.FIFO_R_W, 6) == struct.pack(">3h", 200, 0, 7)


def test_an_empty_fifo_gives_junk():
    c = Chip()
    c.wait(1.5)
    assert c.chip.read(regs.FIFO_R_W, 10) == struct.pack(">3h", 0, 0, 7) + b"\7" * 4


def test_data_ready_is_cleared_by_reading():
    c = Chip()
    c.wait(1.5)
    assert c.chip.read(regs.INT_STATUS, 7) == b"\1" + struct.pack(">3h", 0, 0, 7)
    assert c.chip.read(regs.INT_STATUS, 7)[0] == 0
    c.wait(1)
    assert c.chip.read(regs.INT_STATUS, 7) == b"\1" + struct.pack(">3h", 1, 0, 7)


def test_its_clock_is_off_by_one_per_cent():
    clock = VirtualClock()
    chip = SimChip(clock)
    chip.write(regs.PWR_MGMT_1, b"\1")
    chip.write(regs.SMPLRT_DIV, b"\x09")
    assert chip.rate_hz == pytest.approx(808)


# ---- the driver on it


def samples(parts):
    """The numbers of all samples; every sample is whole."""
    out = []
    for part in parts:
        if isinstance(part, Block):
            for low, high, mark in struct.iter_unpack("<3h", part.values):
                assert mark == 7
                out.append(low + (high << 15))
    return out


class Rig:
    def __init__(self, **cfg):
        self.clock = VirtualClock()
        self.bus = SimBus(self.clock)
        self.chip = self.bus.chips[0x68] = SimChip(self.clock, 0.01, numbered)
        self.sampler = mpu6050.open_at(HighspeedConfig(driver="mpu6050", **cfg), sim_port(self.bus))
        self.parts = []

    def take(self, times=1, after_s=0.04):
        for _ in range(times):
            self.clock.ns += round(after_s * 1e9)
            self.parts += self.sampler.take(self.clock.ns)
        return self

    @property
    def lost(self):
        return [part for part in self.parts if isinstance(part, Lost)]

    def check(self, tolerance=1):
        """No sample twice, none out of order, and delivered + lost is what the chip has made, up to the last block."""
        found = samples(self.parts)
        assert found == sorted(set(found))
        account = len(found) + sum(part.n for part in self.lost)
        assert abs(account - (found[-1] - found[0] + 1)) <= tolerance * len(self.lost)
        return found


def test_undisturbed_every_sample_is_there_once():
    found = Rig().take(500).check()
    assert found == list(range(found[0], found[0] + len(found)))
    assert len(found) > 16_000


def test_a_stall_within_the_fifo_loses_nothing():
    rig = Rig().take(50).take(after_s=0.15).take(10)
    assert rig.lost == []
    rig.check()


def test_a_stall_beyond_the_fifo_is_an_overflow_with_its_range_and_count():
    rig = Rig().take(100).take(after_s=0.5).take(20)
    (loss,) = rig.lost
    assert loss.cause == "fifo_overflow"
    assert loss.n == pytest.approx(0.5 * 808, abs=6)
    found = rig.check(tolerance=0)
    assert sum(b - a != 1 for a, b in itertools.pairwise(found)) == 1


def test_an_overflow_while_the_fifo_is_read_is_seen():
    """170 samples wait, whole; before they are read two more come: what is read then is shifted."""
    rig = Rig().take(100)
    plain, done = rig.bus.i2c_rdwr, []

    def slow(*messages):
        if messages[1].len > 1000 and not done:
            done.append(True)
            rig.clock.ns += 4_000_000
        plain(*messages)

    rig.bus.i2c_rdwr = slow
    rig.take(after_s=165 / 808).take(20)
    assert done
    assert [loss.cause for loss in rig.lost] == ["fifo_overflow"]
    rig.check(tolerance=0)


@pytest.mark.parametrize("number", [errno.EREMOTEIO, errno.ETIMEDOUT, errno.EIO])
def test_after_a_read_that_failed_midway_nothing_of_unclear_alignment_is_kept(number):
    rig = Rig().take(100)
    rig.bus.faults += [Fault(0), Fault(number, partly=True)]  # the status is read; of the block a half
    rig.take(20)
    (loss,) = rig.lost
    assert 30 < loss.n < 110
    rig.check(tolerance=0)


def test_a_failed_look_that_took_nothing_costs_nothing():
    rig = Rig().take(100)
    rig.bus.faults.append(Fault(errno.EREMOTEIO))
    rig.take(20)
    (loss,) = rig.lost
    assert (loss.n, loss.cause) == (0, "nack")
    assert "the FIFO held the samples" in loss.detail
    rig.check(tolerance=0)


def test_a_count_that_is_misread_is_never_believed():
    """0x03F6 = 1014 bytes where there are 192: reading them would give junk for samples."""
    rig = Rig().take(100)
    plain, bad = rig.chip.read, [2]

    def read(register, n):
        if register == regs.FIFO_COUNT_H and bad[0]:
            bad[0] -= 1
            return b"\x03\xf6"
        return plain(register, n)

    rig.chip.read = read
    rig.take(20)
    rig.check()
    assert len(rig.lost) == 1


def test_a_count_amid_the_writing_of_a_sample_is_looked_at_again():
    rig = Rig().take(100)
    plain, odd = rig.chip.read, [1]

    def read(register, n):
        found = plain(register, n)
        if register == regs.FIFO_COUNT_H and odd[0]:
            odd[0] -= 1
            return (int.from_bytes(found, "big") + 2).to_bytes(2, "big")
        return found

    rig.chip.read = read
    rig.take(20)
    assert rig.lost == []
    rig.check()


def test_a_chip_that_stands_still_is_configured_again_and_told():
    rig = Rig().take(100)
    rig.chip._step_ns = 0.0
    rig.take(20)
    assert samples(rig.parts[-1:])
    rig.take(40)
    (loss,) = rig.lost
    assert (loss.cause, loss.detail) == ("chip_reset", "no samples")
    assert loss.n == pytest.approx(808, abs=80)
    assert samples(rig.parts)[-1] > samples(rig.parts)[-1000]


def test_the_rate_is_fitted_and_the_nominal_one_is_not():
    rig = Rig().take(200)
    assert rig.sampler.rate_hz == pytest.approx(808, rel=1e-4)


def test_a_failed_read_is_a_gap_and_never_another_unit():
    """The seed fell back to a library call that answers in m/s²."""
    rig = Rig(mode="polled")
    rig.take(100, 0.00125)
    scale, unit = rig.sampler.scale, rig.sampler.unit
    rig.bus.faults += [Fault(errno.EREMOTEIO)] * 3
    rig.take(200, 0.00125)
    assert (rig.sampler.scale, rig.sampler.unit) == (scale, unit) == (2 / 32768, "g")
    assert [loss.cause for loss in rig.lost if loss.cause != "not_ready"] == ["nack"]
    samples(rig.parts)


def test_polled_a_sample_is_never_read_twice():
    rig = Rig(mode="polled").take(3, 0.00125)
    rig.chip._step_ns *= 1.4  # slower than it is asked
    for i in range(3000):
        rig.take(1, 0.0006 if i % 7 == 0 else 0.00125)
    found = samples(rig.parts)
    assert found == sorted(set(found))
    assert {loss.cause for loss in rig.lost} == {"not_ready"}


def test_polled_a_deadline_without_a_sample_is_one_lost():
    rig = Rig(mode="polled")
    rig.take(100, 0.00125)
    rig.bus.stuck = errno.EREMOTEIO
    rig.take(40, 0.00125)
    rig.bus.stuck = 0
    rig.take(400, 0.00125)
    (loss,) = [loss for loss in rig.lost if loss.cause == "nack"]
    assert loss.n == round((loss.to_ns - loss.from_ns) / 1_250_000)
    assert loss.n >= 40
