"""The pump face over HTTP, against a real rig: the simulated motor's own count is the witness of what moved."""

import itertools
import json
import signal

import pytest
from faces import CONTROL, READ, TOKENS, Faces, running

from common.drivers.sim_motor import PREFIX, read

CONFIG = """
[pump]
cpu = "none"
[[pump.pump]]
name = "water"
step = 16
dir = 6
en = 17
max_s_day = 100000.0
max_ml_day = 100000.0
[[pump.pump]]
name = "food"
step = 27
dir = 22
en = 24
"""
MOTIONS = {
    "/pump/run-seconds": {"pump": "water", "seconds": 0.3},
    "/pump/run-multi-seconds": {"pumps": ["water", "food"], "seconds": 0.3},
    "/pump/run-ml": {"pump": "water", "ml": 0.1},
    "/pump/calibrate-seconds": {"pump": "water", "run_seconds": 0.3},
    "/api/pumps/prime": {"pump": "water", "seconds": 0.3},
    "/api/pumps/dispense": {"pump": "water", "ml": 0.1},
}
numbers = itertools.count()


@pytest.fixture(scope="module")
def rig_of_pumps():
    with running(CONFIG, "pump") as faces:
        faces.rig.until(lambda: faces.get("/pump/status")["pumps"], "the pumps can be asked")
        yield faces


@pytest.fixture
def faces(rig_of_pumps):
    """Unlocked, and at rest before and after."""
    yield rig_of_pumps
    rig_of_pumps.post("/api/pumps/stop")
    rig_of_pumps.post("/pump/unlock-all")
    at_rest(rig_of_pumps)


def at_rest(faces: Faces) -> None:
    faces.rig.until(lambda: not faces.get("/pump/status")["running_pumps"], "nothing runs")


def steps(faces: Faces, pump: str = "water") -> int:
    return read(faces.rig.run / f"{PREFIX}{pump}").steps


def new_id() -> str:
    return f"test-{next(numbers)}"


def ended(faces: Faces, command_id: str) -> dict:
    """What a command came to, once it is over."""
    path = f"/api/pumps/commands/{command_id}"
    faces.rig.until(lambda: faces.get(path)["state"] not in ("running", "unknown"), f"{command_id} has ended")
    return faces.get(path)


@pytest.mark.parametrize("path", MOTIONS)
def test_each_motion_moves_what_it_says_and_is_recorded(faces, path):
    before = {pump: steps(faces, pump) for pump in ("water", "food")}
    found = faces.post(path, MOTIONS[path])
    assert found["status"] == "ok"
    assert found["repeated"] is False
    planned = {run["pump"]: run["planned_steps"] for run in found["runs"]}
    outcome = ended(faces, found["command_id"])
    assert outcome["state"] == "done"
    for pump, count in before.items():
        assert steps(faces, pump) - count == planned.get(pump, 0)
    faces.rig.until(
        lambda: (
            {e["event"] for e in faces.get(f"/api/pumps/commands/{found['command_id']}")["events"]}
            == {"intent", "started", "done"}
        ),
        "intent and outcome are in the store",
    )


def test_the_answer_has_the_old_programs_words(faces):
    # longer than it takes to ask what runs
    found = faces.post("/pump/run-seconds", {"pump": "water", "seconds": 5, "hz": 8000, "direction": "cw"})
    assert {key: found[key] for key in ("pump", "seconds", "hz", "direction", "status")} == {
        "pump": "water", "seconds": 5, "hz": 8000, "direction": "cw", "status": "ok",
    }  # fmt: skip
    assert found["runs"][0]["direction"] == "forward"
    assert found["runs"][0]["hz"] == 8000
    assert faces.get("/pump/status")["running_pumps"] == ["water"]


def test_the_old_programs_names_are_known(faces):
    assert faces.post("/pump/run-seconds", {"pump": "water_pump", "seconds": 0.1})["pump"] == "water"
    at_rest(faces)
    found = faces.post("/pump/run-multi-seconds", {"pumps": ["water_pump", "food_pump"], "seconds": 0.1})
    assert found["pumps"] == ["water", "food"]


@pytest.mark.parametrize("path", MOTIONS)
def test_an_unknown_pump_is_a_400(faces, path):
    body = dict(MOTIONS[path])
    for name in ("tea", "", "../water", "water ", "water\n", "w" * 64):
        asked = body | ({"pumps": ["food", name]} if "pumps" in body else {"pump": name})
        assert faces.http.post(path, json=asked).status_code == (422 if name == "" else 400), name
    assert faces.get("/pump/status")["running_pumps"] == []


