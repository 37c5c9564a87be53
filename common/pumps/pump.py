"""One pump: its motor, the thread that steps it, and what it does right now."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple

from common.config.schema import PumpLines
from common.drivers.steppers import Stepper
from common.errors import RigbusError
from common.log import Log
from common.notify import Rounds
from common.pumps.plan import Plan
from common.pumps.progress import Progress
from common.pumps.run import Outcome, Run
from common.realtime import set_fifo

_ROUND_S = 30.0  # beyond the end of a run


class Job(NamedTuple):
    """A run and its name."""

    command_id: str
    action: str
    direction: str
    run: Run


class Pump:
    """`start` from the desk's thread; `stop` and `steps` from any."""

    def __init__(self, cfg: PumpLines, stepper: Stepper, progress: Progress, priority: int, log: Log) -> None:
        self.cfg, self.stepper, self.progress = cfg, stepper, progress
        self.job: Job | None = None  # from the decision until the outcome is recorded
        self._priority, self._log = priority, log
        self._jobs: SimpleQueue[tuple[Job, Callable[[], None], Callable[[Outcome], None]] | None] = SimpleQueue()
        self.rounds = Rounds(_ROUND_S)
        self._thread = threading.Thread(target=self._serve, name=f"pump {cfg.name}", daemon=True)
        self._thread.start()

    def prepare(self, command_id: str, action: str, direction: str, plan: Plan, lease: Callable[[], float]) -> Job:
        """From here on the pump is busy, and a stop ends this run before it begins."""
        self.progress.begin(command_id)
        self.job = Job(command_id, action, direction, Run(self.stepper, plan, direction == "forward", lease))
        return self.job

    def start(self, job: Job, started: Callable[[], None], ended: Callable[[Outcome], None]) -> None:
        """Sets the motor going. Both are called in the pump's thread and must be short; `ended` in every case."""
        self._jobs.put((job, started, ended))

    def stop(self, reason: str) -> bool:
        """Whether there was a run to stop. EN is inactive afterwards in either case."""
        job = self.job
        if job is not None:
            job.run.stop(reason)
        else:
            try:
                self.stepper.release()
            except RigbusError as e:
                self._log.seldom(f"release {self.cfg.name}", "EN cannot be released", reason=e)
        return job is not None

    @property
    def steps(self) -> int:
        """Steps of the run that goes on."""
        return self.progress.cell[0]

    def close(self) -> None:
        """Ends the thread, after the last run has ended."""
        self._jobs.put(None)
        self._thread.join(1.0)

    def _serve(self) -> None:
        set_fifo(self._priority, self._log)
        self.rounds.idle()
        while (item := self._jobs.get()) is not None:
            job, started, ended = item
            self.rounds.turn(job.run.plan.end_s)
            try:
                outcome = job.run.go(self.progress.cell, started)
            except Exception as e:  # a fault of ours ends the run, is told, and the pump is there for the next
                job.run.stop("fault")
                self._log.error("the run failed", pump=self.cfg.name, error=f"{type(e).__name__}: {e}")
                outcome = Outcome("fault", self.progress.cell[0], 0.0)
            ended(outcome)
            self.rounds.idle()
