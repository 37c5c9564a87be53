"""Sections `pumps`, `arm`: what the daemons say, and since when."""

import json
from typing import Any

from common.arm.commands import LIMITS_DEG
from common.gateway.sections.context import Context


def pumps(c: Context, _: dict[str, Any]) -> dict[str, Any] | None:
    cfg = c.config.pump
    if cfg is None or not cfg.enabled:
        return None
    said = c.asker.last("pump")
    by_name = {pump["pump"]: pump for pump in said.get("pumps", [])}
    out = []
    for pump in cfg.pump:
        known = by_name.get(pump.name, {})
        run, (ml, runs) = known.get("run"), c.books.pumped.get(pump.name, (None, 0))
        out.append({
            "pump": pump.name, "driver": cfg.driver, "steps_per_ml": known.get("steps_per_ml"), "max_ml": pump.max_ml,
            "max_s": pump.max_s, "hz": pump.hz, "ramp_s": pump.ramp_s,
            "run": {**run, "began_t": c.seen.began.get(pump.name)} if run else None,
            "last": known.get("last"), "today_ml": ml if runs else 0.0, "today_runs": runs,
        })  # fmt: skip
    events = list(reversed(c.seen.pump_events))
    return {**_latch(c, "pump", said), "pumps": out, "events": events}


def arm(c: Context, _: dict[str, Any]) -> dict[str, Any] | None:
    cfg = c.config.dds
    if cfg is None or not cfg.enabled:
        return None
    said = c.asker.last("dds")
    known, seen, health = said.get("arm", {}), c.seen.angles, c.seen.health.get("dds")
    latch = _latch(c, "dds", said)
    return {
        "locked": latch["locked"], "locked_by": latch["locked_by"], "locked_t": latch["locked_t"],
        "angles": seen.angles if seen else known.get("angles"), "angles_t": seen.t if seen else None,
        "targets": known.get("targets", {}), "state": known.get("state", {}), "gripper_unit": cfg.gripper_unit,
        "limits": [[-limit, limit] for limit in LIMITS_DEG],
        "rate_hz": health[0]["rates"].get("arm/feedback/") if health else None, "allow_motion": cfg.allow_motion,
    }  # fmt: skip


def _latch(c: Context, src: str, said: dict[str, Any]) -> dict[str, Any]:
    """locked: None where the daemon was never heard. locked_t: as the latch on the disk has it, else as first seen."""
    locked = said.get("locked")
    first = c.since.look(f"{src}.locked", locked, c.t)
    t = None
    if locked:
        try:
            t = int(json.loads((c.folders.data / src / "estop").read_text())["t_ns"])
        except (OSError, ValueError, KeyError, TypeError):
            t = first
    return {"locked": locked, "locked_by": said.get("locked_by", ""), "locked_t": t}
