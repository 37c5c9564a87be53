"""`rigbus doctor` of installed units, by what systemctl says; the lab has a real one."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from common import doctor
from common.config.load import load
from common.doctor import units

WELL = {
    "LoadState": "loaded",
    "UnitFileState": "enabled",
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "NRestarts": "0",
    "ExecMainStatus": "0",
    "StatusText": "",
}
REST = WELL | {"ActiveState": "inactive", "SubState": "dead", "Result": "exec-condition"}


@pytest.fixture
def examine(tmp_path, monkeypatch):
    """examine(toml, {unit: what differs}) → findings by what they are about; pulse and bus are as configured."""

    def run(changes, text="[pulse]\nchannel=[{name='a',line=1}]"):
        (tmp_path / "rigbus.toml").write_text(f'node = "rig"\n{text}')
        config = load(str(tmp_path / "rigbus.toml"), {}).config
        shown = []
        for name in ("target", "bus", "sink", "pulse", "highspeed", "thermostat", "pump", "dds", "gateway"):
            known = WELL if name in ("target", "bus", "sink", "pulse") else REST
            unit = "rigbus.target" if name == "target" else f"rigbus-{name}.service"
            rows = {"Id": unit} | known | changes.get(name, {})
            shown.append("\n".join(f"{key}={value}" for key, value in rows.items()))
        (tmp_path / "shown").write_text("\n\n".join(shown) + "\n")
        systemctl = tmp_path / "systemctl"
        systemctl.write_text(f"#!/bin/sh\n[ $1 = show ] && cat {tmp_path}/shown\n")
        systemctl.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return {finding.what: finding for finding in units.examine(config) if finding.state != "ok"}

    monkeypatch.setattr(units, "_JOURNALS", (tmp_path / "journal",))
    (tmp_path / "journal/0").mkdir(parents=True)
    (tmp_path / "journal/0/system.journal").touch()
    return run


def test_a_rig_that_runs_has_nothing_but_that_it_is_simulated(examine):
    found = examine({})
    assert list(found) == ["pulse"]
    assert (found["pulse"].state, found["pulse"].detail) == ("warning", "simulated: what it records is not real")
    assert examine({}, text='[pulse]\ndriver="gpiod"\nchannel=[{name="a",line=1}]') == {}


@pytest.mark.parametrize(
    ("name", "change", "mend"),
    [
        ("target", {"LoadState": "not-found"}, "sudo make install  # in the checkout"),
        ("target", {"ActiveState": "inactive"}, "sudo systemctl start rigbus.target"),
        ("target", {"UnitFileState": "disabled"}, "sudo systemctl enable rigbus.target"),
        ("pulse", {"LoadState": "masked"}, "sudo systemctl unmask rigbus-pulse.service"),
        ("pulse", {"LoadState": "not-found"}, "sudo make install  # in the checkout"),
        ("pulse", {"ActiveState": "inactive"}, "sudo systemctl start rigbus-pulse.service"),
        ("pulse", {"UnitFileState": "disabled"}, "sudo systemctl enable rigbus-pulse.service"),
        ("pulse", {"ActiveState": "activating", "SubState": "auto-restart"}, "journalctl -u rigbus-pulse -e"),
        ("pulse", {"ActiveState": "failed", "Result": "start-limit-hit"}, "systemctl reset-failed rigbus-pulse"),
        ("pulse", {"ActiveState": "failed", "Result": "watchdog"}, "journalctl -u rigbus-pulse -e"),
        ("pulse", {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "78"}, "rigbus config check"),
    ],
)
def test_what_is_wrong_is_missing_and_comes_with_the_next_step(examine, name, change, mend):
    found = examine({name: change})["rigbus.target" if name == "target" else f"rigbus-{name}.service"]
    assert found.state == "missing"
    assert mend in found.mend


def test_the_start_limit_is_said_in_words(examine):
    found = examine({"pulse": {"ActiveState": "failed", "Result": "start-limit-hit"}})["rigbus-pulse.service"]
    assert "does not start it any more" in found.detail


def test_one_that_starts_is_a_warning_with_its_own_words(examine):
    change = {"ActiveState": "activating", "SubState": "start", "StatusText": "no /dev/gpiochip0"}
    found = examine({"pulse": change})["rigbus-pulse.service"]
    assert (found.state, found.detail) == ("warning", "starting: no /dev/gpiochip0")


def test_one_that_nobody_asked_for_and_that_runs_is_a_warning(examine):
    assert examine({"dds": WELL})["rigbus-dds.service"].state == "warning"


def test_a_target_that_is_stopped_is_said_once_and_not_for_each_daemon(examine):
    stopped = {"ActiveState": "inactive", "SubState": "dead"}
    found = examine({"target": stopped, "bus": stopped, "sink": stopped, "pulse": stopped})
    assert [what for what, finding in found.items() if finding.state == "missing"] == ["rigbus.target"]


def test_a_journal_that_may_not_be_read_is_missing(examine, monkeypatch):
    monkeypatch.setattr(units.os, "access", lambda path, mode: False)
    assert "systemd-journal" in examine({})["log"].mend


def test_without_systemctl_it_says_so(examine, tmp_path, monkeypatch):
    examine({})
    monkeypatch.setenv("PATH", "/nowhere")
    config = load(str(tmp_path / "rigbus.toml"), {}).config
    assert [finding.what for finding in units.examine(config)] == ["units"]


def test_what_drivers_say_for_a_checkout_is_said_for_the_environment_in_use(monkeypatch):
    mend = ".venv/bin/pip install -e '.[rpi]'"
    assert doctor._here(mend) == mend
    monkeypatch.setattr(doctor.sys, "prefix", "/opt/rigbus/venv")
    assert doctor._here(mend) == "sudo /opt/rigbus/venv/bin/pip install 'rigbus[rpi]'"
    assert doctor._here("scripts/install-cyclonedds.sh") == (
        "sudo scripts/install-cyclonedds.sh /opt/rigbus/venv/bin/python"
    )


def test_a_rig_of_a_checkout_is_not_asked_for_units(tmp_path):
    loaded = load("config/rigbus.toml", {})
    assert not units.is_installed(loaded.folders(str(tmp_path), str(tmp_path)))


@pytest.mark.parametrize(
    ("mode", "owner", "readable"),
    [
        (0o640, (0, 77), True),
        (0o600, (0, 77), False),
        (0o600, (66, 0), True),
        (0o644, (0, 0), True),
        (0o640, (0, 0), False),
    ],
)
def test_a_file_that_the_services_may_not_read(tmp_path, monkeypatch, mode, owner, readable):
    file = tmp_path / "own.toml"
    file.touch()
    file.chmod(mode)
    there = SimpleNamespace(st_mode=file.stat().st_mode, st_uid=owner[0], st_gid=owner[1])
    monkeypatch.setattr(units.pwd, "getpwnam", lambda _: SimpleNamespace(pw_uid=66, pw_gid=77))
    monkeypatch.setattr(Path, "stat", lambda _: there)
    assert (list(units.readable([file])) == []) == readable
