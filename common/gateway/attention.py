"""What is not normal, in words: from the sections to a list, worst first. A known loss of the past is no alarm."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from common.gateway.words import count, span, time_of_day

ORDER = {"latched": 0, "fault": 1, "warning": 2}
BEHIND_S = 60.0
RATE_OFF = 0.02
DISK_FULL = 0.85
UNKNOWN_S = 24 * 3600.0
_LOSING_S = 10.0  # a loss that ended so lately counts as one that goes on
_TITLES = {"csv": "CSV", "influx": "InfluxDB", "rollups": "Rollups"}

# each daemon's part in one word: what is not recorded while it is away
_RECORDS = {
    "pulse": "Pulses are", "highspeed": "Vibration is", "thermostat": "Temperatures are", "dds": "The arm is",
    "pump": "Pumps are",
}  # fmt: skip

Sections = Mapping[str, Any]
Item = dict[str, Any]


def attention(made: Sections, t: int) -> list[Item]:
    """made: the sections of the status. t: wall ns. Worst first; `since_t` null: as long as it has been seen."""
    offset_s = made["rig"]["utc_offset_s"]
    rules = (
        _latched,
        _down,
        _losing,
        _account,
        _sensor,
        _record,
        _outputs,
        _quarantine,
        _disk,
        _rate,
        _clock,
        _unknown,
    )
    found = [item for rule in rules for item in rule(made, t, offset_s)]
    return sorted(found, key=lambda item: ORDER[item["state"]])


def _item(id: str, state: str, what: str, detail: str, section: str, since_t: int | None = None, do: str = "") -> Item:
    return {"id": id, "state": state, "what": what, "detail": detail, "since_t": since_t, "do": do, "section": section}


def _latched(made: Sections, _: int, offset_s: int) -> Iterator[Item]:
    sections = {"pumps": "The pumps", "arm": "The arm"}
    locked = [name for name in sections if made[name] and made[name]["locked"]]
    if not locked:
        return
    since = min(made[name]["locked_t"] for name in locked)
    by = made[locked[0]]["locked_by"]
    who = f" ({by})" if by else ""
    parts = []
    if "pumps" in locked:
        ended = [event for event in reversed(made["pumps"]["events"]) if event["event"] == "stopped"
                 and event["reason"] == "estop" and event["t"] >= since - 2_000_000_000]  # fmt: skip
        parts += [f"{event['pump']} ended after {_ml(event)}." for event in ended]
    if "arm" in locked:
        parts.append("Arm commands are refused; a move under way went on to its target.")
    others = [sections[name] for name in sections if made[name] and name not in locked]
    parts += [f"{other} are not stopped." if other == "The pumps" else f"{other} is not stopped." for other in others]
    parts.append("Nothing starts by itself after unlocking.")
    yield _item(
        "latched", "latched", f"Stopped at {time_of_day(since, offset_s)}{who}", " ".join(parts), locked[0], since,
        "Unlock when it is safe.",
    )  # fmt: skip


def _ml(event: Item) -> str:
    if event["ml"] is not None:
        return f"{event['ml']:.1f} mL"
    return "an unknown volume" if event["seconds"] is None else f"{event['seconds']:.1f} s"


def _down(made: Sections, _: int, offset_s: int) -> Iterator[Item]:
    for name, daemon in made["daemons"].items():
        if daemon["state"] == "running" or (daemon["state"] == "silent" and daemon["heard_t"] is None):
            continue
        silent = daemon["state"] == "silent"
        heard = daemon["heard_t"]
        when = f" since {time_of_day(heard, offset_s)}" if heard else ""
        if name == "sink":
            means = "What is measured waits in the journals; nothing is lost until they are full."
        elif name == "bus":
            means = "What is measured waits in the journals; live values stand still."
        else:
            means = f"{_RECORDS[name]} not recorded meanwhile." if name in _RECORDS else ""
        what = f"{name} says nothing{when}" if silent else f"{name} is down{when}"
        do = "It hangs or is stopped: look at its log." if silent else "It starts again by itself; its log says why."
        yield _item(f"down.{name}", "fault", what, means, "daemons", heard, do)


def _losing(made: Sections, t: int, offset_s: int) -> Iterator[Item]:
    """Data is being lost now: the ledger's newest rows, a row a stream and cause."""
    account = made["account"]
    told = set()
    for row in account["ledger"] if account else ():
        key = row["stream"], row["cause"]
        end = row["to_t"] or row["t"]
        if key in told or (t - end) / 1e9 > _LOSING_S or row["cause"] in ("paused", "stopped", "down"):
            continue
        told.add(key)
        how_many = "an unknown number of" if row["count"] is None else count(row["count"])
        units = row["unit"] if row["count"] == 1 else f"{row['unit']}s"
        where, cause = row["stream"].rstrip("/"), row["cause"].replace("_", " ")
        yield _item(
            f"loss.{row['stream']}{row['cause']}", "fault", f"{where} loses data: {cause}",
            f"The last: {how_many} {units} at {time_of_day(row['from_t'] or row['t'], offset_s)}."
            + (f" {row['detail']}" if row["detail"] else ""),
            "account", row["from_t"] or row["t"],
        )  # fmt: skip


