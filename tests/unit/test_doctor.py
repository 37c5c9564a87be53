"""`rigbus doctor` names what is there, what is missing, and a command that mends it."""

import json
import socket

import pytest

from common import doctor
from common.cli import main as cli
from common.config.load import load
from common.errors import DeviceMissing


@pytest.fixture
def examine(tmp_path):
    """examine(toml) → findings by what they are about, of a rig that does not run."""

    def run(text):
        (tmp_path / "rigbus.toml").write_text(f'node = "rig"\n{text}')
        loaded = load(str(tmp_path / "rigbus.toml"), {})
        return {f.what: f for f in doctor.examine(loaded, loaded.folders(None, None))}

    return run


def test_the_shipped_configuration_lacks_nothing_but_perhaps_a_clock(tmp_path):
    loaded = load("config/rigbus.toml", {})
    folders = loaded.folders(str(tmp_path / "d"), str(tmp_path / "r"))
    found = list(doctor.examine(loaded, folders))
    assert [f for f in found if f.state == "missing" and f.what != "dds"] == []
    assert {"pulse (sim)", "highspeed (sim)", "thermostat bench", "pump (sim)", "dds"} <= {f.what for f in found}
    assert not (tmp_path / "d").exists()  # it changes nothing


@pytest.mark.parametrize(
    ("text", "what", "mend"),
    [
        ('[pulse]\ndriver="gpiod"\nchip="/dev/no"\nchannel=[{name="a",line=1}]', "pulse (gpiod)", "gpiochip"),
        ('[highspeed]\ndriver="mpu6050"\nbus=251', "highspeed (mpu6050)", "i2c"),
        ('[highspeed]\ndriver="mpu6050"\nbus=1', "highspeed (mpu6050)", "i2c"),
        ('[pump]\ndriver="lgpio"\nchip="/dev/no"\npump=[{name="w",step=1,dir=2,en=3}]', "pump (lgpio)", "gpiochip"),
        ('[thermostat]\ndevice=[{name="t",host="sim"}]', "thermostat t", "RIGBUS__SIM__THERMOSTAT"),
        ('[dds]\ninterface="nowhere0"', "dds", "ip"),
    ],
)
def test_a_device_that_is_not_there_is_named_with_the_command_that_mends_it(examine, text, what, mend):
    if what == "dds":
        pytest.importorskip("cyclonedds")
    found = examine(text)[what]
    assert found.state == "missing"
    assert found.detail
    assert mend in found.mend


def test_a_thermostat_that_accepts_is_there_and_one_that_refuses_is_missing(examine):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = f'[thermostat]\ndevice=[{{name="t",host="127.0.0.1",port={port}}}]'
        assert examine(text)["thermostat t"].state == "ok"
    found = examine(text)["thermostat t"]
    assert found.state == "missing"
    assert str(port) in found.detail
    assert found.mend == "ping -c 3 -- 127.0.0.1"


def test_a_line_that_another_process_holds_is_the_drivers_own_word(examine, monkeypatch):
    def held(cfg):
        raise DeviceMissing("pulse channel a: /dev/gpiochip0 line 1: Device or resource busy")

    monkeypatch.setattr("common.drivers.open_edges", held)
    found = examine('[pulse]\nchannel=[{name="a",line=1}]')["pulse (sim)"]
    assert (found.state, found.mend) == ("missing", "gpioinfo /dev/gpiochip0")
    assert "busy" in found.detail


def test_a_missing_library_is_installed_by_the_command_that_the_driver_names(examine, monkeypatch):
    monkeypatch.setattr("common.doctor.stopped.os.path.exists", lambda path: True)
    monkeypatch.setattr("common.doctor.stopped.os.access", lambda path, mode: True)
    monkeypatch.setitem(__import__("common.drivers").drivers.EDGES, "gpiod", "no_such_library:Edges")
    found = examine('[pulse]\ndriver="gpiod"\nchannel=[{name="a",line=1}]')["pulse (gpiod)"]
    assert found.state == "missing"
    assert "pip install" in found.mend


def test_a_cpu_that_is_not_there_is_a_warning(examine):
    found = examine('[pulse]\ncpu=1000\nchannel=[{name="a",line=1}]')["cpu"]
    assert found.state == "warning"
    assert "pulse" in found.detail


def test_a_pump_without_calibration_is_a_warning(examine, monkeypatch):
    monkeypatch.setattr("common.doctor.stopped._device_file", lambda *args: None)
    monkeypatch.setattr("common.drivers.find", lambda *args: None)
    found = examine('[pump]\ndriver="lgpio"\npump=[{name="w",step=1,dir=2,en=3}]')["pump w"]
    assert (found.state, found.mend) == ("warning", "rigbus pump calibrate w --help")


def test_everything_that_is_missing_comes_with_a_command(examine):
    found = examine(
        '[pulse]\ndriver="gpiod"\nchip="/dev/no"\nchannel=[{name="a",line=1}]\n[highspeed]\ndriver="adxl345"\nbus=251\n'
        '[thermostat]\ndevice=[{name="t",host="sim"}]\n[pump]\ndriver="gpiod"\nchip="/dev/no"\n'
        'pump=[{name="w",step=4,dir=2,en=3}]\n[dds]\ninterface="nowhere0"'
    )
    missing = [f for f in found.values() if f.state == "missing"]
    assert len(missing) == 5
    assert all(f.mend for f in missing)


