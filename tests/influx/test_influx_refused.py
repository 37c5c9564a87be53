"""`rigbus influx` where the server cannot be reached, is none, or refuses; and `rigbus influx delete`."""

import os
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from desk import kept, ours, state, tasks
from servers import VictoriaMetrics
from v2server import permission


class Odd(BaseHTTPRequestHandler):
    """Answers every request with `said`; `{auth}` in it is the token that came."""

    protocol_version, said, status = "HTTP/1.1", "", 200

    def _answer(self):
        body = self.said.replace("{auth}", self.headers.get("Authorization", "")).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Echo", self.headers.get("Authorization", ""))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815 (the library's names)

    def log_message(self, *_):
        pass


@pytest.fixture
def odd():
    """odd(status, said) → the address of such a server."""
    servers = []

    def make(status, said):
        handler = type("Handler", (Odd,), {"status": status, "said": said})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}"

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


HEALTHY = '{"name": "influxdb", "status": "pass", "version": "v2.7"}'
ODD = [
    (200, "<html><body>name status buckets orgs Welcome</body></html>"),
    (200, "OK"),
    (200, ""),
    (200, "[]"),
    (200, "null"),
    (200, '{"name": "influxdb", "status": "pass", "version": "1.8.10"}'),
    (200, HEALTHY),  # to every question
    (404, "404 page not found\n"),
    (401, '{"code": "unauthorized", "message": "you sent {auth}"}'),
    (500, '{"code": "internal error", "message": ["{auth}"]}'),
    (502, "<html>bad gateway {auth}</html>"),
    (503, '{"name": "influxdb", "status": "fail", "message": "{auth}"}'),
    (302, ""),
]


@pytest.mark.parametrize(("status", "said"), ODD)
@pytest.mark.parametrize("verb", [["setup", "--save"], ["verify"], ["delete", "--yes"]], ids=lambda v: v[0])
def test_what_is_no_influxdb_is_said_in_words(desk, server, odd, status, said, verb):
    desk.write_env(INFLUX_ORG=server.org, INFLUX_HOST=odd(status, said), INFLUX_TOKEN=server.admin_token)
    code, _, err = desk.run(*verb)
    assert code == 1
    if verb != ["verify"]:
        assert "❌ ERROR: Cannot connect to InfluxDB or credentials are invalid!" in err
    assert desk.json(*verb)[1]["ok"] is False


WRONG = {
    "server down": ({"INFLUX_HOST": "http://127.0.0.1:1"}, "the connection is refused"),
    "no such host": ({"INFLUX_HOST": "http://nohost.invalid:8086"}, "its host is not known"),
    "no address": ({"INFLUX_HOST": "localhost"}, "INFLUX_HOST is no address"),
    "half an address": ({"INFLUX_HOST": "http://[::1"}, "INFLUX_HOST is no address"),
    "wrong token": ({"INFLUX_TOKEN": "not-a-token-of-this-server=="}, "HTTP 401: unauthorized access"),
    "no token": ({"INFLUX_TOKEN": ""}, "HTTP 401"),
    "wrong organization": ({"INFLUX_ORG": "nobody"}, 'organization name "nobody" not found'),
    "no organization": ({"INFLUX_ORG": ""}, "INFLUX_ORG is not set"),
}


@pytest.mark.parametrize("verb", [["setup", "--save"], ["delete", "--yes"]], ids=lambda v: v[0])
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_credentials_and_addresses_show_the_seeds_block_without_the_token(desk, server, wrong, verb):
    values, why = WRONG[wrong]
    before = state(server)
    right = {"INFLUX_ORG": server.org, "INFLUX_HOST": server.url, "INFLUX_TOKEN": server.admin_token}
    desk.write_env(**right | values)
    code, _, err = desk.run(*verb)
    assert code == 1
    assert "❌ ERROR: Cannot connect to InfluxDB or credentials are invalid!\n" in err
    assert why in err
    assert "Current configuration from .env:\n  • Host:   " in err
    checks = [
        "Please check:", "  1. InfluxDB server is running and accessible", "  2. INFLUX_HOST is correct",
        "  3. INFLUX_ORG matches your organization name", "  4. INFLUX_TOKEN is valid and has admin permissions",
    ]  # fmt: skip
    assert "\n".join(checks) in err
    token = re.search(r"Token:  (.*)", err)[1]
    assert token.startswith("INFLUX_TOKEN is not set" if wrong == "no token" else f"from {desk.env} (not shown)")
    assert state(server) == before


