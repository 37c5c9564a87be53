"""What is not normal: each rule, its words, and how long it holds."""

import copy
from typing import Any

import pytest

from common.gateway.attention import Holder, attention

T = 1_793_500_000 * 10**9  # 2026-11-01 02:26:40 UTC
S = 10**9


def daemon(state: str = "running", heard_t: int | None = T) -> dict[str, Any]:
    return {"state": state, "heard_t": heard_t, "status": "storing"}


def output(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "state": "writing", "reason": "", "since_t": T, "behind": 0, "behind_s": 0.0, "delivered": 1,
        "refused": 0, "quarantine": 0, "quarantine_new": 0, **more,
    }  # fmt: skip


NORMAL: dict[str, Any] = {
    "rig": {"utc_offset_s": 0, "clock_set": True},
    "daemons": {name: daemon() for name in ("bus", "sink", "pulse", "highspeed", "pump", "gateway")},
    "vibration": {"sensors": [{"name": "vib0", "rate_hz": 799.9, "nominal_hz": 800.0, "state": "running",
                               "fault": ""}]},
    "thermostat": {"devices": [{"name": "bench", "address": "h:23", "connected": True, "last_error": ""}]},
    "pumps": {"locked": False, "locked_by": "", "locked_t": None, "events": []},
    "arm": {"locked": False, "locked_by": "", "locked_t": None},
    "record": {"behind_s": 0.8, "behind_frames": 0, "committed_t": T, "limit_s": 10.0},
    "outputs": [output("csv"), output("influx"), output("rollups")],
    "account": {
        "published": 10, "stored": 9, "lost": 1, "pending": 0, "unknown": 0, "ok": True, "unknown_t": None,
        "ledger": [{"t": T - 60 * S, "from_t": T - 61 * S, "to_t": T - 60 * S, "stream": "samples/vib0/",
                    "unit": "sample", "count": 12, "cause": "fifo_overrun", "detail": ""}],
    },
    "storage": {"disk_bytes": 100 * 10**9, "free_bytes": 20 * 10**9},
}  # fmt: skip


def with_(path: str, value: Any) -> dict[str, Any]:
    """NORMAL but for one value: `outputs.1.behind_s`."""
    made = copy.deepcopy(NORMAL)
    *way, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
    place: Any = made
    for key in way:
        place = place[key]
    place[last] = value
    return made


def test_a_normal_rig_needs_no_attention_and_a_known_loss_of_the_past_is_none():
    assert attention(NORMAL, T) == []


def test_nothing_configured_and_nothing_known_is_no_attention():
    empty = {**NORMAL, "vibration": None, "thermostat": None, "pumps": None, "arm": None, "account": None,
             "storage": None, "outputs": [], "record": dict.fromkeys(NORMAL["record"])}  # fmt: skip
    assert attention(empty, T) == []


RULES = [
    ("daemons.pulse", daemon("down"), "fault", "daemons", "pulse is down since 02:26:40"),
    ("daemons.pulse", daemon("silent"), "fault", "daemons", "pulse says nothing since 02:26:40"),
    ("daemons.sink", daemon("down", None), "fault", "daemons", "sink is down"),
    ("account.ok", False, "fault", "account", "The account does not balance"),
    ("account.ledger.0.to_t", T - 3 * S, "fault", "account", "samples/vib0 loses data: fifo overrun"),
    ("vibration.sensors.0.fault", "no chip on bus 1", "fault", "vibration", "vib0 does not measure"),
    ("thermostat.devices.0.connected", False, "fault", "thermostat", "bench is not connected"),
    ("record.behind_s", 75.0, "warning", "record", "The store is 1 min 15 s behind"),
    ("outputs.1.quarantine_new", 3, "warning", "outputs", "InfluxDB refused 3 rows"),
    ("storage.free_bytes", 14 * 10**9, "warning", "storage", "The disk is 86% full"),
    ("vibration.sensors.0.rate_hz", 783.9, "warning", "vibration", "vib0 samples at 783.9 Hz, not 800"),
    ("vibration.sensors.0.rate_hz", 816.1, "warning", "vibration", "vib0 samples at 816.1 Hz, not 800"),
    ("rig.clock_set", False, "warning", "rig", "The clock is not set"),
    ("account.unknown_t", T - 23 * 3600 * S, "warning", "account", "An unknown number was lost at 03:26:40"),
]


@pytest.mark.parametrize(("path", "value", "state", "section", "what"), RULES)
def test_each_rule_and_it_alone(path, value, state, section, what):
    (item,) = attention(with_(path, value), T)
    assert (item["state"], item["section"], item["what"]) == (state, section, what)
    assert item["detail"].endswith((".", "1")) or not item["detail"]
    assert set(item) == {"id", "state", "what", "detail", "since_t", "do", "section"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("outputs.1.behind_s", 60.0),
        ("storage.free_bytes", 15 * 10**9),
        ("vibration.sensors.0.rate_hz", 784.1),
        ("vibration.sensors.0.rate_hz", 815.9),
        ("vibration.sensors.0.rate_hz", None),
        ("record.behind_s", 10.0),
        ("account.unknown_t", T - 24 * 3600 * S),
        ("account.unknown", 3),
        ("rig.clock_set", None),
        ("daemons.pulse", daemon("silent", None)),
        ("thermostat.devices.0.connected", None),
        ("account.ledger.0.to_t", T - 11 * S),
    ],
)
def test_just_under_each_limit(path, value):
    assert attention(with_(path, value), T) == []


