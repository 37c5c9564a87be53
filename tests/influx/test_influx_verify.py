"""`rigbus influx verify` and `rigbus doctor`: every check is there when all is well, and every one can fail."""

import json
import re

import pytest
from v2server import permission

from common.cli import main as cli
from common.config.dotenv import read
from common.influx import verify


def task(server, n=0):
    return sorted(server.tasks.values(), key=lambda t: t["name"])[n]


def bucket(server, name):
    return server.bucket(f"PowerLogger_{name}")


def setting(desk, **values):
    env = read(desk.env) | values
    desk.env.write_text("".join(f"{key}={value}\n" for key, value in env.items()))


def narrow(server, which):
    one = next(a for a in server.authorizations.values() if which in a["description"])
    one["permissions"] = one["permissions"][:-1]


HEALTH = {"name": "influxdb", "status": "fail", "message": "disk", "version": "v2.7"}
# what is done → the check that fails, and words of its line
FAULTS = {
    "mode": (lambda desk, server: desk.env.chmod(0o640), ".env", "others can read it (mode 0640)"),
    "no .env": (lambda desk, server: desk.env.unlink(), ".env", "is not there"),
    "no address": (lambda desk, server: setting(desk, INFLUX_HOST="nowhere"), "InfluxDB", "no address"),
    "down": (lambda desk, server: setting(desk, INFLUX_HOST="http://127.0.0.1:1"), "InfluxDB", "refused"),
    "ill": (
        lambda desk, server: server.answers.update({("GET", "/health"): (503, HEALTH, "application/json")}),
        "InfluxDB", "disk",
    ),
    "ill, says 200": (
        lambda desk, server: server.answers.update({("GET", "/health"): (200, HEALTH, "application/json")}),
        "InfluxDB", "disk",
    ),
    "clock ahead": (lambda desk, server: setattr(server, "date_offset_s", 60), "clocks", "60 s ahead"),
    "clock behind": (lambda desk, server: setattr(server, "date_offset_s", -3600), "clocks", "behind"),
    "no token": (lambda desk, server: setting(desk, INFLUX_TOKEN=""), "credentials", "INFLUX_TOKEN is set neither"),
    "wrong token": (lambda desk, server: setting(desk, INFLUX_TOKEN="x" * 20), "credentials", "HTTP 401"),
    "wrong org": (lambda desk, server: setting(desk, INFLUX_ORG="no"), "organization", "not found"),
    **{
        f"no bucket {n}": (
            lambda desk, server, n=n: server.buckets.pop(bucket(server, n)["id"]), f"bucket PowerLogger_{n}",
            "does not exist",
        )
        for n in ("raw", "1m", "5m", "1h")
    },
    **{
        f"retention {n}": (
            lambda desk, server, n=n: bucket(server, n).update(
                retentionRules=[{"type": "expire", "everySeconds": 7200}]
            ),
            f"bucket PowerLogger_{n}", "keeps 2 hours, not",
        )
        for n in ("raw", "1m", "5m", "1h")
    },
    "no task": (lambda desk, server: server.tasks.pop(task(server, 0)["id"]), "task 1h", "does not exist"),
    "inactive task": (lambda desk, server: task(server, 1).update(status="inactive"), "task 1m", "not active"),
    "changed task": (lambda desk, server: task(server, 2).update(flux="x = 1"), "task 5m", "its Flux is not"),
    "second task": (
        lambda desk, server: server.add_task(task(server, 1)["flux"]), "task 1m", "exists more than once"
    ),
    "failed task": (
        lambda desk, server: task(server, 1).update(lastRunStatus="failed", lastRunError="could not find bucket"),
        "task 1m", "its last run failed: could not find bucket",
    ),
    "tasks in sink mode": (
        lambda desk, server: desk.toml.write_text(desk.toml.read_text() + 'downsampling = "sink"\n'),
        "task 1m", "the sink sums up too",
    ),
    "no writer": (lambda desk, server: setting(desk, INFLUX_WRITE_TOKEN=""), "INFLUX_WRITE_TOKEN", "there is no"),
    "no reader": (lambda desk, server: setting(desk, INFLUX_READ_TOKEN=""), "INFLUX_READ_TOKEN", "there is no"),
    "unknown writer": (lambda desk, server: setting(desk, INFLUX_WRITE_TOKEN="y" * 20), "INFLUX_WRITE_TOKEN", "401"),
    "unknown reader": (lambda desk, server: setting(desk, INFLUX_READ_TOKEN="y" * 20), "INFLUX_READ_TOKEN", "401"),
    "narrow writer": (lambda desk, server: narrow(server, "writer"), "INFLUX_WRITE_TOKEN", "HTTP 403: insufficient"),
    "narrow reader": (lambda desk, server: narrow(server, "reader"), "INFLUX_READ_TOKEN", "it cannot read"),
}  # fmt: skip


@pytest.fixture
def ready(desk, server):
    assert desk.run("setup", "--save")[0] == 0
    return desk


def checks(desk):
    code, document = desk.json("verify")
    return code, {f["what"]: (f["state"], f["detail"], f["mend"]) for f in document["findings"]}, document["ok"]