def test_a_busy_pump_is_a_409_and_is_not_run_later(faces):
    # it outlasts six refusals, each of which is put on the disk; no stop ends it, for that would void what waits
    first = faces.post("/pump/run-seconds", {"pump": "water", "seconds": 3})
    before = steps(faces, "food")
    for path, body in MOTIONS.items():
        found = faces.post(path, body, code=409)
        assert found["detail"]["reason"] == "busy", path
        assert "busy" in found["error"]
    assert ended(faces, first["command_id"])["state"] == "done"
    at_rest(faces)
    assert steps(faces, "food") == before


@pytest.mark.parametrize("path", MOTIONS)
def test_a_locked_pump_is_a_409_and_nothing_runs_after_unlocking(faces, path):
    before = steps(faces)
    stopped = faces.post("/pump/stop-all")
    assert {key: stopped[key] for key in ("status", "locked", "saved")} == {
        "status": "ok",
        "locked": True,
        "saved": True,
    }
    assert faces.get("/pump/status")["locked"] is True
    found = faces.post(path, MOTIONS[path], code=409)
    assert found["detail"]["reason"] == "locked"
    assert faces.post("/pump/unlock-all")["locked"] is False
    assert faces.get("/pump/status")["locked"] is False
    assert faces.post(path, {**MOTIONS[path], "command_id": found["detail"]["command_id"]}, code=409)
    assert steps(faces) == before


def test_the_stop_ends_a_run_and_outlives_the_daemon(faces):
    rig = faces.rig
    found = faces.post("/pump/run-seconds", {"pump": "water", "seconds": 30})
    assert faces.post("/pump/stop-all")["stopped"] == ["water"]
    outcome = ended(faces, found["command_id"])
    assert outcome["state"] == "stopped"
    assert outcome["ended"][0]["reason"] == "estop"
    # what is recorded is what was done, not what was asked for
    assert outcome["ended"][0]["steps"] < found["runs"][0]["planned_steps"]
    rig.stop("pump")
    faces.post("/pump/run-seconds", {"pump": "water", "seconds": 0.1}, code=503)
    rig.start("pump")
    rig.ready("pump")
    rig.until(lambda: faces.get("/pump/status")["locked"], "it is locked still")
    faces.post("/pump/run-seconds", {"pump": "water", "seconds": 0.1}, code=409)


def test_a_stop_while_the_daemon_is_away_latches_all_the_same(faces):
    rig = faces.rig
    rig.signal("pump", signal.SIGSTOP)
    try:
        found = faces.post("/pump/stop-all", code=503)
        assert "switch on the rig" in found["error"]
        # not told by the first where the disk is slow: that one answers within a second, latched or not
        latched = {"locked": True, "saved": True, "stopped": []}
        rig.until(lambda: faces.post("/pump/stop-all", code=503)["detail"] == latched, "it is latched")
    finally:
        rig.signal("pump", signal.SIGCONT)
    rig.ready("pump")
    rig.until(lambda: faces.get("/pump/status")["locked"], "it is locked when it comes back")
    # one that was away holds all motion for 2 s: that is not for the next test
    body = MOTIONS["/pump/run-seconds"]
    rig.until(lambda: faces.http.post("/pump/run-seconds", json=body).status_code == 409, "it decides, and is locked")


def test_a_stop_without_a_latch_ends_one_pump_or_all(faces):
    both = faces.post("/pump/run-multi-seconds", {"pumps": ["water", "food"], "seconds": 30})
    assert faces.post("/api/pumps/stop", {"pump": "food"}) == {"stopped": ["food"]}
    faces.rig.until(lambda: faces.get("/pump/status")["running_pumps"] == ["water"], "the other runs on")
    assert faces.post("/api/pumps/stop") == {"stopped": ["water"]}
    assert ended(faces, both["command_id"])["state"] == "stopped"
    assert faces.get("/pump/status")["locked"] is False
    faces.post("/api/pumps/stop", {"pump": "tea"}, code=400)


def test_a_stop_is_not_refused_for_its_body(faces):
    for body in (b"{", b"null", b'{"reason": 1}', b"\xff"):
        assert faces.post("/pump/stop-all", content=body)["locked"] is True


def test_a_command_id_moves_something_once(faces):
    before, command_id = steps(faces), new_id()
    body = {"pump": "water", "ml": 0.2, "command_id": command_id}
    first = faces.post("/pump/run-ml", body)
    ended(faces, command_id)
    again = faces.post("/pump/run-ml", body)
    assert (first["repeated"], again["repeated"]) == (False, True)
    assert again["runs"][0]["state"] == "done"
    assert faces.post("/pump/run-ml", {**body, "ml": 0.3}, code=409)["detail"]["reason"] == "repeated"
    at_rest(faces)
    assert steps(faces) - before == first["runs"][0]["planned_steps"]


