"""A simulated MPU6050: its registers, sample clock and FIFO, as a driver meets them on the bus."""

from collections.abc import Callable

from common.drivers import mpu6050_chip as regs
from common.drivers.samplers_sim import Signal, vibration

_RESET = 0x80  # PWR_MGMT_1
_COUNTS_PER_G = (16384, 8192, 4096, 2048)  # AFS_SEL
_SAMPLE = regs.SAMPLE_BYTES


class SimChip:
    """Makes samples in its own time, rate_error off the data sheet's; the FIFO drops its oldest bytes when it is full.

    made: samples since the power came on; dropped_bytes: of the FIFO, by overflow. The stream of the FIFO is counted in
    bytes from the first sample on: its content is a slice of the signal, and nothing is copied before it is read.
    """

    def __init__(
        self, now_ns: Callable[[], int], rate_error: float = 0.01, signal: Signal = vibration, identity: int = 0x68
    ) -> None:
        self._now, self.rate_error, self._signal, self._identity = now_ns, rate_error, signal, identity
        self._tables: dict[tuple[float, int], bytes] = {}
        self._key = 0.0, 0
        self.dropped_bytes = self.made = 0
        self.power_on()

    def prepare(self, chosen: regs.Setting, range_g: int) -> None:
        """Computes the signal beforehand: later it would keep the sampling loop from running."""
        self._key = chosen.rate_hz * (1 + self.rate_error), round(32768 / range_g)
        self._made_table()

    def power_on(self) -> None:
        """What a drop of the supply leaves: everything at its reset value, asleep, the FIFO off and empty."""
        self._r = bytearray(128)
        self._r[regs.PWR_MGMT_1] = regs.SLEEP
        self._r[regs.WHO_AM_I] = self._identity
        self._table = b""
        self._made_before = self.made
        self._step_ns = 0.0
        self._begin_ns = self._read_at = self._written = 0

    # ---- what the bus does

    def write(self, register: int, data: bytes) -> None:
        self._run()
        for offset, value in enumerate(data):
            self._set((register + offset) % 128, value)

    def read(self, register: int, n: int) -> bytes:
        self._run()
        if register == regs.FIFO_R_W:  # the one that a burst stays on
            return self._pop(n)
        fill = self._written - self._read_at
        self._r[regs.FIFO_COUNT_H], self._r[regs.FIFO_COUNT_H + 1] = fill >> 8, fill & 0xFF
        if register <= regs.ACCEL_XOUT_H + 5 and register + n > regs.ACCEL_XOUT_H:
            self._r[regs.ACCEL_XOUT_H : regs.ACCEL_XOUT_H + _SAMPLE] = self._newest()
        found = bytes(self._r[register : register + n])
        if register <= regs.INT_STATUS < register + n:
            self._r[regs.INT_STATUS] = 0
        return found

    # ---- registers

    def _set(self, register: int, value: int) -> None:
        if register in (regs.WHO_AM_I, regs.INT_STATUS) or regs.ACCEL_XOUT_H <= register < regs.ACCEL_XOUT_H + 14:
            return
        if register == regs.PWR_MGMT_1 and value & _RESET:
            self.power_on()
            return
        fifo_was_on = self._fifo_on
        self._r[register] = value
        if register == regs.USER_CTRL and value & regs.FIFO_RESET:
            self._read_at = self._written
            self._r[register] = value & ~regs.FIFO_RESET
        if self._fifo_on and not fifo_was_on:
            kept = self._written - self._read_at
            self._written = self._taken * _SAMPLE
            self._read_at = self._written - kept
        if register in (regs.PWR_MGMT_1, regs.SMPLRT_DIV, regs.CONFIG, regs.ACCEL_CONFIG):
            self._restart_clock()

    @property
    def _fifo_on(self) -> bool:
        return bool(self._r[regs.USER_CTRL] & regs.FIFO_ON and self._r[regs.FIFO_EN] & regs.ACCEL_TO_FIFO)

    @property
    def rate_hz(self) -> float:
        """As the registers have it, and the oscillator."""
        base = 8000.0 if self._r[regs.CONFIG] & 7 in (0, 7) else 1000.0
        return base / (1 + self._r[regs.SMPLRT_DIV]) * (1 + self.rate_error)

    def _restart_clock(self) -> None:
        self._made_before = self.made
        self._read_at = self._written = 0
        self._step_ns = 0.0 if self._r[regs.PWR_MGMT_1] & regs.SLEEP else 1e9 / self.rate_hz
        self._begin_ns = self._now()
        counts_per_g = _COUNTS_PER_G[self._r[regs.ACCEL_CONFIG] >> 3 & 3]
        self._key = self.rate_hz, counts_per_g
        self._table = b""

    # ---- the sample clock and the FIFO

    @property
    def _taken(self) -> int:
        """Samples since the clock was last set."""
        return self.made - self._made_before

    def _run(self) -> None:
        """Makes the samples that are due by now."""
        if not self._step_ns:
            return
        taken = int((self._now() - self._begin_ns) / self._step_ns)
        if taken <= self._taken:
            return
        self.made = self._made_before + taken
        self._r[regs.INT_STATUS] |= regs.DATA_READY
        if self._fifo_on:
            self._written = taken * _SAMPLE
            over = self._written - self._read_at - regs.FIFO_BYTES
            if over > 0:
                self._read_at += over
                self.dropped_bytes += over
                self._r[regs.INT_STATUS] |= regs.FIFO_OVERFLOW

    def _bytes(self, begin: int, n: int) -> bytes:
        """The signal's bytes from here on, big-endian, in a circle."""
        if not self._table:
            self._table = self._tables.get(self._key) or self._made_table()
        table, out = self._table, b""
        at = (begin + self._made_before * _SAMPLE) % len(table)
        while len(out) < n:
            out += table[at : at + n - len(out)]
            at = 0
        return out

    def _made_table(self) -> bytes:
        values = self._signal(*self._key)
        values.byteswap()
        self._tables[self._key] = table = values.tobytes()
        return table

    def _newest(self) -> bytes:
        return self._bytes((self._taken - 1) * _SAMPLE, _SAMPLE) if self._taken else bytes(_SAMPLE)

    def _pop(self, n: int) -> bytes:
        there = min(n, self._written - self._read_at)
        out = self._bytes(self._read_at, there) if there else b""
        self._read_at += there
        # an empty FIFO repeats what it gave last: junk to whoever counts wrong
        return out + (out[-1:] or b"\0") * (n - there)
