"""The units against the table of daemons (common/rig.py), against each other, and against docs/systemd.md."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from unit_files import PREFIX, SHIPPED, Unit, megabytes, services

from common.config.schema import JournalConfig
from common.journal.limits import journal_limits
from common.rig import BUS, DAEMONS, PRODUCER, SINK

UNITS = services()
DOCUMENT = (Path(__file__).parents[2] / "docs/systemd.md").read_text()
EACH = pytest.mark.parametrize("daemon", DAEMONS, ids=lambda d: d.name)
VENV = "/opt/rigbus/venv/bin"

JOURNAL_MB = 32
WITH_NETWORK = {"sink", "thermostat", "dds", "gateway"}
WITH_DEVICE = {"pulse": "gpio", "pump": "gpio", "highspeed": "i2c"}
WITH_TOKENS = {"sink", "gateway"}
REAL_TIME = {"highspeed", "pump"}
OWN = {  # what units may differ in; all else is the same in each
    "Description", "After", "SupplementaryGroups", "SyslogIdentifier", "Environment", "LoadCredential", "SetCredential",
    "ExecCondition", "ExecStart", "ExecStopPost", "TimeoutStopSec", "WatchdogSec", "WatchdogSignal", "LimitRTPRIO",
    "LimitMEMLOCK", "MemoryMax", "DevicePolicy", "DeviceAllow", "PrivateDevices", "PrivateNetwork", "IPAddressDeny",
    "RestrictAddressFamilies", "RestrictRealtime", "SystemCallFilter", "ProtectClock",
}  # fmt: skip


def test_each_daemon_has_a_unit_and_each_unit_a_daemon():
    names = [daemon.name for daemon in DAEMONS]
    assert sorted(UNITS) == sorted(names)
    target = Unit(SHIPPED / "rigbus.target")
    assert target.words("Also") == {f"{PREFIX}{name}.service" for name in names}
    assert target.get("WantedBy") == "multi-user.target"


def test_units_are_alike_but_for_what_they_must_differ_in():
    common = {name: [s for s in unit.settings if s[0] not in OWN] for name, unit in UNITS.items()}
    for name, settings in common.items():
        assert settings == common["bus"], name
    assert ("Type", "notify") in common["bus"]
    assert {"Restart", "RestartPreventExitStatus", "StateDirectory", "UMask", "Slice"} <= {k for k, _ in common["bus"]}


@EACH
def test_a_unit_starts_its_daemon(daemon):
    unit = UNITS[daemon.name]
    assert unit.get("ExecStart") == f"{VENV}/python -m daemons.{daemon.name}"
    assert unit.get("SyslogIdentifier") == f"rigbus-{daemon.name}"
    assert unit.get("WantedBy") == unit.get("PartOf") == "rigbus.target"
    assert unit.get("RestartPreventExitStatus") == "78"
    assert unit.get("ExecReload").endswith("config check >/dev/null; ok=$$?; kill -HUP $MAINPID; exit $$ok'")


@EACH
def test_publishers_stop_before_the_sink_and_the_sink_before_the_bus(daemon):
    """systemd stops in the reverse order of its starts."""
    earlier = {BUS: set(), SINK: {"bus"}, PRODUCER: {"bus", "sink"}}[daemon.stage]
    assert UNITS[daemon.name].words("After") == {f"{PREFIX}{name}.service" for name in earlier}


@EACH
def test_a_stop_may_take_as_long_as_it_needs(daemon):
    unit = UNITS[daemon.name]
    assert int(unit.get("TimeoutStopSec")) >= 3 * daemon.stop_s
    assert int(unit.get("TimeoutStopSec")) <= 30


@EACH
@pytest.mark.parametrize(
    ("says", "code", "starts"), [("yes", 0, True), ("no", 1, False), ("", 1, True), ("", 78, True), ("", 137, True)]
)
def test_only_a_daemon_that_is_not_configured_rests(daemon, says, code, starts, tmp_path):
    """What is broken must fail, not rest: the daemon says what is wrong."""
    rigbus = tmp_path / "rigbus"
    rigbus.write_text(f'#!/bin/sh\ntest "$*" = "config enabled {daemon.name}" && echo {says} && exit {code}\nexit 9\n')
    rigbus.chmod(0o755)
    condition = UNITS[daemon.name].get("ExecCondition").replace(f"{VENV}/rigbus", str(rigbus))
    found = re.fullmatch(r"/bin/sh -c '(.*)'", condition)
    assert found
    line = found[1].replace("$$", "$")  # as systemd reads it
    assert (subprocess.run(["/bin/sh", "-c", line], check=False).returncode == 0) == starts


@EACH
def test_what_a_unit_may_reach(daemon):
    unit, name = UNITS[daemon.name], daemon.name
    network = unit.words("RestrictAddressFamilies") - {"AF_UNIX"}
    assert bool(network) == (name in WITH_NETWORK)
    assert (unit.get("PrivateNetwork") == "yes") == (name not in WITH_NETWORK)
    assert unit.get("SupplementaryGroups") == WITH_DEVICE.get(name, "")
    assert (unit.get("PrivateDevices") == "yes") == (name not in WITH_DEVICE)
    assert (unit.get("DevicePolicy") == "closed") == (name in WITH_DEVICE)
    assert (unit.get("LoadCredential") == "env:/etc/rigbus/.env") == (name in WITH_TOKENS)
    assert (unit.get("RestrictRealtime") == "yes") == (name not in REAL_TIME) == (unit.get("LimitRTPRIO") == "")


def test_the_pumps_unit_releases_en_and_kills_what_hangs():
    unit = UNITS["pump"]
    assert unit.get("ExecStopPost") == f"-{VENV}/python -m common.pumps.release"
    assert unit.get("WatchdogSignal") == "SIGKILL"
    assert int(unit.get("WatchdogSec")) <= 10


@pytest.mark.parametrize("file", [f for f in SHIPPED.rglob("*") if f.is_file()], ids=lambda f: f.name)
def test_nothing_waits_and_nothing_is_required(file):
    unit = Unit(file)
    assert not {"Requires", "Requisite", "BindsTo", "RuntimeDirectory"} & {key for key, _ in unit.settings}
    order = unit.words("After") | unit.words("Wants")
    assert not [word for word in order if re.search("network|time|online", word)]


# ---- figures


def test_the_journals_largest_size_is_the_documented_one(monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: 1 << 40)
    assert journal_limits(JournalConfig(), "pulse")[1].max_bytes == JOURNAL_MB << 20


def documented() -> dict[str, tuple[int, int, int]]:
    """Daemon → (MemoryMax, resident, journal), MB, as docs/systemd.md has them."""
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \|", DOCUMENT, re.MULTILINE)
    return {name: (int(a), int(b), int(c)) for name, a, b, c in rows}


@EACH
def test_a_full_journal_fits_into_the_memory_of_its_unit(daemon):
    most, resident, journal = documented()[daemon.name]
    assert most == megabytes(UNITS[daemon.name].get("MemoryMax"))
    assert journal == (0 if daemon.stage in (BUS, SINK) else JOURNAL_MB)
    assert most >= resident + journal + 16  # its queue, 8,192 frames or 8 MB of payload
    assert UNITS[daemon.name].get("MemorySwapMax") == "0"


def test_the_slice_is_documented():
    share = Unit(SHIPPED / "rigbus.slice").get("MemoryMax")
    assert f"`MemoryMax={share}`" in DOCUMENT


@EACH
def test_each_setting_is_explained(daemon):
    words = set(re.findall(r"`(\w+)=?[^`]*`", DOCUMENT))
    assert {key for key, _ in UNITS[daemon.name].settings} - {"Description"} <= words
