"""`rigbus influx setup` against the fixture: all of it, half of it, nothing twice, and never a secret on the screen."""

import json
import stat

import pytest
from desk import kept, ours, state, tasks
from v2server import permission

from common.config.dotenv import read
from common.config.schema import InfluxConfig
from common.influx import flux

NAMES = ["PowerLogger_raw", "PowerLogger_1m", "PowerLogger_5m", "PowerLogger_1h"]
KEPT_S = [720 * 3600, 2160 * 3600, 8760 * 3600, 0]
TASKS = ["powerlogger_downsample_1m", "powerlogger_downsample_5m", "powerlogger_downsample_1h"]


def test_everything_is_made_and_a_second_run_changes_nothing(desk, server):
    code, out, _ = desk.run("setup", "--save")
    assert code == 0
    assert kept(server) == dict(zip(NAMES, KEPT_S, strict=True))
    assert tasks(server) == {
        n: ("active", flux.task(w, InfluxConfig())) for n, w in zip(TASKS, flux.WINDOWS, strict=True)
    }
    assert "✅ InfluxDB is set up" in out
    writer, reader = ours(server)["rigbus writer (rig)"], ours(server)["rigbus Grafana reader (rig)"]
    ids = {b["id"] for b in server.buckets.values() if b["type"] == "user"}
    for made, action in ((writer, "write"), (reader, "read")):
        granted = {(p["action"], p["resource"]["type"], p["resource"]["id"]) for p in made["permissions"]}
        assert granted == {(action, "buckets", bucket) for bucket in ids}
    env = read(desk.env)
    assert env["INFLUX_WRITE_TOKEN"] == writer["token"]
    assert env["INFLUX_READ_TOKEN"] == reader["token"]
    assert env["INFLUX_TOKEN"] == server.admin_token
    assert desk.env.read_text().startswith("# mine\nINFLUX_ORG=")
    assert stat.S_IMODE(desk.env.stat().st_mode) == 0o600

    before, text = state(server), desk.env.read_text()
    code, out, _ = desk.run("setup", "--save")
    assert code == 0
    listed = "".join(f"  • {name}\n" for name in NAMES)
    assert f"✅ All PowerLogger buckets already exist!\n{listed}" in out
    assert "Setup appears to be complete. Skipping bucket creation." in out
    assert "nothing was changed" in out
    assert (state(server), desk.env.read_text()) == (before, text)
    code, document = desk.json("setup", "--save")
    assert (code, document["changed"], document["ok"]) == (0, False, True)


def test_a_dry_run_says_all_and_changes_nothing(desk, server):
    before, text = state(server), desk.env.read_text()
    code, document = desk.json("setup", "--save", "--dry-run")
    assert code == 0
    assert [s["state"] for s in document["steps"]] == ["would"] * 9
    assert (state(server), desk.env.read_text()) == (before, text)
    assert {method for method, *_ in server.exchanges} == {"GET"}
    assert "would be created, keeps 30 days" in desk.run("setup", "--dry-run")[1]


def test_without_save_no_token_is_made(desk, server):
    code, out, _ = desk.run("setup")
    assert code == 0
    assert ours(server) == {}
    assert "setup --save" in out
    assert len(kept(server)) == 4


def damage(server, what):
    by_name = {b["name"]: b for b in server.buckets.values()}
    task = next((t for t in server.tasks.values() if t["name"] == TASKS[1]), None)
    if what == "bucket":
        del server.buckets[by_name["PowerLogger_5m"]["id"]]
    elif what in ("shorter", "longer"):
        every_s = 3600 if what == "shorter" else 0
        by_name["PowerLogger_1m"]["retentionRules"] = [{"type": "expire", "everySeconds": every_s}]
    elif what == "no task":
        del server.tasks[task["id"]]
    elif what == "inactive task":
        task["status"] = "inactive"
    elif what == "changed task":
        task["flux"] = task["flux"].replace(', timeSrc: "_start"', "")
    elif what == "second task":
        server.add_task(task["flux"])
    else:
        one = ours(server)["rigbus writer (rig)" if "writer" in what else "rigbus Grafana reader (rig)"]
        if what.startswith("inactive"):
            one["status"] = "inactive"
        elif what.startswith("narrow"):
            one["permissions"] = one["permissions"][:1]  # the seed's could not write the bucket of minutes
        else:
            del server.authorizations[one["id"]]


