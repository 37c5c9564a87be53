"""What a driver for a chip with a FIFO is made of: the chip on its bus, opening it, and an outage with its retries."""

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from common.drivers.i2c import NO_ACK, Device
from common.errors import DeviceMissing, RigbusError

Clock = Callable[[], int]  # CLOCK_MONOTONIC ns
_FIRST_NS, _LONGEST_NS = 50_000_000, 2_000_000_000
_REOPEN_AFTER = 3


class Chip(Protocol):
    """One chip, configured for a rate and a range. All raise OSError where a transfer fails.

    rate_hz: by the data sheet. depth: samples that its FIFO holds. scale: g per count. pops_whole: pop() is one
    transfer for many samples, and one that is not acknowledged has taken none out.
    """

    name: str
    device: Device
    rate_hz: float
    depth: int
    scale: float
    pops_whole: bool

    def identify(self) -> None:
        """Raises ConfigError, one line, where another chip answers."""
        ...

    def configure(self) -> None:
        """Writes every register that matters; the FIFO is empty and filling afterwards."""
        ...

    def intact(self) -> bool:
        """Whether the settings are as configured: a chip that lost its power has others. The FIFO may be off."""
        ...

    def status(self) -> tuple[int, str]:
        """Samples that wait in the FIFO, and "" or why it can no longer be trusted."""
        ...

    def pop(self, n: int) -> bytes:
        """n samples out of the FIFO, little-endian."""
        ...

    def clear(self) -> None:
        """Empties the FIFO, whatever its state; it goes on filling with whole samples."""
        ...

    def latest(self) -> bytes | None:
        """The newest sample, little-endian; None where it was read before."""
        ...

    def sleep(self) -> None: ...


@dataclass
class Outage:
    """No samples since since_ns. retry_ns: not before then.

    trusted: nothing has been taken out of the FIFO in vain. restarted: the chip's sample clock has begun anew.
    """

    cause: str
    detail: str
    since_ns: int
    trusted: bool
    restarted: bool = False
    failures: int = 0
    retry_ns: int = 0

    def again(self, now_ns: int) -> None:
        """One more failure: the next look is at once, then after 50 ms, 100 ms, … 2 s."""
        self.failures += 1
        wait = min(_LONGEST_NS, _FIRST_NS << min(10, self.failures - 2)) if self.failures > 1 else 0
        self.retry_ns = now_ns + wait

    def lost_settings(self) -> None:
        """The chip is configured anew: its FIFO and its sample clock begin again."""
        self.trusted, self.restarted = False, True
        if "settings" not in self.detail:
            self.detail = f"{self.detail}; the chip had lost its settings".lstrip("; ")

    @property
    def locked_up(self) -> bool:
        """It goes on: only closing and opening the bus may help."""
        return self.failures >= _REOPEN_AFTER

    def __str__(self) -> str:
        return f"{self.cause}: {self.detail}" if self.detail else self.cause


def told(error: Exception) -> str:
    """An exception in a few words."""
    return getattr(error, "strerror", None) or str(error)


def failed(error: Exception, now_ns: int, trusted: bool) -> Outage:
    """The outage that begins with a failed transfer, or with another chip that answers."""
    number = getattr(error, "errno", None)
    return Outage(
        cause="nack" if number in NO_ACK else "bus_timeout" if number == errno.ETIMEDOUT else "bus_error",
        detail=told(error),
        since_ns=now_ns,
        trusted=trusted,
    )


def wake(chip: Chip, now_ns: Clock) -> int:
    """A start: identity and registers, three attempts. Returns the time from which on samples are made.

    Raises ConfigError and DeviceMissing, each one line.
    """
    for attempt in (1, 2, 3):
        try:
            chip.identify()
            began_ns = now_ns()
            chip.configure()
            return began_ns
        except OSError as e:
            if attempt == 3:
                chip.device.close()
                # a driver of the kernel holds the address: EBUSY says so by itself
                raise DeviceMissing(f"{chip.name}: no answer from {chip.device.where}: {told(e)}") from None
        except RigbusError:
            chip.device.close()
            raise
        time.sleep(0.02)
    raise AssertionError


def mend(chip: Chip, outage: Outage) -> None:
    """One attempt to get the chip back as it was configured, its FIFO trusted or empty. Raises OSError, ConfigError."""
    if outage.locked_up:
        chip.device.reopen()
    if not chip.intact():
        chip.identify()
        outage.lost_settings()
        chip.configure()
    elif not outage.trusted:
        chip.clear()
