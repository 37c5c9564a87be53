"""The pump face's decisions: names, rates, what a command came to, which status a refusal is."""

import pytest

from common.errors import NoAnswer, Refused, RigbusError, UsageError
from common.gateway import pumps
from common.gateway.refusals import refuse, status_of

RUN = {"command_id": "r", "action": "prime", "state": "done", "seconds": 2.0, "steps": 100}


def pump(name="water", run=None, last=None):
    return {"pump": name, "run": run, "last": last}


def event(name, pump="water"):
    return {"event": name, "pump": pump}


@pytest.mark.parametrize(
    ("said", "names", "meant"),
    [
        ("water", ["water", "food"], "water"),
        ("water_pump", ["water", "food"], "water"),
        ("water_pump", ["water", "water_pump"], "water_pump"),
        ("water_pump", ["water_pump"], "water_pump"),
    ],
)
def test_the_old_names_are_those_of_the_configuration(said, names, meant):
    assert pumps.named(said, names) == meant


@pytest.mark.parametrize("said", ["tea", "", "_pump", "water_pump_pump", "Water", "water "])
def test_others_are_unknown(said):
    with pytest.raises(pumps.Unknown, match="water, food"):
        pumps.named(said, ["water", "food"])


def test_a_rate_is_ml_by_the_seconds_of_its_run():
    assert pumps.measured(RUN, "water", 1.5) == ("r", 3.0)
    assert pumps.ml_per_s(3000.0, 10_000.0) == pytest.approx(3.3333, abs=1e-4)
    assert pumps.ml_per_s(None, 10_000.0) is None


@pytest.mark.parametrize(
    "last",
    [
        None,
        {**RUN, "state": "stopped"},
        {**RUN, "action": "dispense"},
        {**RUN, "seconds": 0.0},
        {**RUN, "seconds": None},
    ],
)
def test_a_rate_of_no_such_run_is_refused(last):
    with pytest.raises(pumps.NoRun, match="calibrate-seconds"):
        pumps.measured(last, "water", 1.5)


@pytest.mark.parametrize(
    ("known", "events", "state"),
    [
        ([pump(run={"command_id": "x"})], [event("intent")], "running"),
        ([pump(last={"command_id": "x", "state": "done"})], [], "done"),
        ([pump(last={"command_id": "y", "state": "done"})], [event("intent"), event("stopped")], "stopped"),
        ([pump(), pump("food")], [event("done"), event("stopped", "food")], "stopped"),
        ([], [event("intent"), event("started")], "unknown"),
        ([pump(), pump("food")], [event("intent"), event("done"), event("intent", "food")], "unknown"),
        ([pump()], [event("refused")], "refused"),
        ([pump(), pump("food", run={"command_id": "x"})], [event("done")], "running"),
    ],
)
def test_what_a_command_came_to(known, events, state):
    found = pumps.came_to("x", known, events)
    assert found is not None
    assert found["state"] == state


def test_a_command_that_nobody_knows():
    assert pumps.came_to("x", [pump(run={"command_id": "y"}, last={"command_id": "z", "state": "done"})], []) is None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused("pump: busy: water is running, command id a"), 409),
        (Refused("pump: locked: emergency stop: x"), 409),
        (Refused("pump: calibration: a volume needs it"), 409),
        (Refused("pump: repeated: the command id x was used"), 409),
        (Refused("pump: stopped: water, before it began"), 409),
        (Refused("pump: limit: 3e+08 steps"), 422),
        (Refused("pump: hz: more than the driver makes"), 422),
        (Refused("pump: Expected `float`, got `str`", "malformed"), 422),
        (Refused("pump: unknown: no pump 'x'"), 400),
        (Refused("pump: stalled: the daemon was kept from running"), 503),
        (Refused("pump: record: the disk is full"), 503),
        (Refused("pump: KeyError: x", "failed"), 503),
        (Refused("pump: something new"), 503),
        (NoAnswer("pump: no answer in 5 s"), 504),
        (UsageError("pump prime: cannot be sent: x"), 422),
        (RigbusError("pump: not running"), 503),
    ],
    ids=str,
)
def test_the_status_of_a_refusal(error, status):
    assert status_of(error) == status
    # what only asks has nothing that may have begun
    assert refuse(error).status_code == (503 if status == 504 else status)
