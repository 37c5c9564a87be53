"""The ADXL345's registers (Analog Devices data sheet, rev. G): settings and meanings. No I/O."""

from typing import NamedTuple

from common.errors import ConfigError

ADDRESS, IDENTITY = 0x53, 0xE5
DEVID, BW_RATE, POWER_CTL, INT_ENABLE, INT_SOURCE = 0x00, 0x2C, 0x2D, 0x2E, 0x30
DATA_FORMAT, DATAX0, FIFO_CTL, FIFO_STATUS = 0x31, 0x32, 0x38, 0x39
MEASURE = 0x08  # POWER_CTL
FULL_RES = 0x08  # DATA_FORMAT
STREAM, WATERMARK = 0x80, 16  # FIFO_CTL
OVERRUN, DATA_READY = 0x01, 0x80  # INT_SOURCE
ENTRIES = 0x3F  # FIFO_STATUS
DEPTH, SAMPLE_BYTES = 32, 6
SCALE = 1 / 256  # g per count at full resolution, in every range: 3.9 mg

_FASTEST_HZ, _FASTEST_CODE = 3200.0, 0x0F
_RANGE_BITS = {2: 0, 4: 1, 8: 2, 16: 3}


class Setting(NamedTuple):
    """One output rate, and its code in BW_RATE. The bandwidth is half the rate by the chip's own filter."""

    rate_hz: float
    code: int


_SETTINGS = [Setting(_FASTEST_HZ / 2**n, _FASTEST_CODE - n) for n in range(16)]


def setting(rate_hz: float) -> Setting:
    """The setting of a rate; ConfigError names the nearest two."""
    nearest = sorted(_SETTINGS, key=lambda s: abs(s.rate_hz - rate_hz))[:2]
    if abs(nearest[0].rate_hz - rate_hz) > 1e-3 * rate_hz:
        low, high = sorted(s.rate_hz for s in nearest)
        raise ConfigError(f"highspeed: the ADXL345 has no rate_hz = {rate_hz:g}; the nearest are {low:g} and {high:g}")
    return nearest[0]


def polled_setting(rate_hz: float) -> Setting:
    """For samples that are asked for one by one: the slowest rate with a new one each time, its clock off by 5 %."""
    faster = [s for s in _SETTINGS if s.rate_hz >= 1.05 * rate_hz]
    if not faster:
        raise ConfigError(
            f"highspeed: an ADXL345 makes 3200 samples a second; polled, rate_hz = {rate_hz:g} is too much"
        )
    return faster[-1]


def writes(chosen: Setting, range_g: int, fifo: bool) -> list[tuple[int, int]]:
    """(register, value), in this order: settings in standby, measuring last."""
    return [
        (POWER_CTL, 0),
        (BW_RATE, chosen.code),
        (DATA_FORMAT, FULL_RES | _RANGE_BITS[range_g]),
        (INT_ENABLE, 0),
        (FIFO_CTL, 0),  # bypass empties it
        (FIFO_CTL, STREAM | WATERMARK if fifo else 0),
        (POWER_CTL, MEASURE),
    ]


CLEAR_FIFO = [(FIFO_CTL, 0), (FIFO_CTL, STREAM | WATERMARK)]


def doubt(int_source: int, entries: int) -> str:
    """Why samples are missing in a FIFO with this status and fill; "" where none are."""
    if int_source & OVERRUN:
        return "overrun"
    return f"full, {entries} samples" if entries >= DEPTH else ""
