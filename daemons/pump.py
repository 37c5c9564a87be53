"""Runs stepper pumps: counted steps, bounded runs, an emergency stop that is latched on the disk."""

import sys
from contextlib import ExitStack

from common import drivers
from common.config.schema import Config, PumpConfig
from common.drivers.steppers import Stepper
from common.errors import ConfigError, RigbusError
from common.latch import Latch
from common.pumps import release
from common.pumps.desk import Desk
from common.pumps.ops import Ops
from common.pumps.progress import Progress
from common.pumps.pump import Pump
from common.pumps.records import Records
from common.pumps.volume import MOST
from common.runtime import Runtime
from common.service import entry

_BEAT_S = 0.05
_END_S = 1.0  # for the outcomes of what ran when the daemon is told to stop


def check(cfg: PumpConfig, steppers: dict[str, Stepper]) -> None:
    """What only the driver can say about the configuration. Raises ConfigError."""
    for pump in cfg.pump:
        key, fastest = f"pump.pump.{pump.name}", steppers[pump.name].max_hz
        if pump.hz > fastest:
            raise ConfigError(f"{key}.hz: {pump.hz:g} is more than the driver {cfg.driver} makes ({fastest:g})")
        if pump.steps_per_ml > MOST:
            raise ConfigError(f"{key}.steps_per_ml: {pump.steps_per_ml:g} is over {MOST:g}, which no pump has")


def run(rt: Runtime, cfg: PumpConfig) -> None:
    sys.setswitchinterval(1e-4)  # a stepping thread gets the interpreter soon after its deadline
    with ExitStack() as stack:
        stack.enter_context(release.holding(cfg, rt.folders.run, rt.log))
        # the first thing: with the lines comes EN inactive, whatever an earlier process left there
        steppers = {p.name: stack.enter_context(drivers.open_stepper(cfg, p, rt.folders.run)) for p in cfg.pump}
        check(cfg, steppers)
        folder = rt.folders.data / "pump"
        try:
            latch = Latch(folder)
            progress = {p.name: Progress(folder / f"progress-{p.name}") for p in cfg.pump}
        except OSError as e:
            raise RigbusError(f"{e.filename or folder}: {e.strerror}") from None
        pumps = {p.name: Pump(p, steppers[p.name], progress[p.name], cfg.priority, rt.log) for p in cfg.pump}
        desk = Desk(rt, cfg, pumps, Records(folder / "pump.db"))
        ops = Ops(rt, cfg, pumps, desk, latch)
        rt.watch("desk", desk.rounds)
        for pump in pumps.values():
            rt.watch(f"pump {pump.cfg.name}", pump.rounds)

        def take(config: Config) -> None:
            """A run that is under way has its plan; what is taken is for the next one."""
            assert config.pump is not None
            check(config.pump, steppers)
            for cfg_of_pump in config.pump.pump:
                pumps[cfg_of_pump.name].cfg = cfg_of_pump

        rt.on_reload(take)
        try:
            for _ in rt.every(_BEAT_S):
                ops.beat()
        finally:
            ops.close("sigterm" if rt.stopping else "fault")
            desk.close(_END_S)
            for pump in pumps.values():
                pump.close()


if __name__ == "__main__":
    sys.exit(entry("pump", __doc__, lambda config: config.pump, run))
