"""docs/ctl.md says what the thermostat's commands take and give, against the simulated device of a live rig."""

import re
from pathlib import Path

import pytest

from common.thermostats import control
from common.thermostats.commands import PATIENCE_S

TEXT = (Path(__file__).parents[2] / "docs/ctl.md").read_text()
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
FORMS = {
    "save_once": control.Addressed, "pid": control.Pid, "output": control.Output, "setpoint": control.Setpoint,
    "save": control.Save,
}  # fmt: skip


def names(text):
    """The words of a table's first column."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("op", FORMS)
def test_every_field_of_a_request_is_documented(op):
    request = SECTIONS[op].partition("| reply |")[0]
    known = set(FORMS[op].__struct_fields__)
    # the one command that is no setting leaves no record of its own
    assert names(request) == (known if op != "save_once" else known - {"command_id"})


def test_the_deadline_that_clients_are_told_is_the_one_obeyed():
    assert f"within {PATIENCE_S:g} s of the request, or never" in SECTIONS["pid"]
    assert f"reading in {PATIENCE_S:g} s" in " ".join(SECTIONS["save_once"].split())


@pytest.fixture(scope="module")
def bench(live_rig):
    made = live_rig("--only", "thermostat", RIGBUS__THERMOSTAT__DEVICE__BENCH__ALLOW_CONTROL="true")
    made.health("thermostat")
    made.wait(lambda: made.ask("thermostat", {"op": "status"})["devices"][0]["connected"])
    return made


def test_the_fields_of_a_device_are_documented(bench):
    (device,) = bench.ask("thermostat", {"op": "status"})["devices"]
    told = SECTIONS["status"].partition("A map of the thermostat's `devices`: ")[2].partition("\n\n")[0]
    assert [name for name in device if f"`{name}`" not in told] == []
    assert {type(value) for value in device.values()} <= {str, int, bool}


@pytest.mark.parametrize(
    "request_",
    [
        {"op": "save_once"},
        {"op": "save_once", "device": "bench"},
        {"op": "pid", "channel": 0, "kp": 0.5},
        {"op": "output", "channel": 1, "i_set": 0.1, "command_id": "c1"},
        {"op": "setpoint", "channel": 0, "celsius": 24},
        {"op": "save"},
    ],
    ids=lambda r: " ".join(map(str, r.values())),
)
def test_a_reply_has_the_documented_fields(bench, request_):
    reply = bench.ask("thermostat", {"id": 3, **request_})
    assert (reply.pop("id"), reply.pop("ok")) == (3, True)
    section = SECTIONS[request_["op"]]
    section = SECTIONS["pid"] if "The reply is that of `pid`" in section else section
    assert set(reply) == names(section.partition("| reply |")[2])


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"op": "save_once", "device": "kiln"}, "refused"),
        ({"op": "save_once", "device": 3}, "malformed"),
        ({"op": "pid"}, "malformed"),
        ({"op": "pid", "channel": 0}, "refused"),
        ({"op": "pid", "channel": 0, "kp": "much"}, "malformed"),
        ({"op": "setpoint", "channel": 0, "celsius": float("inf")}, "refused"),
        ({"op": "output", "channel": 0, "i_set": 2.5}, "refused"),
        ({"op": "output", "channel": 0, "polarity": "up"}, "malformed"),
    ],
    ids=lambda r: str(r),
)
def test_an_error_has_one_line(bench, request_, error):
    reply = bench.ask("thermostat", request_)
    assert (reply["ok"], reply["error"]) == (False, error)
    assert "\n" not in reply["detail"]


def test_control_is_off_as_shipped(rig):
    rig.wait(lambda: rig.ask("thermostat", {"op": "status"})["devices"][0]["connected"])
    for request in ({"op": "pid", "channel": 0, "kp": 1}, {"op": "save"}, {"op": "output", "channel": 0, "pid": True}):
        reply = rig.ask("thermostat", request)
        assert reply["error"] == "refused"
        assert "allow_control" in reply["detail"]
