"""The pump face's questions: which pump is meant, what a command came to, what its calibration is in mL a second."""

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from common.errors import RigbusError
from common.gateway import tables

Map = dict[str, Any]
_OUTCOMES = ("done", "stopped", "refused")
_MOST_EVENTS = 200  # of one command: four a pump
_EVENT = ("t_ns", "pump", "event", "action", "direction", "ml", "seconds", "hz", "steps", "reason")


class Unknown(RigbusError):
    """No such pump."""


class NoRun(RigbusError):
    """No run that a rate could be of."""


def named(name: str, names: Iterable[str]) -> str:
    """The configured pump that is meant: `water_pump`, as AMiGA's records say, is `water` where that is none itself."""
    names = list(names)
    for candidate in (name, name.removesuffix("_pump")):
        if candidate in names:
            return candidate
    raise Unknown(f"unknown pump {name[:64]!r}; there are: {', '.join(names)}")


def new_command_id() -> str:
    return f"http-{secrets.token_hex(8)}"


def ml_per_s(steps_per_ml: float | None, hz: float) -> float | None:
    """What a pump delivers at full speed; None without a calibration."""
    return hz / steps_per_ml if steps_per_ml else None


def measured(last: Mapping[str, Any] | None, pump: str, rate: float) -> tuple[str, float]:
    """(command id, mL) of the run that a rate in mL a second was measured on: the pump's newest, primed to its end.

    The old program kept the rate by itself. Here it means something only with the steps of the run it is of: mL = rate
    × seconds of that run. Raises NoRun where there is none.
    """
    how = "POST /pump/calibrate-seconds, measure, then say ml_per_sec, or ml with run"
    if last is None:
        raise NoRun(f"calibration: {pump} has no run that this rate could be of: {how}")
    if last["action"] != "prime" or last["state"] != "done" or not last["seconds"]:
        raise NoRun(
            f"calibration: the newest run of {pump} ({last['command_id']}: {last['action']}, {last['state']}) is none "
            f"that this rate could be of: {how}"
        )
    return str(last["command_id"]), rate * float(last["seconds"])


def came_to(command_id: str, pumps: list[Map], events: list[Map]) -> Map | None:
    """What is known of a command: from the daemon's status (none: it does not answer) and the store's events.

    state: running, done, stopped, refused; unknown where only the intent is known. None: nobody knows this id.
    """
    runs = [{"pump": p["pump"], **p["run"]} for p in pumps if p["run"] and p["run"]["command_id"] == command_id]
    ended = [p["last"] for p in pumps if p["last"] and p["last"]["command_id"] == command_id]
    if not (runs or ended or events):
        return None
    told = {e["pump"]: e["event"] for e in events} | {
        p["pump"]: p["last"]["state"] for p in pumps if p["last"] in ended
    }
    # of several pumps the worst counts
    states = [state if state in _OUTCOMES else "unknown" for state in told.values()]
    worst = next((state for state in ("refused", "unknown", "stopped", "done") if state in states), "unknown")
    return {"command_id": command_id, "state": "running" if runs else worst, "running": runs, "ended": ended,
            "events": events}  # fmt: skip


def events_of(path: Path, command_id: str) -> list[Map]:
    """The rows of pump_events of a command, oldest first. path: of the store. Raises StoreError."""
    sql = f"SELECT {', '.join(_EVENT)} FROM pump_events WHERE command_id = ? ORDER BY id LIMIT ?"
    rows = tables.ask(path, sql, [command_id, _MOST_EVENTS])
    return [{"t": row.pop("t_ns"), **row} for row in rows]
