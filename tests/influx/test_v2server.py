"""The fixture in front of a real influxd: buckets are databases, tokens are checked, refusals have the API's shape."""

import gzip
import http.client
import json
from urllib.parse import urlencode, urlsplit

import pytest
from servers import Influxd
from v2server import V2Server, permission

T = 1_760_000_000_000_000_000


@pytest.fixture(scope="module")
def influxd(tmp_path_factory):
    with Influxd(tmp_path_factory.mktemp("influxd")) as server:
        yield server


@pytest.fixture
def both(influxd):
    with V2Server(influxd.url) as server:
        server.add_bucket("b", 0)
        yield server, influxd
        influxd.query('DROP DATABASE "b"')


def write(server, lines, token=None, headers=(), **query):
    params = {"org": server.org, "bucket": "b", "precision": "ns", **query}
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    headers = {"Authorization": f"Token {token or server.admin_token}", **dict(headers)}
    connection.request("POST", f"/api/v2/write?{urlencode(params)}", lines, headers)
    answer = connection.getresponse()
    status, body = answer.status, answer.read()
    connection.close()
    return status, json.loads(body)["message"] if body else ""


def test_lines_arrive_in_the_database_of_the_bucket(both):
    server, influxd = both
    assert write(server, f"PowerPulse,PulseType=Import Pulse=1i {T}".encode())[0] == 204
    zipped = gzip.compress(f"PowerPulse,PulseType=Import Pulse=1i {T + 1}".encode())
    assert write(server, zipped, headers={"Content-Encoding": "gzip"})[0] == 204
    assert write(server, f"PowerPulse,PulseType=Import Pulse=1i {T // 1000 + 2}".encode(), precision="us")[0] == 204
    assert write(server, b"PowerPulse Pulse=1i", bucket=server.bucket("b")["id"])[0] == 204
    times = [row[0] for row in influxd.query("SELECT * FROM \"PowerPulse\" WHERE PulseType='Import'", "b")[0]["values"]]
    assert times == [T, T + 1, T + 2000]


def test_refusals_are_those_of_version_2(both):
    server, _ = both
    reader = server.authorize("r", [permission("read", "buckets")])["token"]
    assert write(server, b"x y=1", token="none") == (401, "unauthorized access")
    assert write(server, b"x y=1", token=reader) == (403, "insufficient permissions for write")
    assert write(server, b"x y=1", bucket="no") == (404, 'bucket "no" not found')
    assert write(server, b"x y=1", org="no")[0] == 404
    assert write(server, b"") == (400, "writing requires points")
    assert write(server, b"x y=1", precision="h")[0] == 400
    status, message = write(server, b"nonsense")
    assert (status, "unable to parse 'nonsense'" in message) == (400, True)
    assert write(server, b"x y=1")[0] == 204
    status, message = write(server, b'x y="text"')
    assert (status, "field type conflict" in message, "dropped=1" in message) == (422, True, True)


def test_retention_is_the_real_servers_and_can_be_changed(both, desk, influxd):
    server, _ = both
    desk.write_env(INFLUX_ORG=server.org, INFLUX_HOST=server.url, INFLUX_TOKEN=server.admin_token)
    server.add_bucket("PowerLogger_1m", 7200)

    def kept(bucket):
        return influxd.query(f'SHOW RETENTION POLICIES ON "{bucket}"')[0]["values"][0][1]

    assert kept("PowerLogger_1m") == "2h0m0s"
    assert desk.run("setup")[0] == 0
    assert [kept(f"PowerLogger_{n}") for n in ("raw", "1m", "5m", "1h")] == ["720h0m0s", "2160h0m0s", "8760h0m0s", "0s"]
    old = "x y=1 1000000000"
    assert write(server, old.encode(), bucket="PowerLogger_raw")[0] == 422  # beyond what is kept
    assert desk.run("verify")[0] == 1  # no tokens yet
    assert desk.run("delete", "--yes")[0] == 0
    assert [row[0] for row in influxd.query("SHOW DATABASES")[0]["values"]] == ["b"]
    server.authorizations.clear()


def test_a_server_that_is_gone_is_a_500(tmp_path):
    with V2Server("http://127.0.0.1:1") as server:
        server.influxd = None
        server.add_bucket("b", 0)
        server.influxd = "http://127.0.0.1:1"
        assert write(server, b"x y=1")[0] == 500