def test_a_sensor_that_was_paused_has_no_rate():
    made = with_("vibration.sensors.0.rate_hz", 700.0)
    made["vibration"]["sensors"][0]["state"] = "paused"
    assert attention(made, T) == []


@pytest.mark.parametrize("cause", ["paused", "stopped", "down"])
def test_what_was_asked_for_is_no_fault(cause):
    made = with_("account.ledger.0.to_t", T)
    made["account"]["ledger"][0]["cause"] = cause
    assert attention(made, T) == []


def test_an_output_that_is_behind_in_the_words_of_the_page():
    made = with_("outputs.1", output(
        "influx", state="waiting", reason="server does not answer", behind=31_204, behind_s=252.0,
        since_t=T - 252 * S,
    ))  # fmt: skip
    (item,) = attention(made, T)
    assert item["what"] == "InfluxDB is 4 min 12 s behind"
    assert item["detail"] == "Server does not answer since 02:22:28. 31,204 rows wait in the store, none is lost."
    assert item["since_t"] == T - 192 * S
    assert item["state"] == "warning"


def test_a_latch_says_what_ended_and_comes_first():
    made = with_("outputs.1.quarantine_new", 1)
    made["daemons"]["pulse"] = daemon("down")
    stopped = {"t": T - 9 * S, "pump": "water", "event": "stopped", "reason": "estop", "ml": 12.4, "seconds": 3.8}
    made["pumps"] = {"locked": True, "locked_by": "from the page", "locked_t": T - 10 * S, "events": [stopped]}
    made["arm"] = {"locked": True, "locked_by": "from the page", "locked_t": T - 9 * S}
    found = attention(made, T)
    assert [item["state"] for item in found] == ["latched", "fault", "warning"]
    assert found[0]["what"] == "Stopped at 02:26:30 (from the page)"
    assert "water ended after 12.4 mL." in found[0]["detail"]
    assert "Arm commands are refused" in found[0]["detail"]
    assert found[0]["detail"].endswith("Nothing starts by itself after unlocking.")
    assert found[0]["since_t"] == T - 10 * S


def test_a_latch_of_one_says_that_the_other_is_not_stopped():
    made = with_("arm", {"locked": True, "locked_by": "", "locked_t": T})
    (item,) = attention(made, T)
    assert "The pumps are not stopped." in item["detail"]
    made = with_("pumps", {"locked": True, "locked_by": "", "locked_t": T, "events": []})
    (item,) = attention(made, T)
    assert "The arm is not stopped." in item["detail"]


def test_times_are_the_rigs():
    made = with_("daemons.pulse", daemon("down"))
    made["rig"]["utc_offset_s"] = 3600
    assert attention(made, T)[0]["what"] == "pulse is down since 03:26:40"


def item(id: str = "a", state: str = "fault", since_t: int | None = None) -> dict[str, Any]:
    return {"id": id, "state": state, "what": "", "detail": "", "since_t": since_t, "do": "", "section": ""}


def test_it_holds_two_seconds_before_it_shows_and_five_before_it_clears():
    holder = Holder()
    shown = lambda found, at: [x["id"] for x in holder.look(found, at, round(at * S))]  # noqa: E731
    assert shown([item()], 0.0) == []
    assert shown([item()], 1.9) == []
    assert shown([item()], 2.0) == ["a"]
    assert shown([], 6.9) == ["a"]
    assert shown([item()], 6.95) == ["a"]
    assert shown([], 11.9) == ["a"]
    assert shown([], 12.0) == []
    assert shown([item()], 13.0) == []


def test_what_passes_sooner_than_it_shows_starts_anew():
    holder = Holder()
    assert holder.look([item()], 0.0, 0) == []
    assert holder.look([], 1.0, 0) == []
    assert holder.look([item()], 2.5, 0) == []
    assert len(holder.look([item()], 4.5, 0)) == 1


def test_a_latch_acts_at_once_both_ways():
    holder = Holder()
    assert len(holder.look([item(state="latched")], 0.0, 0)) == 1
    assert holder.look([], 0.1, 0) == []


def test_since_is_the_first_sight_where_nothing_better_is_known():
    holder = Holder()
    holder.look([item(), item("b", since_t=7)], 0.0, 100)
    found = {x["id"]: x["since_t"] for x in holder.look([item(), item("b", since_t=7)], 3.0, 103)}
    assert found == {"a": 100, "b": 7}