@pytest.mark.parametrize(("extra", "told"), [("", []), ("enabled=true\n", ["missing"])])
def test_two_buckets_of_one_name_are_a_finding_where_influxdb_is_used(tmp_path, capsys, extra, told):
    same = '[sink.influx]\nraw_bucket="a"\nb1m_bucket="a"\n'
    (tmp_path / "r.toml").write_text(f'node = "rig"\n{same}{extra}')
    assert cli.main(["doctor", "--json", "--config", str(tmp_path / "r.toml")]) == len(told)
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [f["state"] for f in findings if f["what"] == "influxdb"] == told


def test_the_command_line_prints_them_and_says_no(tmp_path, capsys):
    (tmp_path / "r.toml").write_text('node = "rig"\n[highspeed]\ndriver="mpu6050"\nbus=251')
    words = ["doctor", "--config", str(tmp_path / "r.toml")]
    assert cli.main(words) == 1
    out = capsys.readouterr().out
    assert "❌ highspeed (mpu6050)" in out
    assert "$ ls /dev/i2c-*" in out
    assert cli.main([*words, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert {"what", "state", "detail", "mend"} == set(document["findings"][0])


# ---- a rig that runs


@pytest.fixture
def running(examine, monkeypatch):
    """running(toml, replies) → findings, where the daemons of `replies` run and answer `status` so."""

    def run(text, replies):
        monkeypatch.setattr("common.doctor.is_alive", lambda folders, name: name in replies)
        healthy = {"health": {"status": "well"}}
        monkeypatch.setattr("common.doctor.running.request", lambda folders, name, op: healthy | replies[name])
        monkeypatch.setattr("common.drivers.open_sampler", lambda cfg: pytest.fail("opened under a running daemon"))
        return examine(text)

    return run


def test_a_daemon_that_runs_is_asked_and_its_device_not_opened(running):
    found = running("[highspeed]\n", {"bus": {}, "sink": {}, "highspeed": {"state": "running", "fault": ""}})
    assert [found[name].state for name in ("bus", "sink", "highspeed")] == ["ok", "ok", "ok"]
    assert "highspeed (sim)" not in found


LOCKED = {"locked": True, "locked_by": "x"}


def test_each_thermostat_of_a_daemon_that_runs_has_a_line(running):
    text = '[thermostat]\ndevice=[{name="a",host="h1"},{name="b",host="; rm -rf x"}]'
    rows = [
        {"device": "a", "connected": True, "dialect": "new", "last_error": ""},
        {"device": "b", "connected": False, "dialect": "", "last_error": "refused"},
    ]
    found = running(text, {"thermostat": {"devices": rows}})
    assert found["thermostat a"].state == "ok"
    assert (found["thermostat b"].state, found["thermostat b"].detail) == ("missing", "refused")
    assert found["thermostat b"].mend == "ping -c 3 -- '; rm -rf x'"


@pytest.mark.parametrize(
    ("text", "reply", "what", "state", "mend"),
    [
        ("[highspeed]", {"fault": "nack"}, "highspeed (sim)", "missing", "i2cdetect -y 1"),
        ("[highspeed]", {"state": "paused"}, "highspeed (sim)", "warning", "rigbus ctl highspeed start"),
        ("[dds]", {"arm": {"fresh": False}}, "dds", "missing", "ip -brief address"),
        (
            '[pump]\npump=[{name="w",step=1,dir=2,en=3}]',
            {"locked": True, "locked_by": "x"},
            "pump",
            "warning",
            "unlock",
        ),
    ],
)
def test_what_a_daemon_says_of_its_device_counts(running, text, reply, what, state, mend):
    found = running(text, {text[1:].partition("]")[0]: reply})[what]
    assert found.state == state
    assert mend in found.mend


def test_a_daemon_that_is_down_while_the_rig_runs_is_missing(running):
    found = running("", {"bus": {}})["sink"]
    assert (found.state, found.detail) == ("missing", "the rig runs, and this daemon does not")
    assert "journalctl" in found.mend


def test_a_rate_that_the_chip_does_not_have_is_mended_in_the_configuration(examine):
    found = examine("[highspeed]\nrate_hz=799")["highspeed (sim)"]
    assert found.state == "missing"
    assert found.mend.startswith("rigbus config show")


@pytest.mark.parametrize("host", ["a..b", "x" * 80])
def test_a_host_that_is_no_name_is_missing_and_no_traceback(examine, host):
    assert examine(f'[thermostat]\ndevice=[{{name="t",host="{host}"}}]')["thermostat t"].state == "missing"


def test_a_configuration_that_is_wrong_is_a_finding(tmp_path, capsys):
    (tmp_path / "rigbus.toml").write_text("[pulse]\nchanel = 1\n")
    assert cli.main(["doctor", "--config", str(tmp_path / "rigbus.toml")]) == 1
    said = capsys.readouterr().out
    assert "rigbus.toml:2: pulse.chanel" in said
    assert "$ rigbus config check" in said
