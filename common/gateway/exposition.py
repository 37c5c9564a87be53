"""The rig's figures in Prometheus's text format, from the sections of the status. Pure.

Names end in their base unit, counters in _total. What is not known has no sample: an absent series, never a 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Map = Mapping[str, Any]
Sample = tuple[Mapping[str, str], Any]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PERCENTILES = (("p50", "50"), ("p99", "99"), ("p999", "99.9"), ("max", "100"))
_US, _NS = 1e-6, 1e-9


class Page:
    """Metrics in the order they are added."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def put(self, name: str, kind: str, text: str, samples: Iterable[Sample]) -> None:
        """One metric with its samples; without any that is known it is left out."""
        known = [(labels, value) for labels, value in samples if isinstance(value, int | float)]
        if not known:
            return
        self._lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        self._lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in known]

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def exposition(sections: Map, t: int, cpu_s: Mapping[str, float], sources: Sequence[Map]) -> str:
    """t: wall ns of the sections. cpu_s: seconds by daemon. sources: `src` and the sums of its streams, in frames."""
    page = Page()
    rig = sections["rig"]
    page.put("rigbus_info", "gauge", "The rig and its version.", [({k: rig[k] for k in ("node", "version")}, 1)])
    page.put("rigbus_clock_set", "gauge", "Whether the rig's clock is set.", [({}, rig["clock_set"])])
    _daemons(page, sections["daemons"] or {}, cpu_s)
    _streams(page, sections["streams"] or {}, t)
    _account(page, sections["account"], sources)
    _keeping(page, sections)
    _devices(page, sections)
    return page.text()


def _daemons(page: Page, daemons: Map, cpu_s: Mapping[str, float]) -> None:
    def each(value: Any) -> list[Sample]:
        return [({"daemon": name}, value(daemon)) for name, daemon in daemons.items()]

    page.put("rigbus_daemon_up", "gauge", "1 for a daemon that runs and was heard in the last 3 s.",
             each(lambda d: d["state"] == "running"))  # fmt: skip
    page.put("rigbus_daemon_cpu_seconds_total", "counter", "CPU time of a daemon's process.",
             [({"daemon": name}, value) for name, value in cpu_s.items()])  # fmt: skip
    page.put("rigbus_daemon_memory_bytes", "gauge", "Resident memory of a daemon.", each(lambda d: d["rss_bytes"]))
    page.put("rigbus_daemon_missed_ticks_total", "counter", "Deadlines that a daemon's loop has missed.",
             each(lambda d: d["missed_ticks"]))  # fmt: skip
    page.put(
        "rigbus_daemon_lateness_seconds", "gauge", "Lateness of a daemon's loop in the last second; 100 is the worst.",
        [({"daemon": name, "percentile": percentile}, _scaled((d["lateness_us"] or {}).get(key), _US))
         for name, d in daemons.items() for key, percentile in _PERCENTILES],
    )  # fmt: skip
    for key, unit, text in (("frames", "frames", "Frames"), ("bytes", "bytes", "Bytes")):
        page.put(f"rigbus_journal_{unit}", "gauge", f"{text} in a daemon's journal.",
                 each(lambda d, key=key: (d["journal"] or {}).get(key)))  # fmt: skip


def _streams(page: Page, streams: Map, t: int) -> None:
    def each(value: Any) -> list[Sample]:
        return [({"stream": name, "kind": s["kind"]}, value(s)) for name, s in streams.items()]

    page.put("rigbus_stream_rate_hertz", "gauge", "Frames a second of a stream.", each(lambda s: s["rate_hz"]))
    page.put("rigbus_stream_nominal_rate_hertz", "gauge", "Frames a second as configured.",
             each(lambda s: s["nominal_hz"]))  # fmt: skip
    page.put("rigbus_stream_last_time_seconds", "gauge", "When a stream's newest frame began, since 1970.",
             each(lambda s: _scaled(s["heard_t"], _NS)))  # fmt: skip
    page.put("rigbus_stream_lag_seconds", "gauge", "Age of a stream's newest frame.",
             each(lambda s: None if s["heard_t"] is None else max(0.0, (t - s["heard_t"]) * _NS)))  # fmt: skip
    page.put("rigbus_stream_stale", "gauge", "1 for a stream that should have been heard.",
             each(lambda s: None if s["state"] == "never" else s["state"] == "stale"))  # fmt: skip


