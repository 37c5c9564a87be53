"""A chip on an I2C bus, by smbus2: its registers, what a failed transfer means, and whether the bus is fast enough."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from smbus2 import I2cFunc, SMBus, i2c_msg

from common.errors import ConfigError, DeviceMissing
from common.log import Log

FAST_HZ = 400_000
NO_ACK = (errno.EREMOTEIO, errno.ENXIO)  # which of them depends on the adapter's driver
_ATTEMPTS, _PATIENCE_S = 3, 0.1
_MAX_BLOCK = 4096  # i2c-dev takes 8192 bytes a message; an adapter may take fewer, and says so
_MAX_MESSAGES = 42  # I2C_RDWR_IOCTL_MAX_MSGS


T = TypeVar("T")


def steadily(transfer: Callable[[], T]) -> T:
    """What a transfer gives, the third attempt at the latest: only for what may be done twice. Raises OSError."""
    begin = time.monotonic()
    for _ in range(_ATTEMPTS - 1):
        try:
            return transfer()
        except OSError:
            # where a line is held low, each attempt takes a second
            if time.monotonic() - begin > _PATIENCE_S:
                raise
    return transfer()


class Bus(Protocol):
    """The calls of smbus2.SMBus that drivers use. All raise OSError."""

    funcs: I2cFunc

    def i2c_rdwr(self, *messages: i2c_msg) -> None: ...
    def read_byte_data(self, address: int, register: int) -> int: ...
    def write_byte_data(self, address: int, register: int, value: int) -> None: ...
    def close(self) -> None: ...


class Port(NamedTuple):
    """Where a bus is: its name for people, how it is opened, its clock where that is known; the time it lives in.

    now_ns, wait: CLOCK_MONOTONIC ns, and some seconds of it.
    """

    name: str
    open: Callable[[], Bus]
    clock_hz: int | None
    now_ns: Callable[[], int] = time.monotonic_ns
    wait: Callable[[float], None] = time.sleep


def linux_port(number: int, sys: Path = Path("/sys")) -> Port:
    """/dev/i2c-N. The clock: what the device tree says, where there is one."""
    try:
        node = (sys / f"bus/i2c/devices/i2c-{number}/of_node/clock-frequency").read_bytes()
    except OSError:
        node = b""
    return Port(f"/dev/i2c-{number}", lambda: SMBus(number), int.from_bytes(node[:4], "big") or None)


class Device:
    """One address on a bus that can be opened anew."""

    def __init__(self, port: Port, address: int) -> None:
        """Opens the bus. Raises DeviceMissing, one line."""
        self._port, self.address = port, address
        self.where = f"address 0x{address:02x} on {port.name}"
        self._reads: dict[tuple[tuple[int, int], ...], list[i2c_msg]] = {}
        self._block = _MAX_BLOCK
        try:
            self._bus = port.open()
        except OSError as e:
            raise DeviceMissing(f"{port.name}: {_told(e)}") from None
        if not self._bus.funcs & I2cFunc.I2C:
            self._bus.close()
            raise DeviceMissing(f"{port.name}: this adapter does SMBus calls only, no I2C messages")

    def reopen(self) -> None:
        """Raises OSError where the bus has gone."""
        self.close()
        self._bus = self._port.open()

    def close(self) -> None:
        try:
            self._bus.close()
        except OSError:
            pass  # an adapter that was pulled out

    def get(self, register: int) -> int:
        """A register that is not changed by being read; see steadily()."""
        return steadily(lambda: self._bus.read_byte_data(self.address, register))

    def set(self, register: int, value: int) -> None:
        """A register that may be written twice; see steadily()."""
        steadily(lambda: self._bus.write_byte_data(self.address, register, value))

    def read(self, *parts: tuple[int, int]) -> list[bytes]:
        """One transaction: n bytes from each (register, n). At most 21 parts."""
        messages = self._reads.get(parts)
        if messages is None:
            messages = []
            for register, n in parts:
                messages += [i2c_msg.write(self.address, [register]), i2c_msg.read(self.address, n)]
            self._reads[parts] = messages
        self._bus.i2c_rdwr(*messages)
        return [bytes(message) for message in messages[1::2]]

    def drain(self, register: int, n: int, item: int) -> bytes:
        """n bytes of a FIFO behind one register, in pieces that the adapter takes, each whole items."""
        out = []
        while n:
            size = min(n, self._block)
            try:
                out += self.read((register, size))
            except OSError as e:
                # refused before a byte was moved: the adapter wants shorter messages
                if e.errno not in (errno.EOPNOTSUPP, errno.EINVAL) or size <= item:
                    raise
                self._block = max(item, size // 2 // item * item)
                continue
            n -= size
        return out[0] if len(out) == 1 else b"".join(out)

    def pop(self, register: int, n: int, item: int) -> bytes:
        """n items of a FIFO that is popped by reading all of an item's registers: as many reads in as few calls."""
        out, most = [], _MAX_MESSAGES // 2
        for at in range(0, n, most):
            out += self.read(*((register, item),) * min(most, n - at))
        return b"".join(out)

    def bits_per_s(self, register: int) -> float:
        """What the bus carries, measured on the registers from here on: the best of three reads of 14."""
        best = float("inf")
        for _ in range(3):
            begin = time.perf_counter()
            self.read((register, 14))
            best = min(best, time.perf_counter() - begin)
        return 9 * 17 / max(best, 1e-9)

    def check_speed(self, register: int, needs_bits_per_s: float, log: Log) -> None:
        """One line where the bus is slower than 400 kHz, or hardly fast enough. ConfigError where it cannot do it."""
        known = self._port.clock_hz
        try:
            carries = known or self.bits_per_s(register)
        except OSError:
            return  # nobody answers: that is told where the chip is woken
        share = needs_bits_per_s / carries
        hint = "set dtparam=i2c_arm_baudrate=400000, see docs/devices.md"
        if known and share > 0.95:
            raise ConfigError(
                f"{self._port.name} runs at {known / 1e3:g} kHz, sampling needs {needs_bits_per_s / 1e3:.0f} kbit/s: "
                f'lower rate_hz, use mode = "fifo", or {hint}'
            )
        if share > 0.5:
            log.warning(f"sampling needs {share:.0%} of {self._port.name}, samples may be late: {hint}")
        # what is measured includes the calls: 400 kHz comes out well above half of it
        elif carries < (FAST_HZ if known else FAST_HZ / 2):
            log.warning(f"{self._port.name} carries {carries / 1e3:.0f} kbit/s, 400 kHz is assumed: {hint}")


def _told(e: OSError) -> str:
    if e.errno == errno.ENOENT:
        return "not there; on a Pi: dtparam=i2c_arm=on, and modprobe i2c-dev"
    if e.errno in (errno.EACCES, errno.EPERM):
        return "permission denied: the user must be in the group i2c"
    return e.strerror or os.strerror(e.errno or 0)
