"""What the vibration daemon writes to its log: changes that last, not each of a bus that flaps."""

import io

import pytest

from common import drivers
from common.config.schema import HighspeedConfig
from common.log import Log
from daemons.highspeed import Sampling

MINUTE = 60 * 10**9
START = 1000 * 10**9


class Sampler:
    axes, unit, scale, dtype, rate_hz, period_s, fault = ("x",), "g", 1.0, "<i2", 800.0, 0.04, ""


class Rt:
    """What a Sampling asks of a Runtime."""

    def __init__(self):
        self.out = io.StringIO()
        self.log = Log("highspeed", self.out)
        self.details, self.stopping = {}, False

    def on(self, op, handler):
        pass

    def say(self, status):
        pass

    def mark_down_time(self, stream, unit, untold_s):
        pass


@pytest.fixture
def sampling(monkeypatch):
    monkeypatch.setattr(drivers, "open_sampler", lambda cfg: Sampler())
    monkeypatch.setattr("daemons.highspeed.time.monotonic_ns", lambda: START)
    return Sampling(Rt(), HighspeedConfig())


def tell(sampling, fault, seconds):
    sampling._framer.sampler.fault = fault
    sampling._tell(START + round(seconds * 1e9))
    return sampling._rt.out.getvalue().splitlines()


def test_an_outage_is_a_line_at_its_begin_and_one_at_its_end(sampling):
    assert tell(sampling, "nack: gone", 1) == ['highspeed: no samples reason="nack: gone"  [warning]']
    assert len(tell(sampling, "nack: gone", 2)) == 1
    assert tell(sampling, "", 3)[1:] == ["highspeed: samples again"]


def test_a_bus_that_flaps_is_a_pair_of_lines_a_minute(sampling):
    for tenth in range(10, 6000):
        lines = tell(sampling, "nack: gone" if tenth % 3 else "", tenth / 10)
    assert 18 <= len(lines) <= 21


def test_an_outage_that_begins_in_the_quiet_minute_and_lasts_is_told_at_its_end(sampling):
    tell(sampling, "nack: gone", 1)
    tell(sampling, "", 2)
    assert len(tell(sampling, "bus_timeout: stuck", 30)) == 2
    assert len(tell(sampling, "bus_timeout: stuck", 60.9)) == 2
    assert "bus_timeout" in tell(sampling, "bus_timeout: stuck", 61.1)[2]
