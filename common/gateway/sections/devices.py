"""Sections `pulse`, `vibration`, `thermostat`."""

from typing import Any

from common.gateway.sections.context import Context

_FIELDS = ("channel", "temperature", "i_tec", "pid_engaged")


def pulse(c: Context, _: dict[str, Any]) -> dict[str, Any] | None:
    if c.config.pulse is None or not c.config.pulse.enabled:
        return None
    channels = []
    for channel in c.config.pulse.channel:
        edge = c.seen.edges.get(channel.name)
        imp, first = channel.imp_per_kwh, c.books.day_totals.get(channel.name)
        watts = 3.6e6 * edge.pulses / (imp * edge.gap_s) if edge and edge.gap_s else None
        today = (edge.total - first) / imp if edge and first is not None else None
        channels.append({
            "name": channel.name, "imp_per_kwh": imp, "total": edge.total if edge else None,
            "watts": round(watts, 3) if watts is not None else None, "edge_t": edge.t if edge else None,
            "gap_s": edge.gap_s if edge else None, "kwh_today": today,
        })  # fmt: skip
    return {"channels": channels}


def vibration(c: Context, _: dict[str, Any]) -> dict[str, Any] | None:
    cfg = c.config.highspeed
    if cfg is None or not cfg.enabled:
        return None
    said = c.asker.fields("highspeed")
    names = [cfg.name, *sorted(set(c.seen.sensors) - {cfg.name})]
    sensors = []
    for name in names:
        seen, own = c.seen.sensors.get(name), name == cfg.name
        sensors.append({
            "name": name, "axes": seen.axes if seen else None, "unit": seen.unit if seen else None,
            "rate_hz": seen.rate_hz if seen else None, "nominal_hz": seen.nominal_hz if seen else cfg.rate_hz,
            "range": cfg.range_g if own else None, "clipped": seen.clipped if seen else 0,
            "state": said.get("state") if own else None, "fault": said.get("fault", "") if own else "",
        })  # fmt: skip
    return {"sensors": sensors}


def thermostat(c: Context, _: dict[str, Any]) -> dict[str, Any] | None:
    cfg = c.config.thermostat
    if cfg is None or not cfg.enabled:
        return None
    said = {device.get("device"): device for device in c.asker.fields("thermostat").get("devices", [])}
    devices = []
    for device in cfg.device:
        status, readings = said.get(device.name, {}), c.seen.readings.get(device.name)
        channels = []
        for reading in sorted(readings.channels if readings else [], key=lambda r: str(r.get("channel"))):
            known = {field: reading.get(field) for field in _FIELDS}
            channels.append(
                {**reading, **known, "t": readings.t if readings else None, "target": reading.get("target")}
            )
        devices.append({
            "name": device.name, "address": f"{device.host}:{device.port}", "connected": status.get("connected"),
            "last_error": status.get("last_error", ""), "tries": status.get("tries"), "period_s": device.period_s,
            "channels": channels,
        })  # fmt: skip
    return {"devices": devices}
