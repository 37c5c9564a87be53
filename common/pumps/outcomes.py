"""How runs end: recorded first, then told on the bus, never forgotten in between. All of it in the desk's thread."""

from collections.abc import Mapping

from common.errors import RigbusError
from common.log_events import LogEvent
from common.pumps import views
from common.pumps.limits import Use, left, used
from common.pumps.pump import Job, Pump
from common.pumps.records import Records, Row
from common.pumps.run import Outcome
from common.runtime import Runtime

COMMIT_S = 1.0  # the journal holds a frame by then, or something is wrong with it


class Outcomes:
    """last: pump → its newest run that has ended. left: pump → what the day's bounds leave. Others may read these."""

    def __init__(self, rt: Runtime, pumps: Mapping[str, Pump], records: Records) -> None:
        """Closes what an earlier process left open. Raises RigbusError."""
        self._rt, self._pumps, self._records = rt, pumps, records
        self._unrecorded: list[tuple[Pump, Job, Outcome]] = []
        self._told: dict[tuple[str, str], int] = {}  # published, and maybe not yet in the journal: seq
        self._close_open_intents()
        self._tell()
        self.last: dict[str, Row | None] = {name: records.last_run(name) for name in pumps}
        self.left: dict[str, Use] = {name: self.left_of(name) for name in pumps}

    @property
    def complete(self) -> bool:
        """Whether every run that has ended is on the disk."""
        return not self._unrecorded

    def left_of(self, name: str) -> Use:
        return left(self._pumps[name].cfg, used(self._records.ended(name), self._records.now()))

    def end(self, pump: Pump, job: Job, outcome: Outcome) -> None:
        """Recorded, told, then the pump is free."""
        name, plan = pump.cfg.name, job.run.plan
        ml = None if plan.ml is None else plan.ml * outcome.steps / plan.steps
        try:
            self._records.end(job.command_id, name, outcome, ml)
        except RigbusError as e:
            self._rt.log.seldom("outcome", "an outcome cannot be recorded, it is tried again", reason=e)
            self._unrecorded.append((pump, job, outcome))
        else:
            self.last[name], self.left[name] = self._records.last_run(name), self.left_of(name)
            self._tell()
        finally:
            pump.job = None

    def again(self) -> None:
        """Once a second: what could not be written or told, and the day that moves on. Raises RigbusError."""
        waiting, self._unrecorded = self._unrecorded, []
        for pump, job, outcome in waiting:
            self.end(pump, job, outcome)
        self._tell()
        for name in self._pumps:
            self.left[name] = self.left_of(name)

    def _tell(self) -> None:
        """Publishes the outcomes that were not; each is ticked off when the journal holds it."""
        for row in self._records.untold():
            key = row.command_id, row.pump
            if key not in self._told:
                self._told[key] = self._rt.publish(views.ended(row))
                self._log(row)
            if self._rt.committed(self._told[key], COMMIT_S):
                self._records.told(*key)
                del self._told[key]

    def _log(self, row: Row) -> None:
        if row.state == "done":
            self._rt.log.noted(
                LogEvent.PUMP_OUTCOME, "a run is done", pump=row.pump, steps=row.steps, command_id=row.command_id,
                outcome=row.state, action=row.action,
            )  # fmt: skip
        else:
            self._rt.log.warning(
                "a run was stopped", event=LogEvent.PUMP_OUTCOME,
                also={"command_id": row.command_id, "outcome": row.state, "action": row.action},
                pump=row.pump, reason=row.reason, steps=row.steps,
                planned=row.planned_steps, steps_are="exact" if row.exact else "at least",
            )  # fmt: skip

    def _close_open_intents(self) -> None:
        """A run that a crash cut off is never resumed; its steps are those that it had counted."""
        for row, same_boot in self._records.open_intents():
            pump = self._pumps.get(row.pump)
            steps = pump.progress.of(row.command_id) if pump is not None else 0
            share = steps / row.planned_steps if row.planned_steps else 0.0
            ml = None if row.planned_ml is None else row.planned_ml * share
            outcome = Outcome("crash", steps, (row.planned_s or 0.0) * share)
            self._records.end(row.command_id, row.pump, outcome, ml, exact=same_boot and pump is not None)
