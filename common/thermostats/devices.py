"""All thermostats of the daemon: they begin, come and go with the configuration, and end."""

import os
import time
from collections.abc import Sequence

from msgspec.structs import replace

from common.config.schema import ThermostatDevice
from common.errors import RigbusError
from common.runtime import Runtime
from common.thermostats.device import Device

_JOIN_S = 1.5  # a thread that looks up a name cannot be woken


class Devices:
    """For the main thread, but `one`."""

    def __init__(self, rt: Runtime, configs: Sequence[ThermostatDevice]) -> None:
        self._rt = rt
        self._configs = {cfg.name: cfg for cfg in configs}
        self._stops: dict[str, int] = {}  # eventfd by device
        self.all = {name: self._begin(cfg, was_there=True) for name, cfg in self._configs.items()}

    def one(self, name: str | None) -> Device:
        """The device that a command is for; None: the only one. Raises RigbusError."""
        there = self.all  # replaced as a whole: this may be another thread
        if name is None and len(there) == 1:
            return next(iter(there.values()))
        if name not in there:
            raise RigbusError(f"device: there are {', '.join(there)}")
        return there[name]

    def take(self, configs: Sequence[ThermostatDevice]) -> None:
        """Another configuration: what has changed begins anew, what stays the same goes on undisturbed."""
        wanted = {cfg.name: cfg for cfg in configs}
        ending = [name for name, cfg in self._configs.items() if _anew(cfg, wanted.get(name))]
        staying = {name: device for name, device in self.all.items() if name not in ending}
        self._end(ending)
        self.all = staying  # whatever fails below, what has ended is not there
        for name, device in staying.items():
            device.allow_control(wanted[name].allow_control)
        self.all = {name: staying.get(name) or self._begin(cfg, was_there=False) for name, cfg in wanted.items()}
        self._configs = wanted

    def close(self) -> None:
        self._end(list(self.all))

    def _begin(self, cfg: ThermostatDevice, *, was_there: bool) -> Device:
        """was_there: since the end of the run before this one its readings are missing."""
        stop_fd = self._stops[cfg.name] = os.eventfd(0, os.EFD_NONBLOCK)
        device = Device(self._rt, cfg, stop_fd, was_there=was_there)
        self._rt.watch(cfg.name, device.rounds)
        return device

    def _end(self, names: Sequence[str]) -> None:
        until = time.monotonic() + _JOIN_S
        for name in names:
            self._rt.notifier.watched.pop(name, None)
            os.eventfd_write(self._stops.pop(name), 1)  # not closed: a thread that hangs may still wait for it
        for name in names:
            self.all[name].join(until)


def _anew(old: ThermostatDevice, new: ThermostatDevice | None) -> bool:
    return new is None or replace(new, allow_control=old.allow_control) != old
