"""A rig with the simulated arm: every verb of `rigbus query` while it runs, and on what it left; the same in Python."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rig import MakeRig, Rig

from common.cli.main import main
from common.ctl import request
from common.paths import Folders
from common.store.query import TelemetryQuery
from common.store.verbs import VERBS

pytest.importorskip("cyclonedds", reason="no cyclonedds here")

ANGLES = [10, -60, 60, 0, 0, 0, 30]


Ask = Callable[..., str]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """ask(rig, verb, …): what `rigbus query` prints."""

    def run(rig: Rig, *words: str) -> str:
        assert main(["query", *words, *rig.options]) == 0, words
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return run


def answers(rig: Rig, ask: Ask) -> dict[str, Any]:
    """Each verb's document; of each also a table, which must be one."""
    found = {}
    for verb in VERBS:
        assert ask(rig, verb)
        found[verb] = json.loads(ask(rig, verb, "--format", "json"))
    return found


def test_every_verb_on_a_rig_that_runs_and_on_what_it_left(make_rig: MakeRig, ask: Ask, tmp_path: Path) -> None:
    domain = random.SystemRandom().randint(1, 200)  # others share the loopback
    rig = make_rig(f'[dds]\ndomain = {domain}\ncpu = "none"\nallow_motion = true\n[sim]\narm = true\n')
    rig.start("run", args=("--only", "bus,sink,pulse,highspeed,dds"))
    rig.until(lambda: rig.status("dds")["arm"]["fresh"], "the arm is heard")
    rig.until(lambda: rig.status("dds")["arm"]["listeners"] == 1, "the arm listens")
    folders = Folders(rig.data, rig.run)
    fields = {"angles": ANGLES, "command_id": "all"}
    assert request(folders, "dds", "joints", timeout_s=20.0, **fields)["command_id"] == "all"
    arrived = lambda: request(folders, "dds", "command", command_id="all")["result"] == "arrived"  # noqa: E731
    rig.until(arrived, "it arrives")
    moved = {"joint": 6, "angle": 20, "command_id": "gripper"}
    assert request(folders, "dds", "joint", timeout_s=20.0, **moved)
    rig.until(lambda: rig.rows("SELECT count(*) FROM dds_commands")[0][0] == 2, "both commands are stored")
    later = "SELECT count(*) FROM dds_feedback WHERE funcode = 1 AND ts > (SELECT max(ts) FROM dds_commands)"
    rig.until(lambda: rig.rows(later)[0][0], "angles after them are stored")
    rig.until(lambda: rig.rows("SELECT count(*) FROM health")[0][0], "health is stored")

    running = answers(rig, ask)
    assert [row["funcode"] for row in running["commands"]] == [2, 1]
    assert {row["source"] for row in running["gripper"]} == {"command", "feedback"}
    tracked = {row["joint"]: row["samples"] for row in running["tracking"]}
    assert tracked == {**dict.fromkeys(range(6), 1), 6: 2}
    assert {"pulse", "highspeed", "dds"} <= {row["src"] for row in running["health"]}
    assert running["rate"]["feedback"]["rate_hz"] > 0
    assert running["samples"]["samples"]

    rig.stop("run")
    files = sorted(path.name for path in rig.data.iterdir())
    left = answers(rig, ask)
    assert left["summary"]["total_commands"] == 2
    assert sorted(path.name for path in rig.data.iterdir()) == files  # looking leaves no trace

    with TelemetryQuery(rig.db) as query:
        assert len(query.get_commands()) == 2
        assert query.get_tracking_error(1)["errors"][0]["target"] == -60.0
        assert query.get_session_summary() == left["summary"]
        assert len(query.get_samples("vibration", limit=None)["t_ns"]) == sum(query.get_samples(columns=10)["n"])

    done = rig.command("export", "--out", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    with (tmp_path / "dds_commands.csv").open(newline="") as file:
        assert [row["funcode"] for row in csv.DictReader(file)] == ["2", "1"]
    rig.check()