def _account(made: Sections, _: int, __: int) -> Iterator[Item]:
    account = made["account"]
    if account is not None and not account["ok"]:
        missing = account["published"] - account["stored"] - account["lost"] - account["pending"]
        yield _item(
            "account", "fault", "The account does not balance",
            f"{count(abs(missing))} frames {'are missing' if missing > 0 else 'too many'} in it.", "account",
            do="rigbus audit says which stream; please report it.",
        )  # fmt: skip


def _sensor(made: Sections, _: int, __: int) -> Iterator[Item]:
    for sensor in (made["vibration"] or {}).get("sensors", ()):
        if sensor["fault"]:
            yield _item(
                f"sensor.{sensor['name']}", "fault", f"{sensor['name']} does not measure", sensor["fault"], "vibration",
                do="rigbus doctor says what is wrong with it.",
            )  # fmt: skip
    for device in (made["thermostat"] or {}).get("devices", ()):
        if device["connected"] is False:
            why = device["last_error"] or "not yet connected"
            yield _item(
                f"thermostat.{device['name']}", "fault", f"{device['name']} is not connected",
                f"{why}. Its polls are counted as lost.", "thermostat", do=f"Look at {device['address']}.",
            )  # fmt: skip


def _record(made: Sections, t: int, offset_s: int) -> Iterator[Item]:
    record, sink = made["record"], made["daemons"].get("sink")
    late = record["behind_s"] is not None and record["behind_s"] > record["limit_s"]
    if late and sink and sink["state"] == "running":
        waits = f"{count(record['behind_frames'])} frames wait" if record["behind_frames"] else "What is measured waits"
        yield _item(
            "record", "warning", f"The store is {span(record['behind_s'])} behind",
            f"{waits} in the journals; nothing is lost until they are full.", "record", record["committed_t"],
            f"The sink says: {sink['status']}",
        )  # fmt: skip


def _outputs(made: Sections, t: int, offset_s: int) -> Iterator[Item]:
    for output in made["outputs"]:
        if not output["behind_s"] or output["behind_s"] <= BEHIND_S:
            continue
        title = _TITLES.get(output["name"], output["name"])
        since = t - round(output["behind_s"] * 1e9)
        why = ""
        if output["reason"]:
            why = f"{_sentence(output['reason'])} since {time_of_day(output['since_t'], offset_s)}. "
        rows = f"{count(output['behind'])} rows wait in the store, none is lost."
        yield _item(
            f"behind.{output['name']}", "warning", f"{title} is {span(output['behind_s'])} behind", f"{why}{rows}",
            "outputs", since + round(BEHIND_S * 1e9),
        )  # fmt: skip


def _sentence(text: str) -> str:
    text = text.rstrip(". ")
    return text[:1].upper() + text[1:]


