"""The ops of the pump daemon's ctl socket (docs/ctl.md), its emergency stop, and what `status` shows."""

import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import msgspec

from common.config.schema import PumpConfig
from common.errors import RigbusError
from common.latch import CONFIRM, Latch, Unlock, reason_of
from common.log_events import LogEvent
from common.pumps import requests, views
from common.pumps.desk import Desk
from common.pumps.pump import Pump
from common.pumps.volume import steps_per_ml
from common.runtime import Runtime

Request = Mapping[str, Any]
Reply = dict[str, Any]
_AWAY_S, _HOLD_S = 1.0, 2.0  # after the process was away: lgpio's thread catches up with its clock before it is exact


class Ops:
    """Handlers run in the ctl thread, a status so knows of all that was answered; `beat` in the main thread, often."""

    def __init__(self, rt: Runtime, cfg: PumpConfig, pumps: dict[str, Pump], desk: Desk, latch: Latch) -> None:
        self._rt, self._cfg, self._pumps, self._desk, self._latch = rt, cfg, pumps, desk, latch
        self.locked = False
        self._reason = ""
        self._unsaved = False
        self._alive = time.monotonic()
        self._hold_until = 0.0
        desk.lease = lambda: self._alive
        if latch.is_set():
            self._lock(latch.reason())
        for op in ("prime", "dispense"):
            rt.on(op, lambda request, op=op: self._move(op, request))  # type: ignore[misc]
        rt.on("calibrate", self._calibrate)
        rt.on("stop", self._stop)
        rt.on("stop_all", lambda _: {"stopped": desk.stop(list(pumps), "user")})
        rt.on("estop", self._estop)
        rt.on("unlock", self._unlock)
        rt.on_status(self._show)

    # ---- ops

    def _move(self, op: str, request: Request) -> "Future[Reply]":
        try:
            motion = requests.motion(op, request)
        except msgspec.ValidationError as e:
            self._tell_malformed(op, request, str(e))
            raise
        self._known(*motion.pumps)
        if time.monotonic() < self._hold_until:
            raise RigbusError("stalled: the daemon was kept from running a moment ago, ask again")
        stops = self._desk.stops()
        return self._desk.ask(lambda: self._desk.move(motion, stops))

    def _tell_malformed(self, op: str, request: Request, why: str) -> None:
        """A motion that was meant for a pump of ours leaves a trace, though it cannot be read."""
        aimed = requests.aimed_at(request, self._pumps)
        if aimed is not None:
            for name in aimed[1]:
                told = f"malformed: {why}"
                self._rt.publish(views.event(name, "refused", op, command_id=aimed[0], reason=told))

    def _calibrate(self, request: Request) -> "Future[Reply]":
        r = requests.take(requests.Calibrate, request)
        self._known(r.pump)
        return self._desk.ask(lambda: self._desk.calibrate(r))

    def _stop(self, request: Request) -> Reply:
        r = requests.take(requests.Stop, request)
        self._known(r.pump)
        return {"stopped": self._desk.stop([r.pump], "user")}

    def _estop(self, request: Request) -> Reply:
        return self.estop(reason_of(request))

    def estop(self, reason: str) -> Reply:
        """EN inactive on every pump first, then the latch on the disk. Also when locked already."""
        fresh = not self.locked
        stopped = self._lock(reason)
        try:
            self._latch.set(reason)
            self._unsaved = False
        except OSError as e:
            self._unsaved = True
            self._rt.log.error(
                "the latch is not on the disk: locked only while this daemon runs",
                event=LogEvent.LATCH_UNSAVED, reason=e.strerror,
            )  # fmt: skip
        if fresh:
            self._rt.log.warning(
                "emergency stop", event=LogEvent.ESTOP, reason=reason, stopped=",".join(stopped) or "none"
            )
            for name in self._pumps:
                self._rt.publish(views.event(name, "estop", "estop", reason=reason))
        return {"locked": True, "stopped": stopped, "saved": not self._unsaved}

    def _lock(self, reason: str) -> list[str]:
        if not self.locked:
            self._reason = reason
        self.locked = True
        self._desk.void(f"locked: emergency stop: {self._reason}")
        return self._desk.stop(list(self._pumps), "estop")

    def _unlock(self, request: Request) -> Reply:
        if requests.take(Unlock, request).confirm != CONFIRM:
            raise RigbusError(f"confirm: to unlock, say confirm = {CONFIRM!r}")
        if self.locked:
            try:
                self._latch.clear()
            except OSError as e:
                raise RigbusError(f"locked: {self._latch.path} cannot be removed: {e.strerror}") from None
            self.locked = self._unsaved = False
            self._desk.void(None)
            self._rt.log.warning("unlocked", event=LogEvent.UNLOCKED)
            for name in self._pumps:
                self._rt.publish(views.event(name, "unlocked", "unlock"))
        return {"locked": False}

    def _known(self, *names: str) -> None:
        for name in names:
            if name not in self._pumps:
                raise RigbusError(f"unknown: no pump {name!r}; there are: {', '.join(self._pumps)}")

    def _show(self) -> Reply:
        pumps = [self._show_pump(name, pump) for name, pump in self._pumps.items()]
        return {"locked": self.locked, "locked_by": self._reason if self.locked else "", "pumps": pumps}

    def _show_pump(self, name: str, pump: Pump) -> Reply:
        job, last = pump.job, self._desk.outcomes.last[name]
        run = {"command_id": job.command_id, "action": job.action, "direction": job.direction, "steps": pump.steps,
               "planned_steps": job.run.plan.steps, "planned_s": job.run.plan.seconds,
               "planned_ml": job.run.plan.ml} if job else None  # fmt: skip
        known = steps_per_ml(pump.cfg, self._cfg.driver, self._desk.calibrations[name])
        return {
            "pump": name, "run": run, "last": views.as_map(last) if last else None, "driver": self._cfg.driver,
            "max_hz": pump.stepper.max_hz, "steps_per_ml": known,
            "left_today": self._desk.outcomes.left[name]._asdict(),
        }  # fmt: skip

    # ---- the main thread's part

    def beat(self) -> None:
        """Keeps runs alive, sees a latch that somebody else has set, says how things are. Often: ten times a second."""
        now = time.monotonic()
        if now - self._alive > _AWAY_S:
            self._hold_until = now + _HOLD_S
        self._alive = now
        if not self.locked and self._latch.is_set():
            self.estop(self._latch.reason())
        elif self._unsaved:
            self._rt.log.seldom("latch", "the latch is tried again")
            self.estop(self._reason)
        running = [name for name, pump in self._pumps.items() if pump.job]
        self._rt.say(
            "locked: emergency stop" if self.locked else f"running {', '.join(running)}" if running else "idle"
        )

    def close(self, reason: str) -> None:
        """Every run ends now; nothing begins any more."""
        self._desk.void("stopping: the daemon ends")
        self._desk.stop(list(self._pumps), reason)
