"""What every source of meter edges must do (common/drivers/edges.py: EdgeSource), the simulated and the real.

A driver belongs in DRIVERS or it is not shipped. The real ones need their device: gpiod a GPIO chip whose lines 20, 26
and 21 are free (the simulated chips of tests/lab, or a Pi without anything on them); without one they are skipped.
"""

import glob
import itertools
import threading
import time
from importlib.util import find_spec

import pytest

from common import drivers
from common.config.schema import Channel, PulseConfig
from common.drivers.edges import EdgeRead
from common.errors import DeviceMissing

CHANNELS = [
    # the simulated households: 100, 50 and 200 pulses a second
    Channel(name="import", line=20, imp_per_kwh=100_000.0),
    Channel(name="export", line=26, imp_per_kwh=100_000.0),
    Channel(name="generate", line=21, imp_per_kwh=100_000.0),
]
NAMES = {channel.name for channel in CHANNELS}
DRIVERS = ("sim", "gpiod", "rpigpio")
CHIPS = sorted(glob.glob("/dev/gpiochip*"))


def opened(driver):
    cfg = PulseConfig(driver=driver, channel=CHANNELS, chip=CHIPS[0] if CHIPS else "/dev/gpiochip0")
    return drivers.open_edges(cfg)


def absence(driver):
    """Why a driver cannot be tested here; empty where it can."""
    if driver == "sim":
        return ""
    if not CHIPS:
        return f"{driver}: no /dev/gpiochip* here"
    try:
        opened(driver).close()
    except DeviceMissing as e:
        return f"{driver}: {e}"
    return ""


ABSENT = {driver: absence(driver) for driver in DRIVERS}
HERE = [driver for driver in DRIVERS if not ABSENT[driver]]


@pytest.fixture(params=HERE)
def source(request):
    with opened(request.param) as made:
        yield made


def takes(source, seconds):
    """What each take() gave, for a while."""
    end = time.monotonic() + seconds
    out = [source.take()]
    while time.monotonic() < end:
        time.sleep(0.02)
        out.append(source.take())
    return out


def test_every_shipped_driver_is_tested_here():
    assert set(DRIVERS) == set(drivers.EDGES)


@pytest.mark.parametrize("driver", DRIVERS)
def test_it_is_here_to_be_tested(driver):
    if ABSENT[driver]:
        pytest.skip(ABSENT[driver])
    assert driver in HERE


@pytest.mark.parametrize("driver", HERE)
def test_it_says_who_stamps_and_when_it_had_its_lines(driver):
    before = time.monotonic_ns()
    with opened(driver) as source:
        assert source.time_source in ("kernel", "user")
        assert isinstance(source.missed_cause, str)
        assert source.missed_cause.replace("_", "").islower()
        assert before <= source.requested_ns <= time.monotonic_ns()


def test_with_gives_itself(source):
    with source as entered:
        assert entered is source


def test_a_take_has_each_channel_at_most_once_and_only_with_edges(source):
    for reads in takes(source, 0.3):
        assert all(isinstance(read, EdgeRead) for read in reads)
        names = [read.channel for read in reads]
        assert len(names) == len(set(names))
        assert set(names) <= NAMES
        for read in reads:
            assert read.t_ns
            assert all(type(t) is int for t in read.t_ns)
            assert read.missed is None or read.missed >= 0


def test_stamps_rise_over_all_takes_and_lie_between_the_request_and_now(source):
    stamps = {name: [] for name in NAMES}
    for reads in takes(source, 0.3):
        for read in reads:
            stamps[read.channel] += read.t_ns
    now = time.monotonic_ns()
    for channel in stamps.values():
        assert all(a < b for a, b in itertools.pairwise(channel))
        assert all(source.requested_ns - 10**9 <= t <= now for t in channel)


def test_a_take_without_edges_gives_nothing_and_does_not_wait_for_one(source):
    """Two takes at once: whatever the first has given, the second does not give again."""
    first, second = source.take(), source.take()
    seen = {(read.channel, t) for read in first for t in read.t_ns}
    assert not seen & {(read.channel, t) for read in second for t in read.t_ns}
    done = threading.Event()

    def many():
        for _ in range(1000):
            source.take()
        done.set()

    threading.Thread(target=many, daemon=True).start()
    assert done.wait(30)


def test_it_can_be_opened_again_when_it_is_closed(source, request):
    source.close()
    with opened(request.node.callspec.params["source"]) as again:
        assert again.requested_ns >= source.requested_ns


def test_the_simulated_edges_are_exactly_the_households(request):
    """No edge is lost or doubled between takes, however late they come: the whole run can be computed."""
    with opened("sim") as source:
        reads = [read for part in takes(source, 0.3) for read in part]
        last = time.monotonic_ns()
        reads += source.take()
    for channel, period_ns in zip(CHANNELS, (10_000_000, 20_000_000, 5_000_000), strict=True):
        stamps = [t for read in reads if read.channel == channel.name for t in read.t_ns]
        assert stamps == [source.requested_ns + i * period_ns for i in range(1, len(stamps) + 1)]
        assert len(stamps) >= (last - source.requested_ns) // period_ns
        assert {read.missed for read in reads} == {0}


@pytest.mark.skipif(find_spec("gpiod") is None, reason="gpiod: the library is not here")
def test_a_chip_that_is_not_there_is_one_line():
    cfg = PulseConfig(driver="gpiod", channel=CHANNELS, chip="/dev/gpiochip-not-there")
    with pytest.raises(DeviceMissing, match="gpiochip-not-there") as error:
        drivers.open_edges(cfg)
    assert "\n" not in str(error.value)
    assert "import" in str(error.value)
