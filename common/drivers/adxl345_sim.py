"""A simulated ADXL345: its registers, sample clock and stream FIFO, as a driver meets them on the bus."""

from collections.abc import Callable

from common.drivers import adxl345_chip as regs
from common.drivers.samplers_sim import Signal, vibration

_COUNTS_PER_G = 256
_STREAM_MODE, _SAMPLE = 0xC0, regs.SAMPLE_BYTES


class SimChip:
    """Makes samples in its own time, rate_error off the data sheet's; a full FIFO drops its oldest sample.

    made: samples since the power came on; dropped: of the FIFO, by overrun.
    """

    def __init__(
        self, now_ns: Callable[[], int], rate_error: float = 0.01, signal: Signal = vibration, identity: int = 0xE5
    ) -> None:
        self._now, self.rate_error, self._signal, self._identity = now_ns, rate_error, signal, identity
        self.dropped = self.made = 0
        self.power_on()

    def power_on(self) -> None:
        """What a drop of the supply leaves: reset values, in standby."""
        self._r = bytearray(64)
        self._r[regs.DEVID], self._r[regs.BW_RATE] = self._identity, 0x0A
        self._step_ns = self._begin_ns = 0.0
        self._made_before = self._read_at = self.made
        self._table = b""
        self._latch = bytes(_SAMPLE)

    @property
    def rate_hz(self) -> float:
        return 3200.0 / (1 << 15 - (self._r[regs.BW_RATE] & 15)) * (1 + self.rate_error)

    @property
    def _streaming(self) -> bool:
        return self._r[regs.FIFO_CTL] & _STREAM_MODE == regs.STREAM

    # ---- what the bus does

    def write(self, register: int, data: bytes) -> None:
        self._run()
        for offset, value in enumerate(data):
            self._set((register + offset) % 64, value)

    def read(self, register: int, n: int) -> bytes:
        self._run()
        data = range(regs.DATAX0, regs.DATAX0 + _SAMPLE)
        self._r[regs.FIFO_STATUS] = min(regs.DEPTH, self.made - self._read_at) if self._streaming else 0
        if register <= data[-1] and register + n > data[0]:
            # reading these registers is what takes a sample out of the FIFO
            if self._streaming and self._read_at < self.made:
                self._latch = self._bytes(self._read_at)
                self._read_at += 1
            elif not self._streaming and self.made > self._made_before:
                self._latch = self._bytes(self.made - 1)
            self._r[data[0] : data[-1] + 1] = self._latch
        found = bytes(self._r[register : register + n])
        if register <= data[-1] and register + n > data[0]:
            self._r[regs.INT_SOURCE] &= ~(regs.OVERRUN | regs.DATA_READY)
        return found

    # ---- registers, the sample clock and the FIFO

    def _set(self, register: int, value: int) -> None:
        if register in (regs.DEVID, regs.INT_SOURCE, regs.FIFO_STATUS) or 0x32 <= register <= 0x37:
            return
        self._r[register] = value
        if register == regs.FIFO_CTL and not self._streaming:
            self._read_at = self.made
            self._r[regs.INT_SOURCE] &= ~regs.OVERRUN
        if register in (regs.POWER_CTL, regs.BW_RATE):
            self._made_before = self._read_at = self.made
            self._begin_ns = self._now()
            self._step_ns = 1e9 / self.rate_hz if self._r[regs.POWER_CTL] & regs.MEASURE else 0.0
            self._table = b""

    def _run(self) -> None:
        if not self._step_ns:
            return
        made = self._made_before + int((self._now() - self._begin_ns) / self._step_ns)
        if made <= self.made:
            return
        self.made = made
        self._r[regs.INT_SOURCE] |= regs.DATA_READY
        if not self._streaming:
            self._read_at = made
        elif (over := made - self._read_at - regs.DEPTH) > 0:
            self._read_at += over
            self.dropped += over
            self._r[regs.INT_SOURCE] |= regs.OVERRUN

    def _bytes(self, index: int) -> bytes:
        """One sample, little-endian; index since the power first came on."""
        if not self._table:
            self._table = self._signal(self.rate_hz, _COUNTS_PER_G).tobytes()
        at = index * _SAMPLE % len(self._table)
        return self._table[at : at + _SAMPLE]
