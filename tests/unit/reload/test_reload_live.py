"""What of a changed configuration a running daemon takes, what it tells, and what is none of its business."""

import re
from pathlib import Path

import msgspec
import pytest

from common.config.keys import NAME_SLOT, all_keys, dotted
from common.config.live import _PUMP, LIVE, changes, concerns, taken_over
from common.config.schema import Config
from common.rig import DAEMONS

ROOT = Path(__file__).parents[3]
KEYS = [".".join(path) for path, _ in all_keys(Config)]
BASE = {
    "node": "rig",
    "pulse": {"channel": [{"name": "import", "line": 20}, {"name": "export", "line": 21}]},
    "highspeed": {},
    "thermostat": {"device": [{"name": "bench", "host": "10.0.0.1"}]},
    "pump": {"pump": [{"name": "a", "step": 1, "dir": 2, "en": 3}]},
    "dds": {},
    "gateway": {},
    "journal": {"daemon": {"pulse": {"place": "disk"}}},
}


def config(**changed):
    """BASE with some keys set: `pulse__channel__0__line=5`."""
    tree = msgspec.json.decode(msgspec.json.encode(BASE))
    for path, value in changed.items():
        *way, last = [int(part) if part.isdigit() else part for part in path.split("__")]
        inner = tree
        for part in way:
            inner = inner[part] if isinstance(inner, list) else inner.setdefault(part, {})
        if isinstance(inner, list) and last == len(inner):
            inner.append(value)
        elif value is None:
            del inner[last]
        else:
            inner[last] = value
    return msgspec.convert(tree, Config)


def told(src, old, new):
    """(keys that are taken, keys that need a restart)"""
    taken = taken_over(src, old, new)
    left = [dotted(path) for path in changes(taken, new) if concerns(src, path)]
    return [dotted(path) for path in changes(old, taken)], left


CASES = [
    ("pulse", {"pulse__channel__0__min_interval_ms": 5}, ["pulse.channel.import.min_interval_ms"], []),
    ("pulse", {"pulse__channel__0__line": 5}, [], ["pulse.channel.import.line"]),
    ("pulse", {"pulse__channel__2": {"name": "sun", "line": 9}}, [], ["pulse.channel.sun"]),
    ("pulse", {"pulse__channel__1": None}, [], ["pulse.channel.export"]),
    ("pulse", {"pulse": None}, [], ["pulse"]),
    ("pulse", {"pulse__enabled": False}, [], ["pulse.enabled"]),
    ("pulse", {"highspeed__rate_hz": 400, "sink__commit_s": 2}, [], []),
    ("pulse", {"node": "other", "paths__data": "/x"}, [], ["node", "paths.data"]),
    ("pulse", {"journal__keep_s": 5, "journal__place": "disk"}, ["journal.keep_s"], ["journal.place"]),
    ("pulse", {"journal__daemon__pulse__max_bytes": 1 << 20}, ["journal.daemon.pulse.max_bytes"], []),
    ("pulse", {"journal__daemon__pulse__place": "memory"}, [], ["journal.daemon.pulse.place"]),
    ("highspeed", {"journal__daemon__pulse__place": "memory"}, [], []),
    ("highspeed", {"highspeed__frame_ms": 50}, ["highspeed.frame_ms"], []),
    ("highspeed", {"highspeed__rate_hz": 400}, [], ["highspeed.rate_hz"]),
    ("highspeed", {"highspeed__cpu": [0, 1]}, ["highspeed.cpu"], []),
    ("thermostat", {"thermostat__device__0__period_s": 5}, ["thermostat.device.bench.period_s"], []),
    ("thermostat", {"thermostat__device__1": {"name": "b", "host": "h"}}, ["thermostat.device.b"], []),
    ("thermostat", {"thermostat__device__0__name": "c"}, ["thermostat.device.bench", "thermostat.device.c"], []),
    ("pump", {"pump__pump__0__max_ml": 5, "pump__pump__0__en": 9}, ["pump.pump.a.max_ml"], ["pump.pump.a.en"]),
    ("dds", {"dds__allow_motion": True, "dds__domain": 5}, ["dds.allow_motion"], ["dds.domain"]),
    ("sink", {"sink__commit_s": 2, "sink__name": "x"}, ["sink.commit_s"], ["sink.name"]),
    ("sink", {"sink__csv__enabled": True, "clock__hold_s": 1}, ["sink.csv.enabled", "clock.hold_s"], []),
    ("sink", {"sink__output__mine": {"options": {"a": 1}}}, ["sink.output.mine.options"], []),
    ("sink", {"pulse__channel__0__imp_per_kwh": 5}, ["pulse.channel.import.imp_per_kwh"], []),
    ("sink", {"pulse__channel__0__line": 5, "highspeed__rate_hz": 400, "journal__keep_s": 2}, [], ["journal.keep_s"]),
    ("sink", {"pulse__channel__2": {"name": "sun", "line": 9}}, [], ["pulse.channel.sun"]),
    ("gateway", {"gateway__port": 1, "gateway__names": ["x"]}, ["gateway.names"], ["gateway.port"]),
    ("gateway", {"highspeed__rate_hz": 400}, [], ["highspeed.rate_hz"]),
    ("bus", {"bus__cpu": 1, "pulse__driver": "gpiod", "journal__keep_s": 2}, ["bus.cpu"], []),
]  # fmt: skip


@pytest.mark.parametrize(("src", "changed", "taken", "left"), CASES)
def test_what_is_taken_and_what_is_left(src, changed, taken, left):
    found = told(src, config(), config(**changed))
    assert [sorted(side) for side in found] == [sorted(taken), sorted(left)]


@pytest.mark.parametrize("src", LIVE)
def test_nothing_new_is_nothing_taken(src):
    assert told(src, config(), config()) == ([], [])
    assert taken_over(src, config(), config()) == config()


def test_what_is_left_is_told_again_the_next_time_and_what_is_taken_is_not():
    new = config(pulse__channel__0__min_interval_ms=5, pulse__channel__0__line=5)
    between = taken_over("pulse", config(), new)
    assert (between.pulse.channel[0].min_interval_ms, between.pulse.channel[0].line) == (5, 20)
    assert told("pulse", between, new) == ([], ["pulse.channel.import.line"])


def test_elements_are_told_apart_by_name_and_not_by_their_place():
    turned = config(pulse__channel=[*reversed(BASE["pulse"]["channel"])])
    assert told("pulse", config(), turned) == ([], [])


def test_every_daemon_has_its_row():
    assert set(LIVE) == {daemon.name for daemon in DAEMONS}


@pytest.mark.parametrize("row", sorted({row for rows in LIVE.values() for row in rows}))
def test_a_row_names_a_key_or_a_table(row):
    assert row in KEYS or any(key.startswith(f"{row}.") for key in KEYS)


@pytest.mark.parametrize("src", LIVE)
def test_the_docs_list_what_is_taken(src):
    text = (ROOT / "docs/config.md").read_text()
    line = re.search(rf"^\| {src} \| (.+) \|$", text, re.MULTILINE)[1]
    named = re.findall(r"`([a-z0-9_.<>]+)`", line.replace("the keys of `pump.pump` above", ""))
    if "the journal's" in line:
        named += re.findall(r"`([a-z0-9_.<>]+)`", re.search(r"^The journal's: (.+)\.$", text, re.MULTILINE)[1])
    if "keys of `pump.pump` above" in line:
        named += _PUMP
    assert sorted(named) == sorted(LIVE[src])
    assert NAME_SLOT == "<name>"
