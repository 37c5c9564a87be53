"""Decides about commands, one at a time, in a thread of its own: the ctl thread stays free, so no stop is late."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from common.config.schema import PumpConfig
from common.errors import RigbusError
from common.log_events import LogEvent
from common.notify import Rounds
from common.pumps import requests, views
from common.pumps.decide import Decision, decide
from common.pumps.outcomes import COMMIT_S, Outcomes
from common.pumps.pump import Job, Pump
from common.pumps.records import Records, Row
from common.pumps.requests import Motion
from common.pumps.volume import Calibration, measured, steps_per_ml
from common.runtime import Runtime

_REFUSED = 10_000
_WAITING = 16  # requests that may wait for the desk
_ROUND_S = 30.0

Reply = dict[str, Any]


class Desk:
    """Everything here but `ask`, `void` and `lease` happens in the desk's own thread."""

    def __init__(self, rt: Runtime, cfg: PumpConfig, pumps: dict[str, Pump], records: Records) -> None:
        """Raises RigbusError."""
        self._rt, self._cfg, self._pumps, self._records = rt, cfg, pumps, records
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._gate = threading.Lock()  # a run begins either before a stop of everything, or not at all
        self._void: str | None = None
        self._refused: dict[str, str] = {}  # refusals that found no room on the disk, by command id
        self._stops = dict.fromkeys(pumps, 0)
        self._closed = False
        self.lease: Callable[[], float] = time.monotonic
        self.outcomes = Outcomes(rt, pumps, records)
        records.prune()
        self.calibrations = {name: records.calibration(name) for name in pumps}
        self.rounds = Rounds(_ROUND_S)
        self._thread = threading.Thread(target=self._work, name="desk", daemon=True)
        self._thread.start()

    # ---- from other threads

    def ask(self, work: Callable[[], Reply]) -> "Future[Reply]":
        """Queues a decision. Raises RigbusError where too many wait."""
        if self._closed:
            raise RigbusError("stopping: the daemon ends")
        if self._queue.qsize() >= _WAITING:
            raise RigbusError("busy: too many requests wait")
        future: Future[Reply] = Future()

        def answer() -> None:
            try:
                future.set_result(work())
            except Exception as e:
                future.set_exception(e)

        self._queue.put(answer)
        return future

    def void(self, reason: str | None) -> None:
        """From now on nothing begins, for this reason; None: it may again."""
        with self._gate:
            self._void = reason

    def stop(self, names: list[str], reason: str) -> list[str]:
        """Ends their runs, those too that wait to be decided; returns the pumps that had one."""
        with self._gate:
            for name in names:
                self._stops[name] += 1
        return [name for name in names if self._pumps[name].stop(reason)]

    def stops(self) -> dict[str, int]:
        """How often each pump was stopped: whoever asks for a motion brings along what he saw."""
        return dict(self._stops)

    # ---- motions

    def move(self, motion: Motion, stops: dict[str, int]) -> Reply:
        """The whole decision, its record, and the start. Raises RigbusError where it is refused."""
        before = self._records.find(motion.command_id)
        if before:
            return self._repeated(motion, before)
        if motion.command_id in self._refused:
            raise RigbusError(self._refused[motion.command_id])
        try:
            decisions = self._decide(motion)
            self._records.intend(motion, self._cfg.driver, {n: d.plan for n, d in decisions.items()})
        except RigbusError as e:
            self._refuse(motion, str(e))
            raise
        try:
            why = self._begin(motion, decisions, stops)
        except Exception as e:  # a fault of ours must not leave a pump that is busy for ever
            why = f"fault: {type(e).__name__}: {e}"
        if why is not None:
            for name in motion.pumps:
                self._pumps[name].job = None
            self._refuse(motion, why)
            raise RigbusError(why)
        warnings = [d.warning for d in decisions.values() if d.warning]
        for warning in warnings:
            self._rt.log.warning(warning)
        rows = self._records.find(motion.command_id)
        return {"repeated": False, "runs": [views.as_map(row) for row in rows], "warning": "; ".join(warnings)}

    def _begin(self, motion: Motion, decisions: dict[str, Decision], stops: dict[str, int]) -> str | None:
        """The intent is in the journal before anything moves; else why nothing does."""
        jobs = {
            name: self._pumps[name].prepare(
                motion.command_id, motion.action, motion.direction, d.plan, lambda: self.lease()
            )
            for name, d in decisions.items()
        }
        for name, d in decisions.items():
            self._rt.log.noted(
                LogEvent.PUMP_RUN, "a run is to begin", pump=name, action=motion.action, direction=motion.direction,
                steps=d.plan.steps, command_id=motion.command_id,
            )  # fmt: skip
        seqs = [self._rt.publish(views.intended(motion, name, "intent", d.plan)) for name, d in decisions.items()]
        if not all(self._rt.committed(seq, COMMIT_S) for seq in seqs):
            return "record: the journal does not take the intent"
        with self._gate:
            why = self._void or self._stopped_since(motion, stops)
            if why is None:
                for name, d in decisions.items():
                    self._start(motion, jobs[name], self._pumps[name], d)
        return why

    def _repeated(self, motion: Motion, rows: list[Row]) -> Reply:
        if rows[0].request != motion.text:
            why = f"repeated: the command id {motion.command_id} was used for another command"
            for name in motion.pumps:
                self._rt.publish(views.refused(motion, name, why))
            raise RigbusError(why)
        if rows[0].state == "refused":
            raise RigbusError(rows[0].reason or "refused before")
        return {"repeated": True, "runs": [views.as_map(row) for row in rows], "warning": ""}

    def _decide(self, motion: Motion) -> dict[str, Decision]:
        """Either every pump of the command may run, or none does."""
        if self._void is not None:
            raise RigbusError(self._void)
        if not self.outcomes.complete:
            raise RigbusError("record: the outcome of an earlier run is not on the disk yet")
        out = {}
        for name in motion.pumps:
            pump = self._pumps[name]
            if pump.job is not None:
                raise RigbusError(f"busy: {name} is running, command id {pump.job.command_id}")
            stored = self.calibrations[name]
            out[name] = decide(
                motion, pump.cfg, self._cfg.driver, pump.stepper.max_hz, stored, self.outcomes.left_of(name)
            )
        return out

    def _stopped_since(self, motion: Motion, stops: dict[str, int]) -> str | None:
        names = [name for name in motion.pumps if self._stops[name] != stops[name]]
        return f"stopped: {', '.join(names)}, before it began" if names else None

    def _refuse(self, motion: Motion, why: str) -> None:
        """Recorded too: the same command id never moves anything later."""
        try:
            self._records.refuse(motion, motion.pumps, self._cfg.driver, why)
        except RigbusError:
            # no room on the disk: what was refused stays refused as long as this process lives
            if len(self._refused) < _REFUSED:
                self._refused[motion.command_id] = why
        finally:
            for name in motion.pumps:
                self._rt.publish(views.refused(motion, name, why))
                self._rt.log.noted(
                    LogEvent.PUMP_REFUSED, "a run is refused", warn=True, seldom=f"refused {name}", pump=name,
                    action=motion.action, command_id=motion.command_id, reason=why,
                )  # fmt: skip

    def _start(self, motion: Motion, job: Job, pump: Pump, decision: Decision) -> None:
        frame = views.intended(motion, pump.cfg.name, "started", decision.plan)
        pump.start(
            job,
            lambda: (self._rt.publish(frame), None)[1],
            lambda outcome: self._queue.put(lambda: self.outcomes.end(pump, job, outcome)),
        )

    # ---- calibration

    def calibrate(self, r: requests.Calibrate) -> Reply:
        """Steps per mL from a measured run, or what there is. Raises RigbusError."""
        name = r.pump
        if r.ml is not None:
            row = self._run_to_measure(name, r.run)
            found = Calibration(measured(row.steps or 0, r.ml), self._cfg.driver, row.command_id, time.time_ns())
            self._records.calibrate(name, found)
            self.calibrations[name] = found
            self._rt.publish(
                views.event(
                    name, "calibrated", "calibrate", command_id=row.command_id, ml=r.ml, steps=row.steps or 0,
                    reason=f"{found.steps_per_ml:.6g} steps/mL with {found.driver}",
                )
            )  # fmt: skip
        stored, cfg = self.calibrations[name], self._pumps[name].cfg
        return {
            "pump": name,
            "steps_per_ml": steps_per_ml(cfg, self._cfg.driver, stored),
            "driver": stored.driver if stored else self._cfg.driver,
            "run": stored.command_id if stored else "",
            "t": stored.t_ns if stored else 0,
        }

    def _run_to_measure(self, pump: str, command_id: str | None) -> Row:
        if command_id is None:
            row = self._records.last_run(pump)
        else:
            row = next((r for r in self._records.find(command_id) if r.pump == pump), None)
        if row is None or row.state not in ("done", "stopped"):
            raise RigbusError(f"calibration: {pump} has no run {command_id or ''} that has ended")
        if row.driver != self._cfg.driver or not row.exact:
            raise RigbusError(
                f"calibration: run {row.command_id} was made with {row.driver}, or was not counted to its end"
            )
        return row

    # ---- the thread

    def _work(self) -> None:
        again = time.monotonic() + 1.0
        while True:
            self.rounds.turn()
            try:
                item = self._queue.get(timeout=max(0.0, again - time.monotonic()))
                if item is None:
                    return
                self._do(item)
            except Empty:
                pass
            if time.monotonic() >= again:
                self._each_second()
                again = time.monotonic() + 1.0

    def _do(self, item: Callable[[], None]) -> None:
        try:
            item()
        except Exception as e:  # one fault must not end what records the outcomes
            self._rt.log.error("the desk failed", error=f"{type(e).__name__}: {e}")

    def _each_second(self) -> None:
        try:
            self.outcomes.again()
        except RigbusError as e:
            self._rt.log.seldom("record", "the record cannot be read", reason=e)

    def close(self, wait_s: float) -> None:
        """Waits for the outcomes of what still runs, then ends."""
        end = time.monotonic() + wait_s
        while any(pump.job for pump in self._pumps.values()) and time.monotonic() < end:
            time.sleep(0.005)
        self._closed = True
        self._queue.put(None)
        self._thread.join(wait_s)
        while not self._queue.empty():
            if (item := self._queue.get()) is not None:
                self._do(item)  # whoever still waits is refused
        self._records.close()
