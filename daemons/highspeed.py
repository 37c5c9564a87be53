"""Samples a vibration sensor at its rate and publishes frames of about 100 ms."""

import sys
import time

from common import drivers
from common.config.schema import Config, HighspeedConfig
from common.drivers.samplers import Sampler
from common.errors import RigbusError
from common.log_events import LogEvent
from common.realtime import lock_memory, set_fifo
from common.runtime import Runtime
from common.samples import Framer
from common.service import entry
from common.switch import State, Switch

_QUIET_NS = 60_000_000_000  # a bus that fails again and again is one pair of lines a minute; the ledger has the rest


class Sampling:
    """One sensor, its frames, and whether samples are wanted."""

    def __init__(self, rt: Runtime, cfg: HighspeedConfig) -> None:
        self._rt, self._cfg = rt, cfg
        self._switch = Switch(rt)
        self._logged, self._quiet_until_ns = False, 0
        self._framer = Framer(rt, cfg, drivers.open_sampler(cfg))
        self._tell(time.monotonic_ns())

    def take(self, config: Config) -> None:
        assert config.highspeed is not None
        self._cfg = config.highspeed
        self._framer.take(config.highspeed)

    def run(self) -> None:
        sampler: Sampler | None = self._framer.sampler
        while sampler is not None:
            with sampler:
                self._sample(sampler)
            self._framer.flush()
            sampler = None if self._rt.stopping else self._stand_by()
        self._framer.tell(time.monotonic_ns(), last=True)
        self._switch.refuse_all()

    def _sample(self, sampler: Sampler) -> None:
        """Until the daemon is to end, or a command to stop."""
        fault = ""
        for now_ns in self._rt.every(sampler.period_s):
            for part in sampler.take(now_ns):
                self._framer.add(part)
            if sampler.fault != fault:
                fault = sampler.fault
                self._tell(now_ns)
            while (state := self._switch.wanted()) and state != "stopped":
                if state == "running":
                    self._framer.release()
                elif state != self._switch.state:
                    self._framer.hold(state, now_ns)
                self._reached(state)
            if state == "stopped":
                break
            if now_ns - self._told_ns > 1e9:
                self._tell(now_ns)
        for part in sampler.rest():
            self._framer.add(part)

    def _stand_by(self) -> Sampler | None:
        """The device is closed until a command to start; None: the daemon is to end."""
        self._framer.hold("stopped", time.monotonic_ns())
        self._reached("stopped")
        for now_ns in self._rt.every(0.1):
            self._framer.tell(now_ns)
            while state := self._switch.wanted():
                if state == "running":
                    try:
                        self._framer.sampler = drivers.open_sampler(self._cfg)
                    except RigbusError as e:
                        self._switch.refuse(str(e))
                        continue
                self._reached(state)
                if state == "running":
                    return self._framer.sampler
        return None

    def _reached(self, state: State) -> None:
        self._switch.state = state
        self._tell(time.monotonic_ns())  # before the answer: who has it may ask for the status
        self._switch.answer()

    def _tell(self, now_ns: int) -> None:
        """The status, the log, and what has not been told of losses and of a pause."""
        state, sampler, cfg = self._switch.state, self._framer.sampler, self._cfg
        self._told_ns = now_ns
        self._framer.tell(now_ns)
        if sampler.fault and not self._logged and now_ns >= self._quiet_until_ns:
            self._logged, self._quiet_until_ns = True, now_ns + _QUIET_NS
            self._rt.log.warning(
                "no samples", event=LogEvent.DEVICE_LOST, also={"device": cfg.name}, reason=sampler.fault
            )
        elif self._logged and not sampler.fault:
            self._logged = False
            self._rt.log.info("samples again", event=LogEvent.DEVICE_BACK, also={"device": cfg.name})
        self._rt.details = {"state": state, "rate_hz": round(sampler.rate_hz, 3), "fault": sampler.fault}
        doing = sampler.fault or f"{sampler.rate_hz:.1f} Hz, driver {cfg.driver}"
        self._rt.say(doing if state == "running" else state)


def run(rt: Runtime, cfg: HighspeedConfig) -> None:
    sys.setswitchinterval(1e-4)  # the sampling thread gets the interpreter soon after its deadline
    lock_memory(rt.log)
    sampling = Sampling(rt, cfg)
    rt.on_reload(sampling.take)
    set_fifo(cfg.priority, rt.log)
    sampling.run()


if __name__ == "__main__":
    sys.exit(entry("highspeed", __doc__, lambda config: config.highspeed, run))
