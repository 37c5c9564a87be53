"""A device on a bus: what is asked of smbus2, what an adapter refuses, and whether the bus is fast enough."""

import errno
import io

import pytest
from smbus2 import I2cFunc, i2c_msg

from common.drivers.i2c import Device, Port, linux_port
from common.drivers.i2c_sim import Fault, SimBus, sim_port
from common.errors import ConfigError, DeviceMissing
from common.log import Log


class Memory:
    """A chip of plain registers, with a FIFO of rising numbers behind 0x74 that is popped by reading it."""

    def __init__(self):
        self.r = bytearray(range(128))
        self.popped = 0
        self.reads = []

    def write(self, register, data):
        self.r[register : register + len(data)] = data

    def read(self, register, n):
        self.reads.append((register, n))
        if register == 0x74:
            self.popped += n
            return bytes(i % 251 for i in range(self.popped - n, self.popped))
        return bytes(self.r[register : register + n])


@pytest.fixture
def bus():
    bus = SimBus()
    bus.chips[0x68] = Memory()
    return bus


@pytest.fixture
def device(bus):
    return Device(sim_port(bus), 0x68)


def test_registers_are_read_and_written(device, bus):
    assert device.get(0x75) == 0x75
    device.set(0x6B, 3)
    assert device.read((0x6B, 1), (0x10, 4)) == [b"\3", b"\x10\x11\x12\x13"]
    assert device.read((0x6B, 1), (0x10, 4)) == [b"\3", b"\x10\x11\x12\x13"]
    assert bus.chips[0x68].reads[-2:] == [(0x6B, 1), (0x10, 4)]


def test_a_fifo_is_read_beyond_the_32_bytes_of_an_smbus_block(device, bus):
    with pytest.raises(OSError, match="32 bytes"):
        bus.read_i2c_block_data(0x68, 0x74, 33)
    assert device.drain(0x74, 1020, 6) == bytes(i % 251 for i in range(1020))
    assert bus.chips[0x68].reads == [(0x74, 1020)]


def test_an_adapter_that_takes_less_gets_whole_items_and_nothing_is_popped_twice(device, bus):
    bus.longest = 64
    assert device.drain(0x74, 1020, 6) == bytes(i % 251 for i in range(1020))
    reads = bus.chips[0x68].reads
    assert sum(n for _, n in reads) == 1020
    assert all(n % 6 == 0 and n <= 64 for _, n in reads)
    before = len(reads)
    device.drain(0x74, 120, 6)
    assert len(reads) - before <= 4  # it has learned


def test_an_adapter_that_takes_not_even_one_item_is_an_error(device, bus):
    bus.longest = 4
    with pytest.raises(OSError, match="not supported"):
        device.drain(0x74, 60, 6)
    assert bus.chips[0x68].popped == 0


def test_items_are_popped_one_by_one_in_as_few_calls_as_there_may_be(device, bus, monkeypatch):
    calls = []
    plain = bus.i2c_rdwr
    monkeypatch.setattr(bus, "i2c_rdwr", lambda *m: (calls.append(len(m)), plain(*m)))
    assert device.pop(0x74, 32, 6) == bytes(range(192))
    assert calls == [42, 22]  # I2C_RDWR_IOCTL_MAX_MSGS is 42
    assert set(bus.chips[0x68].reads) == {(0x74, 6)}


def test_the_messages_are_smbus2s(device, bus, monkeypatch):
    seen = []
    monkeypatch.setattr(bus, "i2c_rdwr", lambda *messages: seen.extend(messages))
    device.read((0x3A, 7))
    assert [type(m) for m in seen] == [i2c_msg, i2c_msg]
    assert [(m.addr, m.flags, m.len) for m in seen] == [(0x68, 0, 1), (0x68, 1, 7)]