@pytest.mark.parametrize(
    "what",
    ["bucket", "shorter", "longer", "no task", "inactive task", "changed task", "second task"]
    + [f"{how} {which}" for how in ("no", "inactive", "narrow") for which in ("writer", "reader")],
)
@pytest.mark.parametrize("shows_tokens", [True, False])
def test_each_piece_that_is_missing_or_wrong_is_mended_and_the_rest_stays(desk, server, what, shows_tokens):
    server.shows_tokens = shows_tokens
    assert desk.run("setup", "--save")[0] == 0
    whole = json.loads(state(server))
    damage(server, what)
    assert desk.run("verify")[0] == (0 if what == "longer" else 1)
    code, document = desk.json("setup", "--save", *["--shorten"] * (what == "longer"))
    assert code == 0
    changed = {step["part"] for step in document["steps"] if step["state"] == "changed"}
    wanted = "bucket" if what in ("bucket", "shorter", "longer") else "task" if "task" in what else "token"
    assert changed == ({"bucket", "token"} if what == "bucket" else {wanted})  # a new bucket has a new id
    assert desk.run("verify")[0] == 0
    assert desk.json("setup", "--save")[1]["changed"] is False
    now = json.loads(state(server))
    if wanted != "bucket":
        assert now[0] == whole[0]
    if wanted != "task":
        assert now[1] == whole[1]
    assert len(ours(server)) == len([a for a in server.authorizations.values() if "rigbus" in a["description"]]) == 2


def test_a_bucket_that_keeps_longer_is_set_back_on_request_only(desk, server):
    server.add_bucket("PowerLogger_raw", 0)
    assert "left so" in desk.run("setup")[1]
    assert kept(server)["PowerLogger_raw"] == 0
    assert "the server deletes what is older" in desk.run("setup", "--shorten", "--dry-run")[1]
    said = desk.run("setup", "--shorten")[1]
    assert "set to keep 30 days, it was for ever; the server deletes what is older" in said
    assert kept(server)["PowerLogger_raw"] == 720 * 3600


def test_names_of_your_own(desk, server):
    with desk.env.open("a") as env:
        env.write("RAW_BUCKET=r\nB1M_BUCKET=m\nB5M_BUCKET=f\nB1H_BUCKET=h\nMEASUREMENT=Meter\n")
    server.add_bucket("PowerLogger_raw", 3600)
    assert desk.run("setup")[0] == 0
    assert kept(server) == {"r": 720 * 3600, "m": 2160 * 3600, "f": 8760 * 3600, "h": 0, "PowerLogger_raw": 3600}
    assert desk.run("delete", "--yes")[0] == 0
    assert kept(server) == {"PowerLogger_raw": 3600}
    assert server.tasks == {}


def test_one_bucket_for_two_purposes_is_a_mistake_of_the_configuration(desk):
    with desk.env.open("a") as env:
        env.write("RAW_BUCKET=x\nB1M_BUCKET=x\n")
    code, _, err = desk.run("setup")
    assert code == 78
    assert "one bucket for two purposes" in err


def test_more_buckets_and_tasks_than_one_page_holds(desk, server):
    for n in range(120):
        server.add_bucket(f"a{n}", 0)
        server.add_task(f'option task = {{name: "a{n}", every: 1h}}')
    assert desk.run("setup", "--save")[0] == 0
    assert desk.json("setup", "--save")[1]["changed"] is False


def test_in_sink_mode_the_tasks_are_switched_off_never_both(desk, server):
    assert desk.run("setup", "--save")[0] == 0
    desk.toml.write_text('node = "rig"\n[sink.influx]\nenabled = true\ndownsampling = "sink"\n')
    assert desk.run("verify")[0] == 1
    assert desk.run("setup")[0] == 0
    assert {status for status, _ in tasks(server).values()} == {"inactive"}
    assert desk.run("verify")[0] == 0
    assert desk.json("setup")[1]["changed"] is False
    desk.toml.write_text('node = "rig"\n[sink.influx]\nenabled = true\n')
    assert desk.run("setup")[0] == 0
    assert {status for status, _ in tasks(server).values()} == {"active"}


