"""One bounded run of one motor: it ends at its steps, at its time, when told to, or when nobody keeps it alive."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from common import clock
from common.drivers.steppers import SETTLE_S, Count, Stalled, Stepper
from common.errors import RigbusError
from common.pumps.plan import Plan, chunks

LEASE_S = 0.5  # the daemon's main loop must have been round so recently, or the run ends


class Outcome(NamedTuple):
    """reason None: done. steps: really sent while EN was active."""

    reason: str | None
    steps: int
    seconds: float


class Run:
    """Made when it is decided, `go` once in the pump's own thread; `stop` from any thread, at any time."""

    def __init__(self, stepper: Stepper, plan: Plan, forward: bool, lease: Callable[[], float]) -> None:
        """lease(): CLOCK_MONOTONIC s at which the daemon's main loop was last seen."""
        self.plan = plan
        self._stepper, self._forward, self._lease = stepper, forward, lease
        self._reason: str | None = None
        self._gate = threading.Lock()

    def stop(self, reason: str) -> None:
        """EN is inactive when this returns, and stays so. The first reason counts. Raises nothing."""
        # the gate is held for microseconds; a driver that hangs in there must not keep EN from being released
        held = self._gate.acquire(timeout=0.05)
        self._reason = self._reason or reason
        if held:
            self._gate.release()
        try:
            self._stepper.release()
        except RigbusError:
            pass  # the lines are gone: the run finds that out by itself, and says so

    def go(self, count: Count, started: Callable[[], None]) -> Outcome:
        """The whole run; `started` is called once EN is active. Raises nothing of the driver's."""
        begun = time.monotonic()
        try:
            with self._gate:
                enabled = self._reason is None
                if enabled:
                    self._stepper.enable(self._forward, count)
            if enabled:
                started()
                time.sleep(SETTLE_S)
                self._feed(begun + SETTLE_S + self.plan.end_s)
        except Stalled:
            self._reason = self._reason or "stalled"
        except RigbusError:
            self._reason = self._reason or "device"
        finally:
            try:
                self._stepper.release()
                self._stepper.finish()
            except RigbusError:
                self._reason = self._reason or "device"
        if self._reason is None and count[0] < self.plan.steps:
            self._reason = "fault"  # the motor was let go of under the run
        return Outcome(self._reason, count[0], time.monotonic() - begun)

    def _feed(self, end: float) -> None:
        left, seen, due_s = self.plan.steps, clock.boot_ns(), 0.0
        for n, hz in chunks(self.plan.steps, self.plan.hz, self.plan.ramp_s):
            now = time.monotonic()
            if self._reason is None and now > end:
                self._reason = "limit"
            # BOOTTIME: a machine that was suspended in a run does not go on with it
            away_s = (clock.boot_ns() - seen) / 1e9 - due_s
            if self._reason is None and max(away_s, now - self._lease()) > LEASE_S:
                self._reason = "stalled"
            # whatever the plan says: never more than was recorded
            if self._reason is not None or n > left:
                return
            seen, due_s = clock.boot_ns(), n / hz
            self._stepper.train(n, hz)
            left -= n
