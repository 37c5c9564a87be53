"""Whatever happens to a chip and its bus: delivered + lost = made, no sample twice, none out of order.

The simulated chips number their samples. Where the FIFO held all, the count is exact; else a Lost is reckoned from the
fitted rate: right to two samples, and to 0.1 % of a long outage.
"""

import array
import errno
import struct
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.config.schema import HighspeedConfig
from common.drivers import adxl345, adxl345_sim, mpu6050, mpu6050_sim
from common.drivers.i2c_sim import Fault, SimBus, VirtualClock, sim_port
from common.drivers.samplers import Block, Lost

MARK = 77
PARTS = {"mpu6050": (mpu6050, mpu6050_sim.SimChip, 0x68), "adxl345": (adxl345, adxl345_sim.SimChip, 0x53)}


@cache
def _numbers():
    return array.array("h", [v for i in range(100_000) for v in (i & 0x7FFF, i >> 15, MARK)])


def numbered(rate_hz, counts_per_g):
    return array.array("h", _numbers())


ERRNOS = st.sampled_from([errno.EREMOTEIO, errno.ETIMEDOUT, errno.EIO, errno.EAGAIN])
EVENTS = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 60)),
    st.tuples(st.just("stall"), st.floats(0.001, 1.5)),
    st.tuples(st.just("fault"), st.lists(st.builds(Fault, st.one_of(st.just(0), ERRNOS), st.booleans()), max_size=8)),
    st.tuples(st.just("stuck"), st.tuples(ERRNOS, st.floats(0.01, 8.0))),
    st.tuples(st.just("longest"), st.sampled_from([6, 32, 100, 8192])),
)


class Run:
    def __init__(self, driver, off):
        module, chip, address = PARTS[driver]
        self.clock = VirtualClock()
        self.bus = SimBus(self.clock)
        self.chip = self.bus.chips[address] = chip(self.clock, off, numbered)
        self.sampler = module.open_at(HighspeedConfig(driver=driver, rate_hz=800.0), sim_port(self.bus))
        self.parts = []

    def take(self, times=1):
        for _ in range(times):
            self.clock.ns += round(self.sampler.period_s * 1e9)
            self.parts += self.sampler.take(self.clock.ns)

    def do(self, event, value):
        if event == "run":
            self.take(value)
        elif event == "stall":
            self.clock.ns += round(value * 1e9)
        elif event == "fault":
            self.bus.faults += value
        elif event == "stuck":
            self.bus.stuck, seconds = value
            self.take(max(1, round(seconds / self.sampler.period_s)))
            self.bus.stuck = 0
        else:
            self.bus.longest = value


def numbers_in(parts):
    found = []
    for part in parts:
        if isinstance(part, Block):
            for low, high, mark in struct.iter_unpack("<3h", part.values):
                assert mark == MARK, "not a sample of the chip"
                found.append(low + (high << 15))
    return found


def check(parts, true_hz):
    """The account over the run, and over each loss: the numbers beside it tell how many are really missing."""
    found = numbers_in(parts)
    assert found == sorted(set(found))
    expected, claimed, tolerance, asleep = None, 0, 0.0, False
    end_ns = 0
    for part in parts:
        if isinstance(part, Lost):
            assert part.n is not None
            assert part.n >= 0
            claimed += part.n
            # configured anew, perhaps in two attempts: it made fewer meanwhile, and what it should have made is told
            asleep |= "settings" in part.detail
            tolerance += 2 + 1e-3 * part.n if part.n else 0
            if part.n:
                assert part.from_ns <= part.to_ns
                assert part.from_ns >= end_ns
                end_ns = part.to_ns
                assert abs(part.n - (part.to_ns - part.from_ns) / 1e9 * true_hz) <= 2 + 1e-3 * part.n
            continue
        assert part.t_ns >= end_ns
        end_ns = part.t_ns + part.n * part.step_ns
        first, *_, last = numbers_in([part]) if part.n > 1 else numbers_in([part]) * 2
        if expected is not None:
            missing = first - expected
            if claimed == 0:
                assert missing == 0, "samples are missing and nobody says so"
            assert missing <= claimed + tolerance
            assert missing >= claimed - tolerance or asleep
        expected, claimed, tolerance, asleep = last + 1, 0, 0.0, False


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(PARTS)), st.floats(-0.03, 0.03), st.lists(EVENTS, max_size=12))
def test_every_sample_is_delivered_or_told_as_lost(driver, off, events):
    run = Run(driver, off)
    run.take(round(4 / run.sampler.period_s))  # the rate is known: before that, 2 % of an outage may be wrong
    for event, value in events:
        run.do(event, value)
    run.bus.faults.clear()
    run.take(round(3 / run.sampler.period_s))
    assert run.sampler.fault == ""
    check(run.parts, 800 * (1 + off))
    assert isinstance(run.parts[-1], Block)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(PARTS)), st.floats(-0.03, 0.03), st.floats(0.001, 0.4), st.floats(0.001, 0.4))
def test_power_may_drop_at_any_time(driver, off, before_s, after_s):
    """What it would have made meanwhile is told, by the clock; what comes is whole, and nothing twice."""
    run = Run(driver, off)
    run.take(80)
    run.clock.ns += round(before_s * 1e9)
    began = run.clock.ns
    run.chip.power_on()
    run.clock.ns += round(after_s * 1e9)
    run.take(200)
    found = numbers_in(run.parts)
    assert found == sorted(set(found))
    losses = [part for part in run.parts if isinstance(part, Lost)]
    assert {loss.cause for loss in losses} == {"chip_reset"}
    spans = sum((loss.to_ns - loss.from_ns) for loss in losses if loss.n)
    assert abs(sum(loss.n for loss in losses) - spans / 1e9 * run.sampler.rate_hz) <= 2 * len(losses) + 2
    assert any(loss.from_ns <= began + 50_000_000 and loss.to_ns >= began for loss in losses)