def _quarantine(made: Sections, _: int, __: int) -> Iterator[Item]:
    for output in made["outputs"]:
        grown = output["quarantine_new"]
        if grown:
            title = _TITLES.get(output["name"], output["name"])
            yield _item(
                f"quarantine.{output['name']}", "warning", f"{title} refused {count(grown)} row{'s' * (grown != 1)}",
                f"{count(output['quarantine'])} are in quarantine, with its words. They are in the store.", "outputs",
                do="rigbus quarantine list",
            )  # fmt: skip


def _disk(made: Sections, _: int, __: int) -> Iterator[Item]:
    storage = made["storage"]
    if not storage or not storage["disk_bytes"] or storage["free_bytes"] is None:
        return
    used = 1 - storage["free_bytes"] / storage["disk_bytes"]
    if used > DISK_FULL:
        yield _item(
            "disk", "warning", f"The disk is {used:.0%} full", f"{storage['free_bytes'] / 1e9:.1f} GB are free. "
            "When it is full the oldest raw data goes first, and is counted.", "storage", do="Make room.",
        )  # fmt: skip


def _rate(made: Sections, _: int, __: int) -> Iterator[Item]:
    for sensor in (made["vibration"] or {}).get("sensors", ()):
        rate, nominal = sensor["rate_hz"], sensor["nominal_hz"]
        if sensor["state"] != "running" or sensor["fault"] or not rate or not nominal:
            continue
        off = rate / nominal - 1
        if abs(off) > RATE_OFF:
            sign = "+" if off > 0 else "−"
            yield _item(
                f"rate.{sensor['name']}", "warning", f"{sensor['name']} samples at {rate:.1f} Hz, not {nominal:g}",
                f"{sign}{abs(off):.1%} of nominal. Its times are measured, and right.", "vibration",
            )  # fmt: skip


def _clock(made: Sections, _: int, __: int) -> Iterator[Item]:
    if made["rig"]["clock_set"] is False:
        yield _item(
            "clock", "warning", "The clock is not set",
            "Times may be wrong; they are put right when it is set, and outputs wait for that a while.", "rig",
            do="Connect the rig to a time server.",
        )  # fmt: skip


def _unknown(made: Sections, t: int, offset_s: int) -> Iterator[Item]:
    account = made["account"]
    when = account["unknown_t"] if account else None
    if when is not None and (t - when) / 1e9 < UNKNOWN_S:
        rows = [row for row in account["ledger"] if row["count"] is None]
        why = f"{rows[0]['stream'].rstrip('/')}, {rows[0]['cause'].replace('_', ' ')}. " if rows else ""
        yield _item(
            "unknown", "warning", f"An unknown number was lost at {time_of_day(when, offset_s)}",
            f"{why}Nobody can know the count; the ledger says so.", "account", when,
        )  # fmt: skip


@dataclass
class _Held:
    item: Item
    first: float
    last: float
    shown: bool = False
    since_t: int = field(default=0)


class Holder:
    """Warning and fault hold 2 s before they show, and are gone 5 s before they clear; latched acts at once."""

    SHOW_S, CLEAR_S = 2.0, 5.0

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def look(self, found: list[Item], at: float, t: int) -> list[Item]:
        """What is to be shown. at: monotonic s; t: wall ns, the `since_t` of what does not say since when."""
        now = {item["id"]: item for item in found}
        for id, item in now.items():
            held = self._held.get(id)
            if held is None:
                held = self._held[id] = _Held(item, at, at, since_t=t)
            held.item, held.last = item, at
            held.shown = held.shown or item["state"] == "latched" or at - held.first >= self.SHOW_S
        for id, held in list(self._held.items()):
            gone = id not in now
            if gone and (not held.shown or held.item["state"] == "latched" or at - held.last >= self.CLEAR_S):
                del self._held[id]
        shown = [held for held in self._held.values() if held.shown]
        shown.sort(key=lambda held: ORDER[held.item["state"]])
        return [{**held.item, "since_t": held.item["since_t"] or held.since_t} for held in shown]