WELL = [
    ".env", "libraries", "InfluxDB", "clocks", "credentials", "organization", "bucket PowerLogger_raw",
    "bucket PowerLogger_1m", "bucket PowerLogger_5m", "bucket PowerLogger_1h", "task 1m", "task 5m", "task 1h",
    "INFLUX_WRITE_TOKEN", "INFLUX_READ_TOKEN", "output",
]  # fmt: skip


def test_all_is_well(ready, server):
    server.exchanges.clear()
    code, found, ok = checks(ready)
    assert (code, list(found), {state for state, *_ in found.values()}, ok) == (0, WELL, {"ok"}, True)
    assert server.lines == {}  # that the writer may write was tried without a point
    assert {(m, p) for m, p, *_ in server.exchanges if m != "GET"} == {("POST", "/api/v2/write")}
    _, out, _ = ready.run("verify")
    assert out.count("✓") == len(WELL)
    assert "❌" not in out
    assert f"✅ all {len(WELL)} checks passed" in out


@pytest.mark.parametrize("fault", FAULTS)
def test_a_check_that_fails_is_named_with_the_next_step_and_the_exit_code_is_1(ready, server, fault):
    do, what, words = FAULTS[fault]
    do(ready, server)
    code, found, ok = checks(ready)
    state, detail, mend = found[what]
    assert (code, state, ok) == (1, "missing", False)
    assert words in detail
    assert mend
    code, out, _ = ready.run("verify")
    assert code == 1
    assert re.search(rf"^❌ {re.escape(what)} .*\n +\$ ", out, re.MULTILINE)
    assert "✅" not in out


def test_every_check_has_a_fault():
    assert {what for _, what, _ in FAULTS.values()} | {"libraries", "output"} == set(WELL)


def test_a_library_that_is_not_installed_is_missing(ready, monkeypatch):
    monkeypatch.setattr(verify, "_LIBRARIES", ("influxdb_client", "no_such_library"))
    code, found, _ = checks(ready)
    assert (code, found["libraries"][0]) == (1, "missing")
    assert "pip install" in found["libraries"][2]


def test_tokens_from_the_environment_need_no_file(ready, monkeypatch):
    for key, value in read(ready.env).items():
        monkeypatch.setenv(key, value)
    ready.env.unlink()
    code, found, _ = checks(ready)
    assert code == 0
    assert "the environment" in found[".env"][1]


def test_a_bucket_that_keeps_longer_is_a_warning(ready, server):
    bucket(server, "raw")["retentionRules"] = []
    code, found, _ = checks(ready)
    assert (code, found["bucket PowerLogger_raw"][0]) == (0, "warning")


def test_a_foreign_task_is_a_warning(ready, server):
    server.add_task('option task = {name: "old", every: 1m}\nfrom(bucket: "x") |> to(bucket: "PowerLogger_1m")')
    code, found, _ = checks(ready)
    assert (code, found["task old"][0]) == (0, "warning")


def test_an_admin_that_may_not_look_at_the_tasks_gets_no_tick_for_them(ready, server):
    grants = [permission("read", "orgs"), permission("read", "buckets")]
    setting(ready, INFLUX_TOKEN=server.authorize("few", grants)["token"])
    code, found, _ = checks(ready)
    assert code == 1
    assert found["task 1m"][0] == "missing"


def doctor(desk, capsys, *more):
    folders = ["--data", str(desk.env.parent / "data"), "--run-dir", str(desk.env.parent / "run")]
    code = cli.main(["doctor", "--json", *more, *folders, "--config", str(desk.toml)])
    return code, {f["what"]: f["state"] for f in json.loads(capsys.readouterr().out)["findings"]}


def test_doctor_looks_at_influxdb_where_it_is_used(ready, server, capsys):
    code, found = doctor(ready, capsys)
    assert (code, found["INFLUX_WRITE_TOKEN"]) == (0, "ok")
    narrow(server, "writer")
    code, found = doctor(ready, capsys)
    assert (code, found["INFLUX_WRITE_TOKEN"]) == (1, "missing")


def test_an_output_that_is_not_enabled_is_a_warning_and_set_up_says_so_too(ready):
    ready.toml.write_text('node = "rig"\n')
    code, found, _ = checks(ready)
    assert (code, found["output"][0]) == (0, "warning")
    assert "The sink does not write there yet" in ready.run("setup")[1]


def test_doctor_is_silent_on_influxdb_where_nothing_says_that_it_is_used_unless_asked(desk, capsys):
    desk.toml.write_text('node = "rig"\n')
    desk.env.write_text("INFLUX_TOKEN=\n")
    desk.env.chmod(0o600)
    code, found = doctor(desk, capsys)
    assert code == 0
    assert "InfluxDB" not in found
    code, found = doctor(desk, capsys, "--influx")
    assert code == 1
    assert found["InfluxDB"] == "missing"


def test_doctor_looks_where_the_output_is_enabled(desk, capsys):
    desk.env.unlink()
    assert doctor(desk, capsys)[0] == 1
