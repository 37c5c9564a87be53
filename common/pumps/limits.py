"""The bounds of a pump: one run, and any 24 hours. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from common.config.schema import PumpLines
from common.pumps.plan import Plan

DAY_NS = 24 * 3600 * 10**9


class Use(NamedTuple):
    """What was moved, by one run or by many; ml 0 where it was not known."""

    steps: float
    seconds: float
    ml: float


class Ended(NamedTuple):
    """A run of the past. boot: which boot it ended in. boot_ns, wall_ns: when, CLOCK_BOOTTIME and wall ns."""

    use: Use
    boot: str
    boot_ns: int
    wall_ns: int


class Now(NamedTuple):
    """boot_wall_ns: wall time at which this boot began, as seen when the daemon first ran in it.

    Kept from then on: setting the wall clock later makes no run of the past older.
    """

    boot: str
    boot_ns: int
    boot_wall_ns: int


def used(runs: Iterable[Ended], now: Now) -> Use:
    """The sum over those that ended in the last 24 hours.

    In this boot by its own clock. Earlier ones by wall time, as it was at the first start in this boot; one that seems
    to lie ahead counts.
    """
    steps = seconds = ml = 0.0
    for run in runs:
        age = now.boot_ns - run.boot_ns if run.boot == now.boot else now.boot_wall_ns + now.boot_ns - run.wall_ns
        if age < DAY_NS:
            steps, seconds, ml = steps + run.use.steps, seconds + run.use.seconds, ml + run.use.ml
    return Use(steps, seconds, ml)


def left(cfg: PumpLines, past: Use) -> Use:
    """What the day's bounds leave."""
    return Use(
        max(0, cfg.max_steps_day - past.steps),
        max(0.0, cfg.max_s_day - past.seconds),
        max(0.0, cfg.max_ml_day - past.ml),
    )


def refusal(cfg: PumpLines, plan: Plan, rest: Use) -> str | None:
    """Why a run may not be, or None; rest: what is left of the day."""
    rows = (
        ("steps", plan.steps, cfg.max_steps, rest.steps),
        ("s", plan.seconds, cfg.max_s, rest.seconds),
        ("ml", plan.ml or 0.0, cfg.max_ml, rest.ml),
    )
    for unit, planned, one, day in rows:
        # a billionth is rounding, and nothing of it could be moved
        if planned > one * (1 + 1e-9):
            return f"limit: {planned:g} {unit} is over max_{unit} = {one:g} of {cfg.name}"
        if planned > day * (1 + 1e-9):
            return f"limit: {planned:g} {unit} is over the {day:g} left of max_{unit}_day of {cfg.name}"
    return None