def test_a_password_in_the_address_is_not_shown(desk, server):
    desk.secrets.add("hunter2secretpw")
    desk.write_env(INFLUX_ORG="x", INFLUX_HOST="http://me:hunter2secretpw@127.0.0.1:1/?t=hunter2secretpw")
    _, _, err = desk.run("setup")
    assert "Host:   http://127.0.0.1:1" in err
    desk.run("verify")


def test_victoria_metrics_is_no_influxdb_to_set_up(desk, server, tmp_path):
    with VictoriaMetrics(tmp_path / "vm") as vm:
        desk.write_env(INFLUX_ORG="x", INFLUX_HOST=vm.url, INFLUX_TOKEN=server.admin_token)
        code, _, err = desk.run("setup")
    assert code == 1
    assert "not as InfluxDB 2 does" in err


def test_an_unreadable_env_is_one_line(desk, server):
    if os.geteuid() == 0:
        desk.env.unlink()
        desk.env.mkdir()
    else:
        desk.env.chmod(0)
    desk.run("verify")
    code, _, err = desk.run("setup")
    assert code == 1
    assert "INFLUX_TOKEN is not set" in err
    shutil.rmtree(desk.env) if desk.env.is_dir() else desk.env.chmod(0o600)


# ---- delete


def test_the_danger_block_is_the_seeds_and_only_the_word_deletes(desk, server):
    desk.run("setup", "--save")
    before = state(server)
    for typed in ("", "delete", "DELETE ", "yes", "DELETED"):
        code, out, _ = desk.run("delete", typed=typed)
        assert code == 1
        assert "cancelled" in out
    assert state(server) == before
    lines = [
        "⚠️  DANGER: This will DELETE all PowerLogger buckets from InfluxDB!",
        "This action is IRREVERSIBLE and will permanently delete:",
        "  • PowerLogger_raw  (with all historical pulse data)",
        "  • PowerLogger_1m   (with all downsampled data)",
        "  • PowerLogger_5m   (with all downsampled data)",
        "  • PowerLogger_1h   (with all downsampled data)",
        "All data in these buckets will be LOST FOREVER!",
        "Type 'DELETE' to confirm deletion: ",
    ]
    assert [line for line in lines if line not in out] == []
    assert "  • task powerlogger_downsample_1m" in out
    assert "token rigbus writer (rig)" in out


def test_delete_takes_what_is_ours_and_skips_what_is_not_there(desk, server):
    desk.run("setup", "--save")
    server.add_bucket("PowerLogger_raw_mine", 0)
    server.add_task('option task = {name: "mine", every: 1h}')
    server.authorize("rigbus writer (other)", [permission("write", "buckets")])
    del server.buckets[server.bucket("PowerLogger_5m")["id"]]
    would = desk.run("delete", "--dry-run")[1]
    assert "Would delete PowerLogger_raw" in would
    assert len(kept(server)) == 4
    code, out, _ = desk.run("delete", typed="DELETE")
    assert code == 0
    assert "Skipping PowerLogger_5m (does not exist)" in out
    assert "✓  Deleted PowerLogger_raw" in out
    assert "✅ All PowerLogger buckets deleted successfully!" in out
    assert list(kept(server)) == ["PowerLogger_raw_mine"]
    assert list(tasks(server)) == ["mine"]
    assert list(ours(server)) == ["rigbus writer (other)"]
    code, document = desk.json("delete", "--yes")
    assert (code, {gone["state"] for gone in document["gone"]}) == (0, {"skipped"})
    assert desk.run("setup", "--save")[0] == 0
    assert desk.run("verify")[0] == 0


def test_nobody_at_the_keyboard_deletes_nothing(desk, server, monkeypatch):
    desk.run("setup", typed=None)
    before = state(server)
    with open(os.devnull) as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        code, out, _ = desk.run("delete", typed=None)
    assert code == 1
    assert "cancelled" in out
    assert state(server) == before


def test_a_delete_that_is_refused_says_so(desk, server):
    desk.run("setup")
    grants = [permission("read", kind) for kind in ("orgs", "buckets", "tasks", "authorizations")]
    desk.write_env(
        INFLUX_ORG=server.org, INFLUX_HOST=server.url, INFLUX_TOKEN=server.authorize("reads", grants)["token"]
    )
    code, out, _ = desk.run("delete", "--yes")
    assert code == 1
    assert "❌ PowerLogger_raw: HTTP 401: write:" in out
    assert "Not all of it could be deleted" in out
    assert len(kept(server)) == 4
