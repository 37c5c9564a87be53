"""Reads thermostats on the network and publishes each report as a `thermostat` frame; passes settings on if allowed."""

import sys
from typing import Any

import msgspec

from common.bus.ctl import Handler
from common.config.schema import Config, ThermostatConfig
from common.runtime import Runtime
from common.service import entry
from common.thermostats.control import Addressed, setting_of
from common.thermostats.devices import Devices


def run(rt: Runtime, cfg: ThermostatConfig) -> None:
    devices = Devices(rt, cfg.device)

    def control(op: str) -> Handler:
        def handle(request: dict[str, Any]) -> Any:
            name, setting = setting_of(op, request)
            return devices.one(name).control(setting)

        return handle

    def tell() -> None:
        rt.details = {"devices": [device.status() for device in devices.all.values()]}
        rt.say(", ".join(device.summary() for device in devices.all.values()))

    tell()
    rt.on("save_once", lambda request: devices.one(msgspec.convert(request, Addressed).device).save_once())
    for op in ("pid", "output", "setpoint", "save"):
        rt.on(op, control(op))

    def take(config: Config) -> None:
        devices.take(config.thermostat.device if config.thermostat else [])

    rt.on_reload(take)
    try:
        for _ in rt.every(0.5):
            for device in devices.all.values():
                device.look()
            tell()
    finally:
        devices.close()


if __name__ == "__main__":
    sys.exit(entry("thermostat", __doc__, lambda config: config.thermostat, run))
