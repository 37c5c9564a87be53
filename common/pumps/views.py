"""How commands and outcomes look to others: frames for the bus, maps for replies."""

from typing import Any

from msgspec import UNSET

from common.frames import Pump as PumpFrame
from common.pumps.plan import Plan
from common.pumps.records import Row
from common.pumps.requests import Motion


def intended(motion: Motion, pump: str, event: Any, plan: Plan) -> PumpFrame:
    """`intent` and `started`: what is planned."""
    return PumpFrame(
        pump=pump, event=event, action=motion.action, direction=motion.direction, command_id=motion.command_id,
        ml=UNSET if plan.ml is None else plan.ml, seconds=plan.seconds, hz=plan.hz, steps=plan.steps,
    )  # fmt: skip


def refused(motion: Motion, pump: str, reason: str) -> PumpFrame:
    """`refused`: what was asked for."""
    return PumpFrame(
        pump=pump, event="refused", action=motion.action, direction=motion.direction, command_id=motion.command_id,
        ml=UNSET if motion.ml is None else motion.ml, seconds=UNSET if motion.seconds is None else motion.seconds,
        hz=UNSET if motion.hz is None else motion.hz, reason=reason,
    )  # fmt: skip


def ended(row: Row) -> PumpFrame:
    """`done` or `stopped`: what came of it."""
    return PumpFrame(
        pump=row.pump, event="done" if row.state == "done" else "stopped", action=row.action, direction=row.direction,
        command_id=row.command_id, ml=UNSET if row.ml is None else row.ml,
        seconds=UNSET if row.seconds is None else row.seconds, hz=UNSET if row.hz is None else row.hz,
        steps=UNSET if row.steps is None else row.steps, reason=UNSET if row.reason is None else row.reason,
    )  # fmt: skip


def event(pump: str, name: Any, action: str, **more: Any) -> PumpFrame:
    """`estop`, `unlocked`, `calibrated`: of no motion."""
    return PumpFrame(pump=pump, event=name, action=action, direction="", **{"command_id": "", **more})


def as_map(row: Row) -> dict[str, Any]:
    """A row for a reply; `request` is the daemon's own."""
    fields = row._asdict()
    del fields["request"]
    return fields
