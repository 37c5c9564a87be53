"""What a rig needs, whether it is there, and the one command that mends what is not. It changes nothing.

A daemon that runs is asked. Of one that does not, the device is opened as the daemon would open it, and let go of; the
lines of a pump are not: nothing here may move a motor.
"""

import grp
import os
import resource
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from common import drivers, rig
from common.clock import is_synchronised
from common.config.schema import Config, HighspeedConfig, PulseConfig, PumpConfig
from common.ctl import request
from common.errors import DeviceMissing, RigbusError
from common.paths import Folders, is_alive

_FREE_BYTES = 200 << 20  # below this a day of vibration does not fit


class Finding(Struct):
    """One thing that was looked at. mend: the command that mends it, or shows why; "" where all is well."""

    what: str
    state: Literal["ok", "warning", "missing"]
    detail: str
    mend: str = ""


def examine(config: Config, folders: Folders) -> Iterator[Finding]:
    """Findings in the order of the daemons, the machine first."""
    yield from _machine(config, folders)
    checks: dict[str, Callable[[Any, Config], Iterator[Finding]]] = {
        "pulse": _pulse,
        "highspeed": _highspeed,
        "thermostat": _thermostat,
        "pump": _pump,
        "dds": _dds,
    }
    for daemon in rig.configured(config):
        alive = is_alive(folders, daemon.name)
        if alive:
            yield _ask(daemon.name, folders)
        check = checks.get(daemon.name)
        if check is not None and not alive:
            yield from check(getattr(config, daemon.name), config)


def _ask(name: str, folders: Folders) -> Finding:
    try:
        status = request(folders, name, "status")["health"]["status"]
    except RigbusError as e:
        return Finding(name, "warning", f"runs, but {e}", f"journalctl -u rigbus-{name} -e")
    return Finding(name, "ok", f"runs: {status}" if status else "runs")


# ---- the machine


def _machine(config: Config, folders: Folders) -> Iterator[Finding]:
    for name, folder in zip(("data folder", "run folder"), folders, strict=True):
        yield _folder(name, folder)
    yield _space(folders)
    cpus = os.cpu_count() or 1
    for daemon in rig.configured(config):
        wanted = getattr(config, daemon.name).cpu
        numbers = [wanted] if isinstance(wanted, int) else wanted if isinstance(wanted, list) else []
        if missing := [n for n in numbers if n >= cpus]:
            detail = f"CPU {missing} of {daemon.name} is not there ({cpus} CPUs): it runs unpinned"
            yield Finding("cpu", "warning", detail, f"rigbus config show | grep -n cpu  # {daemon.name}.cpu")
    if config.highspeed is not None and config.highspeed.priority:
        yield _realtime(config.highspeed.priority)
    if is_synchronised():
        yield Finding("clock", "ok", "synchronised")
    else:
        yield Finding("clock", "warning", "not synchronised: stamps may be off", "sudo timedatectl set-ntp true")


def _folder(name: str, folder: Path) -> Finding:
    here = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(here, os.W_OK | os.X_OK):
        return Finding(name, "missing", f"{here}: no permission to write", f'sudo install -d -o "$USER" {folder}')
    return Finding(name, "ok", str(folder) if here == folder else f"{folder} (made at the start)")


def _space(folders: Folders) -> Finding:
    here = next(path for path in (folders.data, *folders.data.parents) if path.exists())
    free = shutil.disk_usage(here).free
    if free < _FREE_BYTES:
        return Finding("disk", "warning", f"{free / 1e6:.0f} MB free", f"du -xh --max-depth=1 {here} | sort -h")
    return Finding("disk", "ok", f"{free / 1e9:.1f} GB free")


def _realtime(priority: int) -> Finding:
    soft = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    if os.geteuid() == 0 or soft == resource.RLIM_INFINITY or soft >= priority:
        return Finding("real-time", "ok", f"priority {priority} may be taken")
    mend = 'echo "$USER - rtprio 99" | sudo tee /etc/security/limits.d/rigbus.conf  # then log in again'
    return Finding(
        "real-time", "warning", f"limit {soft} is below highspeed.priority {priority}: loops may be late", mend
    )


# ---- devices


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
    except RigbusError as e:
        return Finding(what, "missing", str(e), (isinstance(e, DeviceMissing) and e.mend) or mend)


def _pulse(cfg: PulseConfig, _: Config) -> Iterator[Finding]:
    what = f"pulse ({cfg.driver})"
    if cfg.driver in ("gpiod", "rpigpio") and (found := _device_file(what, cfg.chip, "gpio", "ls /dev/gpiochip*")):
        yield found
        return
    yield _opened(what, lambda: drivers.open_edges(cfg), f"gpioinfo {cfg.chip}")


def _highspeed(cfg: HighspeedConfig, _: Config) -> Iterator[Finding]:
    what = f"highspeed ({cfg.driver})"
    if cfg.driver in ("mpu6050", "adxl345"):
        enable = "sudo raspi-config nonint do_i2c 0  # then reboot" if cfg.bus == 1 else "ls /dev/i2c-*"
        if found := _device_file(what, f"/dev/i2c-{cfg.bus}", "i2c", enable):
            yield found
            return
    yield _opened(what, lambda: drivers.open_sampler(cfg), f"i2cdetect -y {cfg.bus}")


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
        except OSError as e:
            detail = f"{device.host}:{device.port}: {e.strerror or e}"
            yield Finding(what, "missing", detail, f"ping -c 3 {device.host}")


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