def _keeping(page: Page, sections: Map) -> None:
    record, storage = sections["record"] or {}, sections["storage"] or {}
    outputs = sections["outputs"] or []
    page.put("rigbus_record_lag_seconds", "gauge", "How far the database is behind.", [({}, record.get("behind_s"))])
    page.put("rigbus_record_behind_frames", "gauge", "Frames that are published and not yet stored.",
             [({}, record.get("behind_frames"))])  # fmt: skip

    def each(value: Any) -> list[Sample]:
        return [({"output": output["name"]}, value(output)) for output in outputs]

    page.put("rigbus_output_writing", "gauge", "1 for an output that is delivering, 0 for one that waits.",
             each(lambda o: None if o["state"] is None else o["state"] == "writing"))  # fmt: skip
    page.put("rigbus_output_behind_rows", "gauge", "Rows that an output has not got yet.", each(lambda o: o["behind"]))
    page.put("rigbus_output_lag_seconds", "gauge", "Age of the oldest of them.", each(lambda o: o["behind_s"]))
    for name in ("delivered", "refused"):
        page.put(f"rigbus_output_{name}_rows_total", "counter", f"Rows {name} since the sink's start.",
                 each(lambda o, name=name: o[name]))  # fmt: skip
    page.put("rigbus_quarantine_rows", "gauge", "Rows that an output could not take.", each(lambda o: o["quarantine"]))
    page.put("rigbus_disk_size_bytes", "gauge", "Size of the disk of the database.", [({}, storage.get("disk_bytes"))])
    page.put("rigbus_disk_free_bytes", "gauge", "Free of it.", [({}, storage.get("free_bytes"))])
    page.put("rigbus_store_bytes", "gauge", "Size of the database with its log.", [({}, storage.get("store_bytes"))])


def _account(page: Page, account: Map | None, sources: Sequence[Map]) -> None:
    texts = {"published": "Frames published.", "stored": "Frames stored.", "lost": "Frames accounted for as lost."}
    for name, text in texts.items():
        page.put(f"rigbus_frames_{name}_total", "counter", text, [({"src": s["src"]}, s[name]) for s in sources])
    page.put("rigbus_frames_pending", "gauge", "Frames that are on their way.",
             [({"src": s["src"]}, s["pending"]) for s in sources])  # fmt: skip
    page.put("rigbus_frames_unknown", "gauge", "Ranges of frames that nobody knows the number of.",
             [({"src": s["src"]}, s["unknown"]) for s in sources])  # fmt: skip
    if account is None:
        return
    page.put("rigbus_account_ok", "gauge", "1 where published = stored + lost + pending.", [({}, account["ok"])])
    losses = [({k: str(d[k]) for k in ("stream", "unit", "cause")}, d["count"]) for d in account["devices"]]
    page.put("rigbus_lost_total", "counter", "Data that never became a frame, each in its unit.", losses)
    page.put("rigbus_lost_unknown", "gauge", "1 where some of it is lost in a number that nobody knows.",
             [(labels, 1) for labels, count in losses if count is None])  # fmt: skip


def _devices(page: Page, sections: Map) -> None:
    meters = (sections["pulse"] or {}).get("channels", [])
    counting = ((sections["daemons"] or {}).get("pulse") or {}).get("state") == "running"
    page.put("rigbus_pulses_total", "counter", "Lifetime count of a meter's pulses.",
             [({"channel": m["name"]}, m["total"]) for m in meters])  # fmt: skip
    page.put("rigbus_power_watts", "gauge", "Mean power between the last two pulses.",
             [({"channel": m["name"]}, m["watts"]) for m in meters if counting])  # fmt: skip
    page.put(
        "rigbus_temperature_celsius", "gauge", "Temperature of a thermostat's channel.",
        [({"device": d["name"], "channel": str(c["channel"])}, c["temperature"])
         for d in (sections["thermostat"] or {}).get("devices", []) for c in d["channels"]],
    )  # fmt: skip
    sensors = (sections["vibration"] or {}).get("sensors", [])
    page.put("rigbus_sample_rate_hertz", "gauge", "Samples a second, fitted to the rig's clock.",
             [({"sensor": s["name"]}, s["rate_hz"]) for s in sensors])  # fmt: skip
    page.put("rigbus_samples_clipped_total", "counter", "Samples at the end of the range, since the gateway's start.",
             [({"sensor": s["name"]}, s["clipped"]) for s in sensors])  # fmt: skip
    latches = [({"device": name}, sections[name]["locked"]) for name in ("pumps", "arm") if sections[name]]
    page.put("rigbus_stop_latched", "gauge", "1 while the emergency stop is set.", latches)
    page.put("rigbus_attention", "gauge", "What is not normal, by state.",
             [({"state": state}, sum(a["state"] == state for a in sections["attention"] or []))
              for state in ("latched", "fault", "warning")])  # fmt: skip


def _scaled(value: Any, factor: float) -> float | None:
    return None if value is None else value * factor


def _number(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool | int) else repr(float(value))


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return str(value).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
