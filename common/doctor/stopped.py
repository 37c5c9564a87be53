"""The devices of daemons that do not run: opened as the daemon would open them, and let go of."""

import grp
import os
import shlex
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from common import drivers
from common.config.schema import Config, HighspeedConfig, PulseConfig, PumpConfig
from common.doctor.finding import Finding
from common.errors import ConfigError, DeviceMissing, RigbusError


def _device_file(what: str, path: str, group: str, absent: str) -> Finding | None:
    """None where it can be opened; `absent`: what makes it appear."""
    if not os.path.exists(path):
        return Finding(what, "missing", f"{path} is not there", absent)
    if os.access(path, os.R_OK | os.W_OK):
        return None
    known = any(entry.gr_name == group for entry in grp.getgrall())
    mend = f'sudo usermod -aG {group} "$USER"  # then log in again' if known else f"sudo chmod a+rw {path}"
    return Finding(what, "missing", f"{path}: no permission", mend)


def _opened(what: str, make: Callable[[], Any], mend: str) -> Finding:
    """mend: what helps where the error does not know better."""
    try:
        with closing(make()):
            return Finding(what, "ok", "answers")
    except ConfigError as e:
        return Finding(what, "missing", str(e), f"rigbus config show  # says where {what.split()[0]}'s keys stand")
    except RigbusError as e:
        return Finding(what, "missing", str(e), (isinstance(e, DeviceMissing) and e.mend) or mend)


def _pulse(cfg: PulseConfig, _: Config) -> Iterator[Finding]:
    what = f"pulse ({cfg.driver})"
    if cfg.driver in ("gpiod", "rpigpio") and (found := _device_file(what, cfg.chip, "gpio", "ls /dev/gpiochip*")):
        yield found
        return
    yield _opened(what, lambda: drivers.open_edges(cfg), f"gpioinfo {shlex.quote(cfg.chip)}")


def _highspeed(cfg: HighspeedConfig, _: Config) -> Iterator[Finding]:
    what = f"highspeed ({cfg.driver})"
    if cfg.driver in ("mpu6050", "adxl345"):
        enable = "sudo raspi-config nonint do_i2c 0  # then reboot" if cfg.bus == 1 else "ls /dev/i2c-*"
        if found := _device_file(what, f"/dev/i2c-{cfg.bus}", "i2c", enable):
            yield found
            return
    yield _opened(what, lambda: drivers.open_sampler(cfg), f"i2cdetect -y {cfg.bus}")


def reach(host: str) -> str:
    """The command that shows whether a host is there."""
    return f"ping -c 3 -- {shlex.quote(host)}"


def _thermostat(cfg: Any, config: Config) -> Iterator[Finding]:
    for device in cfg.device:
        what = f"thermostat {device.name}"
        if device.host == "sim":
            if config.sim.thermostat:
                yield Finding(what, "ok", "simulated, by rigbus run")
            else:
                mend = "RIGBUS__SIM__THERMOSTAT=true rigbus run"
                yield Finding(what, "missing", 'host = "sim", and sim.thermostat is false', mend)
            continue
        try:
            socket.create_connection((device.host, device.port), timeout=3).close()
            yield Finding(what, "ok", f"{device.host}:{device.port} accepts connections")
        except (OSError, UnicodeError) as e:
            detail = f"{device.host}:{device.port}: {getattr(e, 'strerror', None) or e}"
            yield Finding(what, "missing", detail, reach(device.host))


def _pump(cfg: PumpConfig, _: Config) -> Iterator[Finding]:
    what = f"pump ({cfg.driver})"
    if cfg.driver != "sim" and (found := _device_file(what, cfg.chip, "gpio", "ls /dev/gpiochip*")):
        yield found
        return
    try:
        drivers.find("steppers", cfg.driver)
    except DeviceMissing as e:
        yield Finding(what, "missing", str(e), e.mend)
        return
    yield Finding(what, "ok", "its library is there; lines are not touched")
    for pump in cfg.pump:
        if cfg.driver != "sim" and not pump.steps_per_ml and not pump.legacy_presets:
            detail = "no steps_per_ml: volumes are refused until it is calibrated"
            yield Finding(f"pump {pump.name}", "warning", detail, f"rigbus pump calibrate {pump.name} --help")


def _dds(cfg: Any, _: Config) -> Iterator[Finding]:
    try:
        import cyclonedds.core  # noqa: F401
    except ImportError as e:
        mend = (
            ".venv/bin/pip install -e '.[dds]'" if os.uname().machine == "x86_64" else "scripts/install-cyclonedds.sh"
        )
        yield Finding("dds", "missing", f"CycloneDDS for Python: {e}", mend)
        return
    names = [name for _, name in socket.if_nameindex()]
    if cfg.interface != "auto" and cfg.interface not in names:
        detail = f"no network interface {cfg.interface}; there are: {', '.join(names)}"
        yield Finding("dds", "missing", detail, "ip -brief link")
    else:
        yield Finding("dds", "ok", f"CycloneDDS is there, interface {cfg.interface}, domain {cfg.domain}")


CHECKS: dict[str, Callable[[Any, Config], Iterator[Finding]]] = {
    "pulse": _pulse,
    "highspeed": _highspeed,
    "thermostat": _thermostat,
    "pump": _pump,
    "dds": _dds,
}
