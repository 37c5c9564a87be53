"""The ADXL345's registers and its simulated chip; the driver on it is in tests/contract and tests/property."""

import array
import struct

import pytest

from common.drivers import adxl345_chip as regs
from common.drivers.adxl345_sim import SimChip
from common.drivers.i2c_sim import VirtualClock
from common.errors import ConfigError


@pytest.mark.parametrize(("rate_hz", "code"), [(3200, 0x0F), (1600, 0x0E), (800, 0x0D), (100, 0x0A), (6.25, 0x06)])
def test_a_rate_has_a_code(rate_hz, code):
    assert regs.setting(rate_hz) == (rate_hz, code)


def test_a_rate_that_is_not_there_names_the_nearest_two():
    with pytest.raises(ConfigError, match="no rate_hz = 1000; the nearest are 800 and 1600"):
        regs.setting(1000)


@pytest.mark.parametrize(("asked", "made"), [(800, 1600), (700, 800), (3000, 3200), (50, 100)])
def test_polled_samples_are_made_faster_than_they_are_asked_for(asked, made):
    assert regs.polled_setting(asked).rate_hz == made


def test_it_measures_in_full_resolution_and_streams():
    rows = dict(regs.writes(regs.setting(800), 16, True))
    assert rows == {0x2C: 0x0D, 0x2D: 0x08, 0x2E: 0, 0x31: 0x0B, 0x38: 0x90}
    assert regs.writes(regs.setting(800), 2, True)[-1] == (0x2D, 0x08)


@pytest.mark.parametrize(
    ("source", "entries", "told"), [(0x80, 31, ""), (0x81, 5, "overrun"), (0x80, 32, "full, 32 samples")]
)
def test_a_fifo_is_doubted_when_samples_are_missing(source, entries, told):
    assert regs.doubt(source, entries) == told


class Chip:
    """One at 800 Hz exactly, streaming, with numbered samples."""

    def __init__(self):
        self.clock = VirtualClock()
        numbers = array.array("h", [v for i in range(5000) for v in (i, -i, 7)])
        self.chip = SimChip(self.clock, 0.0, lambda rate_hz, counts_per_g: numbers)
        for register, value in regs.writes(regs.setting(800), 2, True):
            self.chip.write(register, bytes([value]))

    def wait(self, samples):
        self.clock.ns += round(samples * 1_250_000)

    def entries(self):
        return self.chip.read(regs.FIFO_STATUS, 1)[0]

    def pop(self):
        return struct.unpack("<3h", self.chip.read(regs.DATAX0, 6))


def test_a_read_of_six_bytes_pops_one_sample():
    c = Chip()
    c.wait(10.5)
    assert c.entries() == 10
    assert [c.pop(), c.pop()] == [(0, 0, 7), (1, -1, 7)]
    assert c.entries() == 8


def test_a_full_fifo_drops_its_oldest_sample_and_says_overrun():
    c = Chip()
    c.wait(32.5)
    assert (c.entries(), c.chip.read(regs.INT_SOURCE, 1)[0] & regs.OVERRUN) == (32, 0)
    c.wait(5)
    assert (c.entries(), c.chip.read(regs.INT_SOURCE, 1)[0] & regs.OVERRUN) == (32, 1)
    assert c.pop() == (5, -5, 7)
    assert c.chip.read(regs.INT_SOURCE, 1)[0] & regs.OVERRUN == 0
    assert c.chip.dropped == 5


def test_bypass_empties_it():
    c = Chip()
    c.wait(100)
    for register, value in regs.CLEAR_FIFO:
        c.chip.write(register, bytes([value]))
    assert c.entries() == 0
    c.wait(1)
    assert c.pop() == (100, -100, 7)


def test_an_empty_fifo_repeats_the_last():
    c = Chip()
    c.wait(1.5)
    assert c.pop() == c.pop() == (0, 0, 7)