def test_the_header_is_a_command_id_too(faces):
    before, command_id = steps(faces), new_id()
    body = {"pump": "water", "seconds": 0.2}
    for key in (command_id, f'"{command_id}"'):
        found = faces.post("/pump/run-seconds", body, headers={"Idempotency-Key": key})
        assert found["command_id"] == command_id
    ended(faces, command_id)
    assert steps(faces) - before == found["runs"][0]["planned_steps"]
    faces.post("/pump/run-seconds", {**body, "command_id": "x"}, code=422, headers={"Idempotency-Key": "y"})
    for key in ("a b", "ä".encode(), "x" * 65, "../x"):
        assert faces.http.post("/pump/run-seconds", json=body, headers={"Idempotency-Key": key}).status_code == 422, key
    assert faces.get("/pump/status")["running_pumps"] == []


def test_no_answer_is_a_504_that_says_so_and_nothing_is_sent_twice(faces):
    rig, before, command_id = faces.rig, steps(faces), new_id()
    body = {"pump": "water", "seconds": 0.3, "command_id": command_id}
    rig.signal("pump", signal.SIGSTOP)
    try:
        found = faces.post("/pump/run-seconds", body, code=504)
    finally:
        rig.signal("pump", signal.SIGCONT)
    assert found["detail"]["command_id"] == command_id
    assert "may have begun" in found["error"]
    assert "same command_id" in found["error"]
    rig.ready("pump")

    def asked_again() -> bool:
        answer = faces.http.post("/pump/run-seconds", json=body)
        assert answer.status_code in (200, 409, 503), answer.text  # 503: it was kept from running a moment ago
        return answer.status_code == 200

    rig.until(asked_again, "the same id is answered")
    assert ended(faces, command_id)["state"] in ("done", "stopped")
    assert 0 < steps(faces) - before <= 3000


_MISSING = object()
VALUES = [_MISSING, None, True, "5", [], {}, [1], 0, -1, 1e999, float("nan"), 86_401, 10**400, "NaN"]


@pytest.mark.parametrize("path", MOTIONS)
def test_bad_values_are_a_422(faces, path):
    before = steps(faces)
    field = next(name for name in ("seconds", "run_seconds", "ml") if name in MOTIONS[path])
    cases = [(field, value) for value in VALUES if value != 86_401 or field != "ml"]
    cases += [("hz", value) for value in (True, "1", 0, 0.5, -3, 1e999, 1e9, [])]
    cases += [("direction", value) for value in ("up", "", 1, None, ["fwd"])] if "calibrate" not in path else []
    cases += [("command_id", value) for value in ("", "a b", "x" * 65, "a\n", 5, ["a"], "ä", "a/../b")]
    names = "pumps" if "pumps" in MOTIONS[path] else "pump"
    cases += [(names, value) for value in (_MISSING, None, 5, {}, True)]
    cases += [("pumps", value) for value in ([], "water", [[]], [None], ["water", "water"])] * (names == "pumps")
    cases += [("secs", 5)]
    for name, value in cases:
        body = {key: old for key, old in MOTIONS[path].items() if key != name}
        if value is not _MISSING:
            body[name] = value
        # as text: JSON that Python writes and others may, NaN and Infinity among it
        answer = faces.http.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, (name, value, answer.status_code, answer.text)
        assert set(answer.json()) == {"error", "detail"}
    assert faces.get("/pump/status")["running_pumps"] == []
    assert steps(faces) == before


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'"x"', b"5", b"\xff\xfe", b"[" * 60_000, b'{"pump": "\\ud800"}']
)
def test_a_body_that_is_none_is_a_422(faces, content):
    for path in [*MOTIONS, "/pump/calibration"]:
        answer = faces.http.post(path, content=content, headers={"Content-Type": "application/json"})
        # FastAPI's own answer to what is nested too deep is 400
        assert answer.status_code in (400, 422) if content[:2] == b"[[" else answer.status_code == 422, answer.text


@pytest.mark.parametrize("name", ["\\ud800", "\\u0000", "\\u001b[2J", "\\u2028", "\\ud83d\\ude00"])
def test_a_strange_name_is_an_unknown_pump(faces, name):
    for path, body in (("/pump/run-ml", '"ml": 1'), ("/pump/calibration", '"ml": 1'), ("/api/pumps/stop", "")):
        content = f'{{"pump": "{name}"{body and ", "}{body}}}'
        answer = faces.http.post(path, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), (path, answer.text)


def test_over_the_bounds_of_the_configuration_is_a_422(faces):
    for path, body in (
        ("/pump/run-seconds", {"pump": "water", "seconds": 61}),
        ("/pump/run-ml", {"pump": "water", "ml": 101}),
        ("/pump/run-seconds", {"pump": "water", "seconds": 1, "hz": 999_999}),
    ):
        assert faces.post(path, body, code=422)["detail"]["reason"] in ("limit", "hz")


