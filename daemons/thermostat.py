"""Reads thermostats on the network and publishes each report as a `thermostat` frame; passes settings on if allowed."""

import os
import sys
import time
from typing import Any

import msgspec

from common.bus.ctl import Handler
from common.config.schema import ThermostatConfig
from common.errors import RigbusError
from common.runtime import Runtime
from common.service import entry
from common.thermostats.control import Addressed, setting_of
from common.thermostats.device import Device

_JOIN_S = 1.5  # a thread that looks up a name cannot be woken


def run(rt: Runtime, cfg: ThermostatConfig) -> None:
    stop_fd = os.eventfd(0, os.EFD_NONBLOCK)
    devices = {device.name: Device(rt, device, stop_fd) for device in cfg.device}

    def one(name: str | None) -> Device:
        if name is None and len(devices) == 1:
            return next(iter(devices.values()))
        if name not in devices:
            raise RigbusError(f"device: there are {', '.join(devices)}")
        return devices[name]

    def control(op: str) -> Handler:
        def handle(request: dict[str, Any]) -> Any:
            name, setting = setting_of(op, request)
            return one(name).control(setting)

        return handle

    def tell() -> None:
        rt.details = {"devices": [device.status() for device in devices.values()]}
        rt.say(", ".join(device.summary() for device in devices.values()))

    tell()
    rt.on("save_once", lambda request: one(msgspec.convert(request, Addressed).device).save_once())
    for op in ("pid", "output", "setpoint", "save"):
        rt.on(op, control(op))
    try:
        for _ in rt.every(0.5):
            for device in devices.values():
                device.look()
            tell()
    finally:
        os.eventfd_write(stop_fd, 1)
        until = time.monotonic() + _JOIN_S
        for device in devices.values():
            device.join(until)


if __name__ == "__main__":
    sys.exit(entry("thermostat", __doc__, lambda config: config.thermostat, run))
