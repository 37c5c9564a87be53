"""The invented status of fake_gateway.py: all sections of docs/http.md, with the values of the design's pictures."""

import math
from typing import Any

S = 10**9
PERIODIC = {"samples/vib0/": ("samples", "highspeed", 10.0), "thermostat/tec/": ("thermostat", "thermostat", 8.4)}
OTHER = {
    "pulse/import/": ("pulse", "pulse"),
    "pulse/generate/": ("pulse", "pulse"),
    "pulse/export/": ("pulse", "pulse"),
    "pump/water/": ("pump", "pump"),
    "arm/feedback/": ("arm_feedback", "dds"),
}
DAEMONS = ("bus", "sink", "pulse", "highspeed", "thermostat", "pump", "dds")


def sections(state: str, now: int) -> dict[str, Any]:
    """state: of fake_gateway.py. now: wall ns."""
    silent = {"thermostat"} if state == "thermostat" else set()
    never = state == "waiting"
    return {
        "rig": {
            "node": "rig1", "version": "0.1.0", "page": "fake", "started_t": now - 3600 * S, "utc_offset_s": 3600,
            "zone": "CET", "clock_set": True, "control": True, "stops": ["pumps", "arm"],
        },
        "daemons": {name: _daemon(name in silent, now) for name in DAEMONS},
        "streams": _streams(silent, never, now),
        "pulse": {"channels": [_channel("import", 1284, 9.42, 0.8, now), _channel("generate", 412, 3.07, 4.0, now),
                               _channel("export", 60, 0.81, 100.0, now)]},
        "vibration": {"sensors": [{"name": "vib0", "axes": ["x", "y", "z"], "unit": "g", "rate_hz": 799.9,
                                   "nominal_hz": 800.0, "range": 2, "clipped": 0, "state": "running", "fault": ""}]},
        "thermostat": {"devices": [_thermostat(never, now)]},
        "pumps": _pumps(state, now),
        "arm": _arm(now),
        "record": {"behind_s": 0.6, "behind_frames": 3, "stored_frames": 18_204_325, "committed_t": now - S // 2},
        "outputs": _outputs(state, now),
        "account": _account(state, now),
        "storage": {"disk_bytes": 29_100_000_000, "free_bytes": 17_900_000_000, "store_bytes": 8_400_000_000,
                    "written_today_bytes": 1_900_000_000, "written_day_bytes": 3_100_000_000,
                    "budget_day_bytes": 4_000_000_000, "card_years": 7.2},
        "attention": _attention(state, now),
    }  # fmt: skip


def _daemon(silent: bool, now: int) -> dict[str, Any]:
    return {
        "state": "silent" if silent else "running", "heard_t": now - (14 * S if silent else S // 2), "status": "",
        "pid": 1, "cpu_pct": 1.0, "rss_bytes": 27_000_000, "rates": {}, "missed_ticks": 0,
        "lateness_us": {"p50": 60, "p99": 212, "p999": 400, "max": 900}, "journal": {"frames": 1, "bytes": 1},
    }  # fmt: skip


def _streams(silent: set[str], never: bool, now: int) -> dict[str, Any]:
    out = {}
    for topic, (kind, src, rate) in PERIODIC.items():
        out[topic] = {"kind": kind, "src": src, "rate_hz": rate, "nominal_hz": rate, "limit_s": 1.0,
                      "heard_t": now - (14 * S if src in silent else S // 20),
                      "state": "stale" if src in silent else "normal"}  # fmt: skip
    for topic, (kind, src) in OTHER.items():
        out[topic] = {"kind": kind, "src": src, "rate_hz": 1.0, "nominal_hz": None, "limit_s": None,
                      "heard_t": now - S, "state": "normal"}  # fmt: skip
    if never:
        for stream in out.values():
            stream |= {"state": "never", "heard_t": None}
    return out


def _channel(name: str, watts: float, kwh: float, since_s: float, now: int) -> dict[str, Any]:
    return {"name": name, "imp_per_kwh": 1000, "total": int(kwh * 1000), "watts": watts, "gap_s": 3600 / watts,
            "edge_t": now - int(since_s * S), "kwh_today": kwh}  # fmt: skip


def _thermostat(never: bool, now: int) -> dict[str, Any]:
    wave = 0.008 * math.sin(now / S / 5)
    rows = [(0, 25.0, 0.412), (1, 18.5, -0.138)]
    channels = [{"channel": channel, "t": now, "temperature": target + wave, "i_tec": 1.5 + 0.4 * amps,
                 "tec_i": amps, "pid_engaged": True, "target": target} for channel, target, amps in rows]  # fmt: skip
    return {"name": "tec", "address": "192.168.1.26:23", "connected": not never, "tries": 6 if never else 0,
            "last_error": "refused" if never else "", "period_s": 0.12,
            "channels": [] if never else channels}  # fmt: skip


def _pumps(state: str, now: int) -> dict[str, Any]:
    def pump(name: str, ml: float, runs: int, **more: Any) -> dict[str, Any]:
        return {"pump": name, "driver": "sim", "steps_per_ml": 3000.0, "max_ml": 250.0, "max_s": 60.0, "hz": 10_000.0,
                "ramp_s": 0.0, "run": None, "last": None, "today_ml": ml, "today_runs": runs, **more}  # fmt: skip

    def last(name: str, ml: float, planned: float, end: str, reason: str | None) -> dict[str, Any]:
        return {"command_id": f"page-{name}", "pump": name, "action": "dispense", "direction": "forward",
                "state": end, "reason": reason, "ml": ml, "planned_ml": planned, "seconds": ml * 0.3,
                "planned_s": planned * 0.3}  # fmt: skip

    def event(age_s: float, name: str, what: str, ml: float | None, by: str, reason: str | None = None) -> dict:
        return {"t": now - int(age_s * S), "pump": name, "event": what, "action": "dispense", "direction": "forward",
                "ml": ml, "seconds": None, "command_id": f"{by}-{name}", "reason": reason}  # fmt: skip

    latched = state == "latched"
    running = state in ("warning", "fault")
    run = {"command_id": "page-water", "pump": "water", "action": "dispense", "direction": "forward", "steps": 37_200,
           "planned_steps": 75_000, "planned_s": 7.6, "planned_ml": 25.0, "began_t": now - int(3.8 * S)}  # fmt: skip
    water = pump("water", 186.5, 9, run=run if running else None,
                 last=last("water", 12.4, 25.0, "stopped", "estop") if latched else None)  # fmt: skip
    food = pump("food", 42.0, 2, last=last("food", 10.0, 10.0, "done", None))
    events = [event(9, "water", "intent", 25.0, "page"), event(716, "food", "done", 10.0, "page"),
              event(717, "food", "intent", 10.0, "page"), event(2000, "water", "done", 25.0, "script"),
              event(5000, "water", "refused", None, "script", "busy")]  # fmt: skip
    if latched:
        events.insert(0, event(27, "water", "stopped", 12.4, "page", "estop"))
    return {"locked": False, "locked_by": "", "locked_t": None, "pumps": [water, food], "events": events}


def _arm(now: int) -> dict[str, Any]:
    angles = [12.4, -38.0, 58.7, 0.1, 22.4, -89.8, 14.0]
    errors = [0.0, 0.2, -2.3, 0.1, -0.1, 0.2, 0.0]
    limits = [135, 90, 90, 135, 90, 135, 65]
    return {
        "locked": False, "locked_by": "", "locked_t": None, "angles": angles, "angles_t": now,
        "targets": {str(i): a - e for i, (a, e) in enumerate(zip(angles, errors, strict=True))},
        "state": {"enable_status": 1, "power_status": 1, "error_status": 0}, "gripper_unit": "raw",
        "limits": [[-limit, limit] for limit in limits], "rate_hz": 19.0, "allow_motion": False,
    }  # fmt: skip


def _outputs(state: str, now: int) -> list[dict[str, Any]]:
    def output(name: str, behind_s: float, **more: Any) -> dict[str, Any]:
        return {"name": name, "state": "writing", "reason": "", "since_t": None, "behind": 0, "behind_s": behind_s,
                "delivered": 120_400, "refused": 0, "quarantine": 0, **more}  # fmt: skip

    late = {"state": "waiting", "reason": "server does not answer", "since_t": now - 252 * S, "behind": 31_204,
            "quarantine": 3}  # fmt: skip
    influx = output("influx", 252.0, **late) if state in ("warning", "fault") else output("influx", 1.1)
    return [output("csv", 0.8), influx, output("rollups", 12.0)]


def _account(state: str, now: int) -> dict[str, Any]:
    def row(age_s: int, stream: str, unit: str, count: int | None, cause: str, s: float | None) -> dict[str, Any]:
        start = now // (60 * S) * 60 * S - age_s * S
        return {"t": start, "from_t": start, "to_t": None if s is None else start + int(s * S), "stream": stream,
                "unit": unit, "count": count, "cause": cause, "detail": ""}  # fmt: skip

    ledger = [
        row(151, "samples/vib0/", "sample", 12, "fifo_overrun", 0.015),
        row(12_600, "samples/vib0/", "sample", 170, "no_answer", 0.21),
        row(17_000, "thermostat/tec/", "poll", 4, "device_busy", 4.0),
        row(44_000, "pulse/import/", "edge", 1, "kernel_buffer", None),
        row(226_000, "samples/vib0/", "frame", 6, "killed", 0.6),
        row(326_000, "samples/vib0/", "frame", None, "power_cut", 31.0),
        *[row(400_000 + 5000 * i, "pulse/export/", "edge", i, "kernel_buffer", 0.2) for i in range(1, 8)],
    ]
    units = (("sample", 182), ("poll", 4), ("edge", 1))
    return {
        "published": 18_204_331, "stored": 18_204_325, "lost": 6 if state != "fault" else 4, "pending": 0,
        "unknown": 0, "ok": state != "fault", "ledger": ledger,
        "devices": [{"stream": "", "unit": unit, "count": count, "cause": ""} for unit, count in units],
    }  # fmt: skip


def _attention(state: str, now: int) -> list[dict[str, Any]]:
    def item(key: str, level: str, section: str, what: str, detail: str, age_s: int, do: str = "") -> dict[str, Any]:
        return {"id": key, "state": level, "section": section, "what": what, "detail": detail, "do": do,
                "since_t": now // S * S - age_s * S}  # fmt: skip

    late = item("influx", "warning", "outputs", "InfluxDB is 4 min 12 s behind.",
                "Server does not answer since 14:27:55. 31,204 rows wait in the store, none is lost.", 237)  # fmt: skip
    if state == "warning":
        return [late]
    if state == "fault":
        return [
            item("account", "fault", "account", "The account does not balance: 2 frames.", "", 20,
                 "Please report it with the output of rigbus audit."),
            item("thermostat", "fault", "vibration", "Samples are being lost: 31 in 10 s.",
                 "The machine is too busy to take them in time.", 10),
            late,
            item("disk", "warning", "storage", "The disk is 87 % full.", "Recording goes on.", 5000, "Make room."),
            item("clock", "warning", "rig", "The rig's clock is not set.", "Outputs wait for it.", 30),
        ]  # fmt: skip
    if state == "thermostat":
        return [item("daemon.thermostat", "fault", "thermostat", "The thermostat daemon is silent.",
                     "Nothing is recorded of it.", 14, "See its log.")]  # fmt: skip
    return []
