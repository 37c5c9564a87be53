"""Vibration from an MPU6050's accelerometer, on I2C or simulated: its FIFO in blocks, or sample by sample."""

from collections.abc import Sequence

from common.config.schema import HighspeedConfig
from common.drivers import mpu6050_chip as regs
from common.drivers.chip_fifo import FifoSampler
from common.drivers.chip_polled import PolledSampler
from common.drivers.i2c import Device, Port, linux_port, steadily
from common.drivers.i2c_sim import SimBus, sim_port
from common.drivers.mpu6050_sim import SimChip
from common.drivers.samplers import Sampler
from common.errors import ConfigError
from common.log import Log


class Mpu6050:
    """A Chip of common/drivers/chips.py."""

    name = "mpu6050"
    depth = regs.DEPTH
    pops_whole = True

    def __init__(self, device: Device, chosen: regs.Setting, range_g: int, fifo: bool, accept: Sequence[int]) -> None:
        self.device, self.rate_hz, self.scale = device, chosen.rate_hz, regs.scale(range_g)
        self._writes, self._accept = regs.writes(chosen, range_g, fifo), accept
        # the FIFO's own registers are off for a moment where clear() was interrupted
        self._check = {r: v for r, v in self._writes if r not in (regs.USER_CTRL, regs.FIFO_EN)}

    def identify(self) -> None:
        found = self.device.get(regs.WHO_AM_I)
        if found != regs.IDENTITY and found not in self._accept:
            raise ConfigError(
                f"mpu6050: WHO_AM_I at {self.device.where} reads 0x{found:02x}, expected 0x{regs.IDENTITY:02x}; "
                f"a clone that behaves the same is taken by accept_ids = [{found}]"
            )

    def configure(self) -> None:
        for register, value in self._writes:
            self.device.set(register, value)

    def intact(self) -> bool:
        found = steadily(lambda: self.device.read(*((register, 1) for register in self._check)))
        return b"".join(found) == bytes(self._check.values())

    def status(self) -> tuple[int, str]:
        for _ in range(2):
            flags, count = self.device.read((regs.INT_STATUS, 1), (regs.FIFO_COUNT_H, 2))
            n = int.from_bytes(count, "big")
            doubt = regs.doubt(flags[0], n)
            # amid the writing of a sample a count is none of whole samples: looked at twice
            if not doubt or flags[0] & regs.FIFO_OVERFLOW:
                break
        return n // regs.SAMPLE_BYTES, doubt

    def pop(self, n: int) -> bytes:
        return regs.samples(self.device.drain(regs.FIFO_R_W, n * regs.SAMPLE_BYTES, regs.SAMPLE_BYTES))

    def clear(self) -> None:
        for register, value in regs.RESET_FIFO:
            self.device.set(register, value)

    def latest(self) -> bytes | None:
        found = self.device.read((regs.INT_STATUS, 7))[0]  # its bit and the values, of one instant
        return regs.samples(found[1:]) if found[0] & regs.DATA_READY else None

    def sleep(self) -> None:
        self.device.set(regs.PWR_MGMT_1, regs.SLEEP)


def open_mpu6050(cfg: HighspeedConfig) -> Sampler:
    """The chip at /dev/i2c-N, awake. Raises ConfigError, DeviceMissing."""
    return open_at(cfg, linux_port(cfg.bus))


def open_sim(cfg: HighspeedConfig) -> Sampler:
    """The same driver on a chip that is simulated down to its registers, with a pump's vibration."""
    bus = SimBus()
    bus.chips[cfg.address or regs.ADDRESS] = chip = SimChip(bus.now_ns)
    chip.prepare(_setting(cfg), cfg.range_g)
    return open_at(cfg, sim_port(bus))


def open_at(cfg: HighspeedConfig, port: Port) -> Sampler:
    """The chip on any bus."""
    fifo, chosen = cfg.mode == "fifo", _setting(cfg)
    device = Device(port, cfg.address or regs.ADDRESS)
    chip = Mpu6050(device, chosen, cfg.range_g, fifo, cfg.accept_ids)
    # bytes on the wire: in the FIFO 6 a sample, and few more a block; else address and register twice, 7 of data
    bits = 9 * (6.5 if fifo else 10.3)
    device.check_speed(regs.ACCEL_XOUT_H, bits * cfg.rate_hz, Log("highspeed"))
    return FifoSampler(chip, cfg.frame_ms, port.now_ns) if fifo else PolledSampler(chip, cfg.rate_hz, port)


def _setting(cfg: HighspeedConfig) -> regs.Setting:
    return regs.setting(cfg.rate_hz) if cfg.mode == "fifo" else regs.polled_setting(cfg.rate_hz)