def test_in_sink_mode_no_task_is_made(desk, server):
    desk.toml.write_text('node = "rig"\n[sink.influx]\nenabled = true\ndownsampling = "sink"\n')
    assert desk.run("setup")[0] == 0
    assert server.tasks == {}


def test_a_server_without_flux_gets_buckets_and_says_so(desk, server):
    server.flux = False
    code, out, _ = desk.run("setup", "--save")
    assert code == 0
    assert "no Flux tasks: the sink sums up" in out
    assert desk.run("verify")[0] == 0
    desk.toml.write_text('node = "rig"\n[sink.influx]\nenabled = true\ndownsampling = "tasks"\n')
    code, out, _ = desk.run("setup")
    assert code == 1
    assert 'downsampling = "sink"' in out
    assert desk.run("verify")[0] == 1


def test_a_foreign_task_that_writes_to_our_sums_is_named_and_left_alone(desk, server):
    text = 'option task = {name: "old", every: 1m}\nfrom(bucket: "PowerLogger_raw") |> to(bucket: "PowerLogger_1m")'
    server.add_task(text)
    assert "old: not rigbus's, and writes to PowerLogger_1m too" in desk.run("setup")[1]
    assert tasks(server)["old"] == ("active", text)


def test_the_seeds_own_tasks_are_put_right_in_place(desk, server):
    server.add_task(
        'option task = {name: "powerlogger_downsample_1m", every: 1m}\nfrom(bucket: "x") |> range(start: -5m)'
    )
    assert "put right" in desk.run("setup")[1]
    assert len(server.tasks) == 3


def test_a_token_made_by_hand_that_works_is_kept(desk, server):
    desk.run("setup")
    hand = server.authorize("by hand", [permission("write", "buckets"), permission("read", "buckets")])["token"]
    with desk.env.open("a") as env:
        env.write(f"INFLUX_WRITE_TOKEN={hand}\nINFLUX_READ_TOKEN={hand}\n")
    assert desk.json("setup", "--save")[1]["changed"] is False
    assert ours(server) == {}


def test_a_token_from_the_environment_is_not_hidden_by_one_in_the_file(desk, server, monkeypatch):
    monkeypatch.setenv("INFLUX_WRITE_TOKEN", "x" * 40)
    code, out, _ = desk.run("setup", "--save")
    assert code == 1
    assert "comes from the environment" in out
    assert "INFLUX_WRITE_TOKEN" not in read(desk.env)


def test_a_token_that_cannot_be_saved_is_not_made(desk, server, monkeypatch):
    desk.run("setup")
    monkeypatch.setattr("common.influx.env_file.os.access", lambda *_: False)
    code, out, _ = desk.run("setup", "--save")
    assert code == 1
    assert "no permission to write" in out
    assert ours(server) == {}
    assert "POST" not in [method for method, path, *_ in server.exchanges if path.endswith("authorizations")]


def test_a_token_whose_saving_fails_is_taken_back(desk, server, monkeypatch):
    desk.run("setup")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("common.influx.env_file.os.replace", full)
    code, out, _ = desk.run("setup", "--save")
    assert code == 1
    assert "No space left" in out
    assert ours(server) == {}


def test_a_token_of_few_rights_fails_piece_by_piece_and_says_which(desk, server):
    grants = [permission("read", "orgs"), permission("read", "buckets"), permission("write", "buckets")]
    desk.write_env(INFLUX_ORG=server.org, INFLUX_HOST=server.url, INFLUX_TOKEN=server.authorize("few", grants)["token"])
    code, document = desk.json("setup", "--save")
    assert code == 1
    assert len(kept(server)) == 4
    failed = [(s["part"], s["text"]) for s in document["steps"] if s["state"] == "failed"]
    assert [part for part, _ in failed] == ["task"] * 3 + ["token"] * 2
    assert all("is unauthorized" in text for _, text in failed)
