"""Vibration from an ADXL345, whose output rates are native ones: its stream FIFO, or sample by sample."""

from collections.abc import Sequence

from common.config.schema import HighspeedConfig
from common.drivers import adxl345_chip as regs
from common.drivers.chip_fifo import FifoSampler
from common.drivers.chip_polled import PolledSampler
from common.drivers.i2c import Device, Port, linux_port, steadily
from common.drivers.samplers import Sampler
from common.errors import ConfigError
from common.log import Log


class Adxl345:
    """A Chip of common/drivers/chips.py."""

    name = "adxl345"
    depth = regs.DEPTH
    scale = regs.SCALE
    pops_whole = False

    def __init__(self, device: Device, chosen: regs.Setting, range_g: int, fifo: bool, accept: Sequence[int]) -> None:
        self.device, self.rate_hz = device, chosen.rate_hz
        self._writes, self._accept = regs.writes(chosen, range_g, fifo), accept
        # the FIFO's own register is off for a moment where clear() was interrupted
        self._check = {r: v for r, v in self._writes if r != regs.FIFO_CTL}

    def identify(self) -> None:
        found = self.device.get(regs.DEVID)
        if found != regs.IDENTITY and found not in self._accept:
            raise ConfigError(
                f"adxl345: DEVID at {self.device.where} reads 0x{found:02x}, expected 0x{regs.IDENTITY:02x}; "
                f"a clone that behaves the same is taken by accept_ids = [{found}]"
            )

    def configure(self) -> None:
        for register, value in self._writes:
            self.device.set(register, value)

    def intact(self) -> bool:
        found = steadily(lambda: self.device.read(*((register, 1) for register in self._check)))
        return b"".join(found) == bytes(self._check.values())

    def status(self) -> tuple[int, str]:
        flags, fill = self.device.read((regs.INT_SOURCE, 1), (regs.FIFO_STATUS, 1))
        entries = fill[0] & regs.ENTRIES
        return entries, regs.doubt(flags[0], entries)

    def pop(self, n: int) -> bytes:
        return self.device.pop(regs.DATAX0, n, regs.SAMPLE_BYTES)

    def clear(self) -> None:
        for register, value in regs.CLEAR_FIFO:
            self.device.set(register, value)

    def latest(self) -> bytes | None:
        found = self.device.read((regs.INT_SOURCE, 8))[0]  # its bit and the values, of one instant
        return found[2:] if found[0] & regs.DATA_READY else None

    def sleep(self) -> None:
        self.device.set(regs.POWER_CTL, 0)


def open_adxl345(cfg: HighspeedConfig) -> Sampler:
    """The chip at /dev/i2c-N, measuring. Raises ConfigError, DeviceMissing."""
    return open_at(cfg, linux_port(cfg.bus))


def open_at(cfg: HighspeedConfig, port: Port) -> Sampler:
    """The chip on any bus."""
    fifo = cfg.mode == "fifo"
    chosen = regs.setting(cfg.rate_hz) if fifo else regs.polled_setting(cfg.rate_hz)
    device = Device(port, cfg.address or regs.ADDRESS)
    chip = Adxl345(device, chosen, cfg.range_g, fifo, cfg.accept_ids)
    # bytes on the wire: address and register twice, 6 of data, a few more a block; polled 8 of data
    bits = 9 * (9.6 if fifo else 11.3)
    device.check_speed(regs.BW_RATE, bits * cfg.rate_hz, Log("highspeed"))
    return FifoSampler(chip, cfg.frame_ms, port.now_ns) if fifo else PolledSampler(chip, cfg.rate_hz, port)
