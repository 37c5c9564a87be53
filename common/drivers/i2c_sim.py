"""A simulated I2C bus that answers smbus2's calls, with chips on it and faults to inject."""

import ctypes
import errno
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from smbus2 import I2cFunc, i2c_msg

from common.drivers.i2c import Port

_READ = 1  # I2C_M_RD


class SimDevice(Protocol):
    """A chip: registers from `register` on, as one message writes or reads them."""

    def write(self, register: int, data: bytes) -> None: ...
    def read(self, register: int, n: int) -> bytes: ...


class Fault(NamedTuple):
    """One transfer that fails with this errno; 0: this one works. partly: its first read moves half of its bytes."""

    number: int
    partly: bool = False


class VirtualClock:
    """Time that passes only where it is told to, and with each byte on the bus: hours of a chip's life in a moment."""

    def __init__(self, bus_hz: int = 400_000) -> None:
        self.ns = 1_000_000_000_000
        self._byte_ns = 9 * 10**9 // bus_hz

    def __call__(self) -> int:
        return self.ns

    def spend(self, n: int) -> None:
        """n bytes on the wire."""
        self.ns += n * self._byte_ns

    def wait(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


class SimBus:
    """Chips by address, in the host's time or a virtual one.

    faults: taken one a transfer. stuck: every transfer fails so until it is 0 again. longest: bytes that the adapter
    takes in one message.
    """

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self.now_ns: Callable[[], int] = clock or time.monotonic_ns
        self._spend = clock.spend if clock else lambda _: None
        self.wait: Callable[[float], None] = clock.wait if clock else time.sleep
        self.longest = 8192
        self.funcs = I2cFunc.I2C | I2cFunc.SMBUS_READ_BYTE_DATA | I2cFunc.SMBUS_WRITE_BYTE_DATA
        self.chips: dict[int, SimDevice] = {}
        self.faults: deque[Fault] = deque()
        self.stuck = 0
        self.opened = 1
        self._pointer: dict[int, int] = {}

    def i2c_rdwr(self, *messages: i2c_msg) -> None:
        if any(message.len > self.longest for message in messages):
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        fault = self._fault()
        for message in messages:
            self._spend(1 + message.len)
            chip = self._chip(message.addr)
            if message.flags & _READ:
                if fault is not None and fault.partly:
                    chip.read(self._pointer[message.addr], message.len // 2)
                    break
                if fault is None:
                    data = chip.read(self._pointer[message.addr], message.len)
                    ctypes.memmove(message.buf, data, len(data))
            elif fault is None or fault.partly:
                data = bytes(message)
                self._pointer[message.addr] = data[0]
                if len(data) > 1:
                    chip.write(data[0], data[1:])
        if fault is not None:
            raise OSError(fault.number, _WORDS.get(fault.number, "failed"))

    def read_byte_data(self, address: int, register: int) -> int:
        self._fail()
        return self._chip(address).read(register, 1)[0]

    def write_byte_data(self, address: int, register: int, value: int) -> None:
        self._fail()
        self._chip(address).write(register, bytes((value,)))

    def read_i2c_block_data(self, address: int, register: int, length: int) -> list[int]:
        self._fail()
        if length > 32:
            raise OSError(errno.EINVAL, "SMBus blocks end at 32 bytes")
        return list(self._chip(address).read(register, length))

    def close(self) -> None:
        pass

    def _fault(self) -> Fault | None:
        if self.stuck:
            return Fault(self.stuck)
        fault = self.faults.popleft() if self.faults else None
        return fault if fault is not None and fault.number else None

    def _fail(self) -> None:
        self._spend(4)
        fault = self._fault()
        if fault is not None:
            raise OSError(fault.number, _WORDS.get(fault.number, "failed"))

    def _chip(self, address: int) -> SimDevice:
        chip = self.chips.get(address)
        if chip is None:
            raise OSError(errno.EREMOTEIO, _WORDS[errno.EREMOTEIO])
        return chip


_WORDS = {
    errno.EREMOTEIO: "Remote I/O error",
    errno.ETIMEDOUT: "Connection timed out",
    errno.EIO: "Input/output error",
    errno.EAGAIN: "Resource temporarily unavailable",
}


def sim_port(bus: SimBus) -> Port:
    """The bus as a driver opens it: always the same one, chips and all."""

    def opened() -> SimBus:
        bus.opened += 1
        return bus

    return Port("simulated bus", opened, 400_000, bus.now_ns, bus.wait)
