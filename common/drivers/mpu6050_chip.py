"""The MPU6050's registers (InvenSense RM-MPU-6000A-00 rev 4.2): settings, bytes in, samples out. No I/O."""

import array
from typing import NamedTuple

from common.errors import ConfigError

ADDRESS, IDENTITY = 0x68, 0x68
SMPLRT_DIV, CONFIG, GYRO_CONFIG, ACCEL_CONFIG, FIFO_EN = 0x19, 0x1A, 0x1B, 0x1C, 0x23
INT_ENABLE, INT_STATUS, ACCEL_XOUT_H, USER_CTRL = 0x38, 0x3A, 0x3B, 0x6A
PWR_MGMT_1, PWR_MGMT_2, FIFO_COUNT_H, FIFO_R_W, WHO_AM_I = 0x6B, 0x6C, 0x72, 0x74, 0x75
SLEEP, CLOCK_GYRO_X = 0x40, 0x01  # PWR_MGMT_1; the gyro's clock is the steadier one
DATA_READY, FIFO_OVERFLOW = 0x01, 0x10  # INT_STATUS, INT_ENABLE
FIFO_ON, FIFO_RESET = 0x40, 0x04  # USER_CTRL
ACCEL_TO_FIFO = 0x08
FIFO_BYTES, SAMPLE_BYTES = 1024, 6
DEPTH = FIFO_BYTES // SAMPLE_BYTES

_ACCEL_HZ = 1000.0  # the accelerometer's own rate: a faster sample rate would give values twice
_BANDWIDTH_HZ = {1: 184, 2: 94, 3: 44, 4: 21, 5: 10, 6: 5}  # of the accelerometer by DLPF_CFG; 0: 260
_OPEN_HZ = 260
_RANGE_BITS = {2: 0x00, 4: 0x08, 8: 0x10, 16: 0x18}


class Setting(NamedTuple):
    """One sample rate that the chip has, and how it is had."""

    rate_hz: float
    smplrt_div: int
    dlpf_cfg: int


def setting(rate_hz: float) -> Setting:
    """The setting for a rate, its low pass the widest one under half of it. ConfigError names the nearest two rates.

    Up to 500 Hz from the 1 kHz base with a low pass; above it from the 8 kHz base (DLPF_CFG 0, 260 Hz), as there it is
    not needed: 8 kHz / 10 = 800 Hz.
    """
    known = {1000.0 / n: Setting(1000.0 / n, n - 1, _low_pass(1000.0 / n)) for n in range(2, 257)}
    known |= {8000.0 / n: Setting(8000.0 / n, n - 1, 0) for n in range(8, 16)}
    nearest = sorted(known, key=lambda rate: abs(rate - rate_hz))[:2]
    if abs(nearest[0] - rate_hz) > 1e-3 * rate_hz:
        low, high = sorted(nearest)
        raise ConfigError(f"highspeed: the MPU6050 has no rate_hz = {rate_hz:g}; the nearest are {low:g} and {high:g}")
    return known[nearest[0]]


def polled_setting(rate_hz: float) -> Setting:
    """For samples that are asked for one by one: the chip at its full 1 kHz, the low pass under half of the polling."""
    if rate_hz > _ACCEL_HZ:
        raise ConfigError(f"highspeed: an MPU6050 makes 1000 samples a second, rate_hz = {rate_hz:g} is more")
    return Setting(_ACCEL_HZ, 0, _low_pass(rate_hz))


def _low_pass(rate_hz: float) -> int:
    return next((cfg for cfg, width in _BANDWIDTH_HZ.items() if width < rate_hz / 2), 6)


def writes(chosen: Setting, range_g: int, fifo: bool) -> list[tuple[int, int]]:
    """(register, value), in this order: awake first, the FIFO last, so that it holds whole samples only."""
    rows = [
        (PWR_MGMT_1, CLOCK_GYRO_X),
        (PWR_MGMT_2, 0),
        (FIFO_EN, 0),
        (SMPLRT_DIV, chosen.smplrt_div),
        (CONFIG, chosen.dlpf_cfg),
        (GYRO_CONFIG, 0),
        (ACCEL_CONFIG, _RANGE_BITS[range_g]),
        # some chips show a bit in INT_STATUS only where its interrupt is enabled
        (INT_ENABLE, FIFO_OVERFLOW if fifo else DATA_READY),
    ]
    return rows + (RESET_FIFO if fifo else [(USER_CTRL, 0)])


# FIFO_EN last: a reset amid a sample would leave the tail of it
RESET_FIFO = [(FIFO_EN, 0), (USER_CTRL, FIFO_RESET), (USER_CTRL, FIFO_ON), (FIFO_EN, ACCEL_TO_FIFO)]


def scale(range_g: int) -> float:
    """g per count."""
    return range_g / 32768


def doubt(int_status: int, count: int) -> str:
    """Why a FIFO with this status and fill holds no whole samples any more; "" where it does."""
    if int_status & FIFO_OVERFLOW:
        return "overflow"
    if count > DEPTH * SAMPLE_BYTES:
        return f"full, {count} bytes"
    return f"{count} bytes, not of whole samples" if count % SAMPLE_BYTES else ""


def samples(raw: bytes) -> bytes:
    """Big-endian as the chip has them → little-endian."""
    values = array.array("h", raw)
    values.byteswap()
    return values.tobytes()
