"""A bus on which transfers fail now and then: how little that costs, and that the account stays exact."""

import array
import errno
import itertools
import random
import struct
from collections import deque

import pytest

from common.config.schema import HighspeedConfig
from common.drivers import adxl345, adxl345_sim, mpu6050, mpu6050_sim
from common.drivers import mpu6050_chip as regs
from common.drivers.i2c_sim import Fault, SimBus, VirtualClock, sim_port
from common.drivers.samplers import Block, Lost

PARTS = {"mpu6050": (mpu6050, mpu6050_sim.SimChip, 0x68), "adxl345": (adxl345, adxl345_sim.SimChip, 0x53)}
KINDS = [(driver, mode) for driver in PARTS for mode in ("fifo", "polled")]


def numbered(rate_hz, counts_per_g):
    return array.array("h", [v for i in range(100_000) for v in (i & 0x7FFF, i >> 15, 7)])


class Often(deque):
    """Each transfer fails in one of `every` cases; never empty."""

    def __init__(self, every, number=errno.EREMOTEIO):
        super().__init__()
        self._rng, self._every, self._number = random.Random(5), every, number

    def __bool__(self):
        return True

    def popleft(self):
        return Fault(self._number if self._rng.random() < 1 / self._every else 0)


class Rig:
    def __init__(self, driver="mpu6050", mode="fifo", rate_hz=800.0):
        module, chip, address = PARTS[driver]
        self.clock = VirtualClock()
        self.bus = SimBus(self.clock)
        self.chip = self.bus.chips[address] = chip(self.clock, 0.01, numbered)
        cfg = HighspeedConfig(driver=driver, mode=mode, rate_hz=rate_hz)
        self.sampler = module.open_at(cfg, sim_port(self.bus))
        self.deadline, self.parts = self.clock.ns, []

    def take(self, seconds, late_s=0.0):
        for _ in range(round(seconds / self.sampler.period_s)):
            self.deadline += round(self.sampler.period_s * 1e9)
            self.clock.ns = max(self.clock.ns, self.deadline + round(late_s * 1e9))
            self.parts += self.sampler.take(self.deadline)
        return self

    @property
    def lost(self):
        return [part for part in self.parts if isinstance(part, Lost)]

    def numbers(self):
        values = b"".join(part.values for part in self.parts if isinstance(part, Block))
        assert {mark for _, _, mark in struct.iter_unpack("<3h", values)} == {7}
        return [low + (high << 15) for low, high, _ in struct.iter_unpack("<3h", values)]


def made_by(rig):
    """Delivered and lost, which are all that were made up to the last one."""
    found = rig.numbers()
    assert found == sorted(set(found))
    return len(found), sum(loss.n for loss in rig.lost), found[-1] - found[0] + 1


@pytest.mark.parametrize("number", [errno.EREMOTEIO, errno.EIO, errno.ETIMEDOUT])
@pytest.mark.parametrize("driver", PARTS)
def test_one_transfer_of_seven_may_fail(driver, number):
    """Blocks whose reading was broken off are gone, where bytes of them may have been moved; no more than that."""
    rig = Rig(driver).take(3)
    rig.bus.faults = Often(7, number)
    rig.take(40)
    rig.bus.faults = deque()
    rig.take(1)
    delivered, lost, made = made_by(rig)
    assert abs(delivered + lost - made) <= len([loss for loss in rig.lost if loss.n])
    assert lost < (0.02 if driver == "mpu6050" and number == errno.EREMOTEIO else 0.3) * made


@pytest.mark.parametrize("driver", PARTS)
def test_polled_one_transfer_of_seven_may_fail(driver):
    rig = Rig(driver, "polled").take(3)
    rig.bus.faults = Often(7)
    rig.take(40)
    assert sum(loss.n for loss in rig.lost) < 0.02 * 40 * 800
    found = rig.numbers()
    assert found == sorted(set(found))