def test_a_measured_rate_is_that_of_the_calibration_run(faces):
    run = faces.post("/pump/calibrate-seconds", {"pump": "water", "run_seconds": 0.5, "hz": 12000})
    assert "/pump/calibration" in run["message"]
    (row,) = ended(faces, run["command_id"])["ended"]
    found = faces.post("/pump/calibration", {"pump": "water", "ml_per_sec": 2.5})["pumps"]["water"]
    assert found["steps_per_ml"] == pytest.approx(row["steps"] / (2.5 * row["seconds"]))
    assert found["run"] == run["command_id"]
    assert found["ml_per_sec"] == pytest.approx(found["hz"] / found["steps_per_ml"])
    every = faces.get("/pump/calibration")["pumps"]
    assert every["water"] == found
    assert set(every) == {"water", "food"}
    before = steps(faces)
    ended(faces, faces.post("/pump/run-ml", {"pump": "water", "ml": 0.4})["command_id"])
    assert steps(faces) - before == pytest.approx(0.4 * found["steps_per_ml"], abs=1)
    # the volume of a run that is named, without a detour over a rate
    by_ml = faces.post("/pump/calibration", {"pump": "water", "ml": 1.0, "run": run["command_id"]})["pumps"]["water"]
    assert by_ml["steps_per_ml"] == row["steps"]


def test_a_rate_without_a_run_that_it_could_be_of_is_refused(faces):
    before = faces.get("/pump/calibration", pump="water")
    ended(faces, faces.post("/pump/run-ml", {"pump": "water", "ml": 0.1})["command_id"])
    assert (
        "none that this rate" in faces.post("/pump/calibration", {"pump": "water", "ml_per_sec": 2}, code=409)["error"]
    )
    run = faces.post("/pump/run-seconds", {"pump": "water", "seconds": 20})
    faces.post("/api/pumps/stop", {"pump": "water"})
    ended(faces, run["command_id"])
    faces.post("/pump/calibration", {"pump": "water", "ml_per_sec": 2}, code=409)
    assert faces.get("/pump/calibration", pump="water") == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"pump": "tea", "ml_per_sec": 1}, 400),
        ({"pump": "water"}, 422),
        ({"pump": "water", "ml_per_sec": 1, "ml": 1}, 422),
        ({"pump": "water", "ml_per_sec": 1, "run": "x"}, 422),
        ({"pump": "water", "ml_per_sec": 0}, 422),
        ({"pump": "water", "ml_per_sec": "1.48"}, 422),
        ({"pump": "water", "ml": 1, "run": "nobody-knows"}, 409),
        ({"pump": "water", "ml": 1, "run": ["x"]}, 422),
    ],
    ids=str,
)
def test_a_wrong_calibration_is_refused(faces, body, code):
    faces.post("/pump/calibration", body, code=code)


def test_a_command_that_nobody_knows_is_a_404(faces):
    for command_id in ("nobody", "a%2Fb", "..", "%00", "x" * 64, "' OR 1=1"):
        assert faces.http.get(f"/api/pumps/commands/{command_id}").status_code == 404, command_id
    assert faces.http.get(f"/api/pumps/commands/{'x' * 65}").status_code == 422


def test_a_refused_command_is_known_as_refused(faces):
    command_id = new_id()
    faces.post("/pump/run-ml", {"pump": "water", "ml": 5000, "command_id": command_id}, code=422)
    faces.rig.until(lambda: faces.http.get(f"/api/pumps/commands/{command_id}").status_code == 200, "it is stored")
    assert faces.get(f"/api/pumps/commands/{command_id}")["state"] == "refused"


def test_what_moves_needs_the_control_token_and_a_stop_does_not():
    with running(CONFIG, "pump", env=TOKENS, token=READ) as faces:
        rig = faces.rig
        rig.until(lambda: faces.get("/pump/status")["pumps"], "the pumps can be asked")
        for path, body in MOTIONS.items():
            faces.post(path, body, code=403)
        faces.post("/pump/calibration", {"pump": "water", "ml": 1}, code=403)
        assert steps(faces) == 0
        assert faces.post("/api/pumps/stop") == {"stopped": []}
        assert faces.post("/pump/stop-all")["locked"] is True
        faces.post("/pump/unlock-all", code=403)
        assert faces.get("/pump/status")["locked"] is True
        mover = Faces(rig, CONTROL)
        assert mover.post("/pump/unlock-all")["locked"] is False
        mover.http.close()
        nobody = Faces(rig)
        for path in ("/pump/status", "/pump/calibration", "/api/pumps/commands/x", "/metrics", "/api/debug/stats"):
            nobody.get(path, 401)
        nobody.post("/pump/stop-all", code=401)
        nobody.http.close()


def test_without_pumps_their_routes_say_so():
    with running("") as faces:
        assert "[pump]" in faces.get("/pump/status", 404)["error"]
        faces.post("/pump/stop-all", code=404)
        assert "[thermostat]" in faces.get("/report", 404)["error"]
