"""Sections `rig`, `daemons`, `streams`."""

import time
from typing import Any

from common import rig as table
from common.config.schema import Config
from common.gateway.sections.context import Context
from common.topics import TOPICS

SILENT_S = 3.0  # three health frames


def rig(c: Context, _: dict[str, Any]) -> dict[str, Any]:
    local = time.localtime(c.t // 10**9)
    stops = [name for name, section in (("pumps", c.config.pump), ("arm", c.config.dds)) if _on(section)]
    return {
        "node": c.config.node, "version": c.version, "page": c.page, "started_t": c.started_t,
        "utc_offset_s": local.tm_gmtoff, "zone": local.tm_zone, "clock_set": c.clock_set, "control": c.control,
        "stops": stops,
    }  # fmt: skip


def _on(section: Any) -> bool:
    return section is not None and bool(section.enabled)


def daemons(c: Context, _: dict[str, Any]) -> dict[str, Any]:
    """Those of the configuration, and whatever else sends health: applications that log into the rig."""
    names = [daemon.name for daemon in table.configured(c.config)]
    out = {}
    for name in [*names, *sorted(set(c.seen.health) - set(names))]:
        health, at = c.seen.health.get(name, ({}, 0.0))
        closed = bool(health.get("closed"))
        state = "running" if health and not closed and c.at - at <= SILENT_S else "silent"
        if state == "silent" and name in names and name not in c.alive:
            state = "down"
        if state == "silent" and name not in names and closed:
            continue  # an application that has ended
        fields = ("status", "pid", "cpu_pct", "rss_bytes", "rates", "lateness_us", "missed_ticks", "journal")
        out[name] = {"state": state, "heard_t": health.get("t"), **{field: health.get(field) for field in fields}}
    return out


def _nominal(config: Config) -> dict[str, tuple[str, str, float | None]]:
    """Topic → kind, source, frames a second as configured, of all that is to be expected."""
    out: dict[str, tuple[str, str, float | None]] = {}
    if config.pulse and config.pulse.enabled:
        out |= {f"pulse/{channel.name}/": ("pulse", "pulse", None) for channel in config.pulse.channel}
    if (h := config.highspeed) and h.enabled:
        out[f"samples/{h.name}/"] = "samples", "highspeed", round(1000 / h.frame_ms, 3)
    if config.thermostat and config.thermostat.enabled:
        for device in config.thermostat.device:
            rate = round(1 / device.period_s, 4) if device.mode == "poll" else None
            out[f"thermostat/{device.name}/"] = "thermostat", "thermostat", rate
    if config.pump and config.pump.enabled:
        out |= {f"pump/{pump.name}/": ("pump", "pump", None) for pump in config.pump.pump}
    if config.dds and config.dds.enabled:
        out["arm/feedback/"] = "arm_feedback", "dds", None
    for daemon in table.configured(config):
        out[f"health/{daemon.name}/"] = "health", daemon.name, 1.0
    return out


def streams(c: Context, _: dict[str, Any]) -> dict[str, Any]:
    expected = _nominal(c.config)
    out = {}
    for topic in sorted({*expected, *c.seen.topics}):
        seen = c.seen.topics.get(topic)
        if topic not in expected and seen and c.seen.health.get(seen.src, ({}, 0.0))[0].get("closed"):
            continue  # of an application that has ended
        kind, src, nominal = expected.get(topic, (seen.kind if seen else "", seen.src if seen else "", None))
        limit = limit_s(kind, nominal)
        # a topic without a period is as fresh as its daemon is
        age = c.at - seen.at if seen else None
        if limit is None:
            age = c.seen.age_s(src) if c.seen.age_s(src) < float("inf") else None
        state = "never" if age is None else "stale" if age > (limit or SILENT_S) else "normal"
        health = c.seen.health.get(src)
        rate = health[0]["rates"].get(topic) if health and c.at - health[1] <= SILENT_S else None
        if kind == "health":
            rate = 1.0 if state == "normal" else 0.0
        out[topic] = {
            "kind": kind, "src": src, "rate_hz": rate, "nominal_hz": nominal, "heard_t": seen.t if seen else None,
            "limit_s": limit, "state": state,
        }  # fmt: skip
    return out


def limit_s(kind: str, nominal_hz: float | None) -> float | None:
    """Older than this is stale; None: by the health of its daemon."""
    row = TOPICS.get(kind)
    period = 1 / nominal_hz if nominal_hz else row.period_s if row else None
    return max(3 * period, 1.0) if period else None