def test_a_block_that_is_not_acknowledged_is_read_again_and_costs_nothing():
    rig = Rig().take(3)
    rig.bus.faults += [Fault(0), Fault(errno.EREMOTEIO), Fault(0), Fault(errno.EREMOTEIO)]
    rig.take(1)
    assert rig.lost == []
    delivered, _, made = made_by(rig)
    assert delivered == made


def test_a_refused_block_of_which_bytes_have_gone_is_not_read_again():
    rig = Rig().take(3)
    rig.bus.faults += [Fault(0), Fault(errno.EREMOTEIO, partly=True)]
    rig.take(1)
    (loss,) = rig.lost
    delivered, lost, made = made_by(rig)
    assert (loss.cause, delivered + lost) == ("nack", made)
    assert 30 < loss.n < 50  # the FIFO was emptied in the same look


@pytest.mark.parametrize("driver", PARTS)
@pytest.mark.parametrize("at", range(6))
def test_a_clearing_that_is_broken_off_needs_no_new_start(driver, at):
    """The chip's clock goes on: nothing but the FIFO is set anew, whichever write of it failed for good."""
    rig = Rig(driver).take(3)
    rig.bus.faults += [Fault(0), Fault(errno.EIO, partly=True)] + [Fault(0)] * at + [Fault(errno.EREMOTEIO)] * 3
    writes = []
    plain = rig.chip.write
    rig.chip.write = lambda register, data: (writes.append(register), plain(register, data))
    rig.take(2)
    assert not {regs.PWR_MGMT_1, regs.SMPLRT_DIV, 0x2C, 0x2D} & set(writes)
    delivered, lost, made = made_by(rig)
    assert abs(delivered + lost - made) <= len(rig.lost)
    assert 0 < lost < 0.2 * 808


@pytest.mark.parametrize("driver", PARTS)
def test_after_the_fifo_was_emptied_a_failed_look_does_not_empty_it_again(driver):
    rig = Rig(driver).take(3)
    clears = 4 if driver == "mpu6050" else 2
    rig.bus.faults += [Fault(0), Fault(errno.EIO, partly=True)] + [Fault(0)] * clears + [Fault(errno.EREMOTEIO)] * 3
    rig.take(1)
    (loss,) = rig.lost
    assert loss.n * rig.sampler.period_s < 1.5 * rig.sampler.period_s * rig.sampler.period_s * 808


@pytest.mark.parametrize(("driver", "mode"), KINDS)
def test_a_bus_that_fails_slowly_is_not_asked_again_at_once(driver, mode, monkeypatch):
    """A held line costs a second a transfer: three attempts a register would keep the daemon from everything else."""
    rig = Rig(driver, mode).take(3)
    now, asked = [0.0], []
    monkeypatch.setattr("common.drivers.i2c.time.monotonic", lambda: now[0])

    def stuck(*_):
        now[0] += 1.0
        asked.append(1)
        raise OSError(errno.ETIMEDOUT, "Connection timed out")

    rig.bus._fault = stuck
    rig.take(rig.sampler.period_s)
    assert len(asked) <= 2


def test_polled_at_a_slow_rate_nobody_waits_long():
    rig = Rig("adxl345", "polled", 5.0).take(2)
    rig.chip._step_ns = 0.0
    begin = rig.clock.ns
    rig.sampler.take(rig.clock.ns)
    assert rig.clock.ns - begin < 10_000_000


@pytest.mark.parametrize("driver", PARTS)
def test_polled_a_read_after_a_late_one_waits_for_the_next_sample(driver):
    """The late read took the sample that its follower would have had."""
    rig = Rig(driver, "polled")
    for late_s in itertools.islice(itertools.cycle([0.0, 0.0, 0.0009]), 900):
        rig.take(rig.sampler.period_s, late_s)
    assert rig.lost == []
    found = rig.numbers()
    assert found == sorted(set(found))
    assert len(found) == 900
