"""The devices of daemons that run: what the daemons say of them."""

from collections.abc import Callable, Iterator
from typing import Any

from common.config.schema import Config
from common.ctl import request
from common.doctor.finding import Finding
from common.doctor.stopped import reach
from common.errors import RigbusError
from common.paths import Folders


def log_of(name: str) -> str:
    """The command that shows what a daemon said."""
    return f"journalctl -u rigbus-{name} -e  # or the lines of rigbus run"


def examine(name: str, config: Config, folders: Folders) -> Iterator[Finding]:
    """The daemon itself, then each of its devices."""
    try:
        reply = request(folders, name, "status")
    except RigbusError as e:
        yield Finding(name, "warning", f"runs, but {e}", log_of(name))
        return
    if why := reply.get("missing"):
        yield Finding(name, "missing", why, log_of(name))
        return
    status = reply["health"]["status"]
    yield Finding(name, "ok", f"runs: {status}" if status else "runs")
    look = _DEVICES.get(name)
    if look is not None:
        yield from look(reply, config)


def _highspeed(reply: dict[str, Any], config: Config) -> Iterator[Finding]:
    cfg = config.highspeed
    if cfg is None:
        return
    if reply.get("fault"):
        yield Finding(f"highspeed ({cfg.driver})", "missing", reply["fault"], f"i2cdetect -y {cfg.bus}")
    elif reply.get("state", "running") != "running":
        yield Finding(f"highspeed ({cfg.driver})", "warning", reply["state"], "rigbus ctl highspeed start")


def _thermostat(reply: dict[str, Any], config: Config) -> Iterator[Finding]:
    hosts = {device.name: device.host for device in config.thermostat.device} if config.thermostat else {}
    for row in reply.get("devices", ()):
        what = f"thermostat {row['device']}"
        if row["connected"]:
            yield Finding(what, "ok", f"answers, dialect {row['dialect']}")
        else:
            yield Finding(what, "missing", row["last_error"] or "not connected", reach(hosts.get(row["device"], "")))


def _locked(what: str) -> Callable[[dict[str, Any], Config], Iterator[Finding]]:
    unlock = {"pump": "rigbus pump unlock", "dds": "rigbus ctl dds unlock confirm=unlock"}[what]

    def look(reply: dict[str, Any], _: Config) -> Iterator[Finding]:
        if reply.get("locked"):
            yield Finding(what, "warning", f"locked by an emergency stop: {reply['locked_by']}", unlock)

    return look


def _dds(reply: dict[str, Any], config: Config) -> Iterator[Finding]:
    yield from _locked("dds")(reply, config)
    if not reply.get("arm", {}).get("fresh"):
        interface = config.dds.interface if config.dds else ""
        yield Finding("dds", "missing", f"no angles come from an arm on {interface}", "ip -brief address")


_DEVICES = {"highspeed": _highspeed, "thermostat": _thermostat, "pump": _locked("pump"), "dds": _dds}
