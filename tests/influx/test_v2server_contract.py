"""The fixture and what rigbus asks of it are held to InfluxData's published contract (tests/influx/contract.json)."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

CONTRACT = json.loads((Path(__file__).parent / "contract.json").read_text())
OPERATIONS = CONTRACT["operations"]


def operation(method, path):
    short = re.sub(r"^/api/v2", "", path)
    for name, found in OPERATIONS.items():
        verb, _, template = name.partition(" ")
        if verb == method and re.fullmatch(re.sub(r"\{\w+\}", "[0-9a-f]{16}", template), short):
            return name, found
    raise AssertionError(f"{method} {path} is no request of the contract that is excerpted")


def fits(schema, document):
    errors = Draft202012Validator({**schema, "components": CONTRACT["components"]}).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in errors]


def check(exchange):
    """→ the operation's name; AssertionError where question or answer is not as published."""
    method, path, query, asked, status, answer = exchange
    name, found = operation(method, path)
    assert set(query) <= set(found["query"]), name
    if asked is not None and status < 400:  # what is refused may be wrong
        assert fits(found["request"], asked) == [], name
    allowed = found["responses"].get(str(status), found["responses"].get("default"))
    if str(status) not in found["responses"]:
        assert "default" in found["responses"], (name, status)
    if allowed is None:
        assert answer is None, name
    else:
        assert fits(allowed, answer) == [], (name, status)
    return name


def test_all_that_set_up_verify_and_delete_say_and_hear_is_as_published(desk, server):
    desk.run("setup", "--save")
    server.bucket("PowerLogger_1m")["retentionRules"][0]["everySeconds"] = 3600
    next(iter(server.tasks.values()))["status"] = "inactive"
    writer = next(a for a in server.authorizations.values() if "writer" in a["description"])
    writer["permissions"] = writer["permissions"][:1]
    desk.run("setup", "--save")
    desk.run("verify")
    desk.run("delete", "--yes")
    desk.write_env(INFLUX_ORG="nobody", INFLUX_HOST=server.url, INFLUX_TOKEN=server.admin_token)
    desk.run("setup")
    desk.write_env(INFLUX_ORG=server.org, INFLUX_HOST=server.url, INFLUX_TOKEN="not-a-token-of-this-server")
    desk.run("setup")
    seen = {check(exchange) for exchange in server.exchanges}
    unused = {"GET /ping", "GET /buckets/{bucketID}", "GET /tasks/{taskID}", "PATCH /authorizations/{authID}"}
    assert seen == set(OPERATIONS) - unused
    statuses = {exchange[4] for exchange in server.exchanges}
    assert {200, 201, 204, 400, 401, 403, 404} <= statuses


@pytest.mark.parametrize(
    "exchange",
    [
        ("GET", "/api/v2/nothing", {}, None, 200, {}),
        ("GET", "/api/v2/buckets", {"buckets": "x"}, None, 200, {"buckets": []}),
        ("GET", "/api/v2/buckets", {}, None, 200, {"buckets": [{"id": "1"}]}),
        ("POST", "/api/v2/buckets", {}, {"name": "x"}, 201, {"name": "x", "retentionRules": []}),
        ("POST", "/api/v2/tasks", {}, {"flux": "", "status": "on"}, 201, {}),
        ("GET", "/health", {}, None, 200, {"name": "influxdb", "status": "well"}),
        ("DELETE", "/api/v2/buckets/0123456789abcdef", {}, None, 204, {"id": "x"}),
    ],
)
def test_the_check_itself_can_fail(exchange):
    with pytest.raises(AssertionError):
        check(exchange)