@pytest.mark.parametrize(("failures", "works"), [(1, True), (2, True), (3, False)])
def test_a_register_is_tried_three_times(device, bus, failures, works):
    def outcome(transfer):
        bus.faults += [Fault(errno.EREMOTEIO)] * failures
        try:
            return transfer()
        except OSError:
            return "failed"
        finally:
            bus.faults.clear()

    assert outcome(lambda: device.get(0x75)) == (0x75 if works else "failed")
    assert outcome(lambda: device.set(0x6B, 3)) == (None if works else "failed")
    assert device.get(0x6B) == (3 if works else 0x6B)


def test_an_adapter_without_i2c_messages_is_refused(bus):
    bus.funcs = I2cFunc.SMBUS_READ_BYTE_DATA
    with pytest.raises(DeviceMissing, match="simulated bus: this adapter does SMBus calls only"):
        Device(sim_port(bus), 0x68)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "not there; on a Pi"),
        (errno.EACCES, "must be in the group i2c"),
        (errno.ENODEV, "No such device"),
    ],
)
def test_a_bus_that_cannot_be_opened_is_one_line(number, words):
    def refuse():
        raise OSError(number, "No such device")

    with pytest.raises(DeviceMissing, match=f"/dev/i2c-1: .*{words}") as error:
        Device(Port("/dev/i2c-1", refuse, None), 0x68)
    assert "\n" not in str(error.value)


def test_the_clock_is_read_from_the_device_tree(tmp_path):
    node = tmp_path / "bus/i2c/devices/i2c-7/of_node"
    assert linux_port(7, tmp_path).clock_hz is None
    node.mkdir(parents=True)
    (node / "clock-frequency").write_bytes((400_000).to_bytes(4, "big"))
    found = linux_port(7, tmp_path)
    assert (found.name, found.clock_hz) == ("/dev/i2c-7", 400_000)


def speed(bus, clock_hz, needs, seconds=0.0, monkeypatch=None):
    """What is logged about a bus of this clock; where none is known a transfer takes `seconds`."""
    device = Device(Port("/dev/i2c-1", lambda: bus, clock_hz), 0x68)
    if monkeypatch is not None:
        now = [0.0]
        plain = bus.i2c_rdwr
        monkeypatch.setattr("common.drivers.i2c.time.perf_counter", lambda: now[0])
        monkeypatch.setattr(bus, "i2c_rdwr", lambda *m: (now.__setitem__(0, now[0] + seconds), plain(*m)))
    told = io.StringIO()
    device.check_speed(0x3B, needs, Log("highspeed", told))
    return told.getvalue()


def test_a_fast_bus_is_no_news(bus):
    assert speed(bus, 400_000, 47_000) == ""


def test_a_slow_bus_is_one_line_that_says_what_to_do(bus):
    told = speed(bus, 100_000, 47_000)
    assert told.count("\n") == 1
    assert "carries 100 kbit/s, 400 kHz is assumed" in told
    assert "dtparam=i2c_arm_baudrate=400000" in told


def test_a_bus_that_is_mostly_taken_is_warned_of(bus):
    assert "74% of /dev/i2c-1" in speed(bus, 100_000, 74_160)


def test_a_bus_that_cannot_do_it_is_refused(bus):
    with pytest.raises(ConfigError, match=r"/dev/i2c-1 runs at 100 kHz, sampling needs 107 kbit/s: lower rate_hz"):
        speed(bus, 100_000, 107_000)


@pytest.mark.parametrize(("seconds", "warned"), [(0.00045, False), (0.0016, True)])
def test_a_clock_that_nobody_tells_is_measured(bus, monkeypatch, seconds, warned):
    """14 registers are 17 bytes: 0.38 ms at 400 kHz and 1.53 ms at 100 kHz, and the calls on top."""
    assert bool(speed(bus, None, 40_000, seconds, monkeypatch)) == warned


def test_a_chip_that_does_not_answer_is_told_elsewhere(bus):
    bus.chips = {}
    assert speed(bus, None, 47_000) == ""
