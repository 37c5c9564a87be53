"""docs/ctl.md says all that the ctl sockets do, and each of its examples runs against a live rig."""

import ast
import io
import re
from importlib.util import find_spec
from pathlib import Path

import msgpack
import pytest
import zmq

from common.bus.ctl import CtlServer
from common.errors import RigbusError
from common.log import Log

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/ctl.md").read_text()
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
CONSOLE = re.findall(r"^\$ python docs/examples/ask\.py var/run/(\w+)\.ctl\.sock (.+)\n(\{.*\})$", TEXT, re.MULTILINE)
NO_DDS = find_spec("cyclonedds") is None
DAEMONS = ("bus", "sink", "pulse", "highspeed", "thermostat", "pump", *(() if NO_DDS else ("dds",)))
OWN = {  # fields of `status` of one daemon
    "sink": {"stored_frames", "behind", "noise", "outputs"},
    "highspeed": {"state", "rate_hz", "fault"},
    "thermostat": {"devices"},
    "pump": {"locked", "locked_by", "pumps"},
    "dds": {"locked", "locked_by", "arm"},
    "gateway": {"url", "viewers"},
}
ERRORS = {"unknown_op", "malformed", "refused", "failed"}


def current_run(rig, src="pulse"):
    """The run that goes on, once something of it is in the journal."""

    def published():
        reply = rig.ask(src, {"op": "runs"})
        return reply["run"] if reply["runs"] and reply["runs"][-1][2] else None

    return rig.wait(published)


@pytest.mark.parametrize("src", DAEMONS)
def test_every_op_of_a_live_daemon_is_documented(rig, src):
    reply = rig.ask(src, {"id": "x", "op": "no_such_op"})
    assert (reply["id"], reply["ok"], reply["error"]) == ("x", False, "unknown_op")
    ops = set(reply["detail"].partition("there are: ")[2].split(", "))
    assert {"status", "runs", "ack"} <= ops
    assert ops - set(SECTIONS) == set()


@pytest.mark.skipif(NO_DDS, reason="no cyclonedds here, so no daemon has the arm's ops")
def test_every_documented_op_is_one_of_a_daemon(rig):
    details = [rig.ask(src, {"op": "no_such_op"})["detail"] for src in DAEMONS]
    assert set(SECTIONS) == {op for detail in details for op in detail.partition("there are: ")[2].split(", ")}


@pytest.fixture
def stored(rig):
    """The sink has committed once: from then on its status has fields of its own."""
    rig.wait(lambda: "behind" in rig.ask("sink", {"op": "status"}))


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("src", DAEMONS)
@pytest.mark.parametrize("op", ["status", "runs", "replay"])
def test_every_field_of_a_reply_is_documented(rig, src, op):
    if op == "replay" and src in ("bus", "sink"):
        assert rig.ask(src, {"op": op})["error"] == "unknown_op"
        return
    request = {"id": 5, "op": op, **({"run": current_run(rig, src), "from": 1} if op == "replay" else {})}
    reply = rig.ask(src, request)
    assert (reply.pop("id"), reply.pop("ok")) == (5, True)
    assert [name for name in reply if f"`{name}`" not in SECTIONS[op]] == []
    documented = set(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", SECTIONS[op].partition("| reply |")[2], re.MULTILINE))
    names = {name for row in documented for name in re.findall(r"`(\w+)`", row)}
    of_others = {name for daemon, fields in OWN.items() if daemon != src for name in fields}
    of_others -= OWN.get(src, set())
    assert names - of_others == set(reply)


def test_the_health_of_status_is_a_health_frame(rig):
    health = rig.ask("pulse", {"op": "status"})["health"]
    golden = msgpack.unpackb(bytes.fromhex((Path(__file__).parent / "golden/health.hex").read_text()))
    assert set(health) == set(golden)
    assert (health["src"], health["node"], health["seq"]) == ("pulse", "docs", 0)


def test_the_examples_are_there():
    assert {line.split()[0] for _, line, _ in CONSOLE} == {"status", "runs", "replay"}
    shown = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1]
    assert (ROOT / "docs/examples/ask.py").read_text().endswith(shown)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(("src", "words", "shown"), CONSOLE, ids=[f"{src} {words}" for src, words, _ in CONSOLE])
def test_an_example_prints_what_the_document_shows(rig, src, words, shown):
    run = current_run(rig)
    words = words.replace("10b1486af83576da", run)
    done = rig.script(ROOT / "docs/examples/ask.py", str(rig.run / f"{src}.ctl.sock"), *words.split())
    assert done.code == 0, done.err
    expected, got = ast.literal_eval(shown.replace(", ...}", "}")), ast.literal_eval(done.out)
    assert list(got) == list(expected)
    assert (got["id"], got["ok"]) == (expected["id"], expected["ok"])
    if not got["ok"]:
        assert got == expected
    elif "replay" in words:
        assert (len(got["frames"]), got["upto"], got["losses"], got["unknown"]) == (1, 1, [], None)
        assert msgpack.unpackb(got["frames"][0][1])["seq"] == 1
    elif "runs" in words:
        assert got["run"] == run
        assert [type(field) for field in got["runs"][-1]] == [str, str, int, int, int]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", "malformed"),
        (b"\xc1", "malformed"),
        (msgpack.packb([1, 2]), "malformed"),
        (msgpack.packb({"id": 1}), "malformed"),
        (msgpack.packb({"op": 7}), "malformed"),
        (msgpack.packb({"op": "replay", "run": "a"}), "malformed"),
        (msgpack.packb({"op": "replay", "run": 7, "from": 1}), "malformed"),
        (msgpack.packb({"op": "replay", "run": "a", "from": "1"}), "malformed"),
        (msgpack.packb({"op": "ack", "consumer": "sink", "acks": 3}), "malformed"),
        (msgpack.packb({"op": "replay", "run": "a", "from": 1}), "refused"),
        (msgpack.packb({"op": "fly"}), "unknown_op"),
    ],
)
def test_a_wrong_request_gets_a_documented_error(rig, raw, error):
    reply = rig.ask("pulse", raw)
    assert set(reply) == {"id", "ok", "error", "detail"}
    assert (reply["ok"], reply["error"]) == (False, error)
    assert "\n" not in reply["detail"]


def test_fields_that_an_op_does_not_know_are_ignored(rig):
    assert rig.ask("pulse", {"op": "runs", "id": None, "new_field": [1]})["ok"] is True


@pytest.mark.parametrize("levels", [900, 100_000])
def test_a_request_however_deep_is_malformed_and_the_daemon_goes_on(rig, levels):
    deep = b"\x82\xa2op\xa6status\xa1x" + b"\x91" * levels + b"\xc0"
    assert rig.ask("pulse", deep)["ok"] is (levels < 1000)
    assert rig.ask("pulse", {"op": "status"})["ok"]


def test_every_error_is_documented_and_failed_is_the_daemons_own_fault(tmp_path):
    assert set(re.findall(r"^\| `(\w+)` \|.*\|.*\|$", TEXT.partition("| `error` |")[2], re.MULTILINE)) >= ERRORS
    context = zmq.Context()
    stream = io.StringIO()

    def no(_):
        raise RigbusError("the answer is no")

    server = CtlServer(context, tmp_path / "s", Log("x", stream), {"fault": lambda _: {}["k"], "no": no})
    socket = context.socket(zmq.REQ)
    socket.linger = 0
    socket.connect(f"ipc://{tmp_path / 's'}")
    told = {}
    for op in ("fault", "no", "fly"):
        socket.send(msgpack.packb({"op": op, "id": op}))
        assert socket.poll(30_000)
        reply = msgpack.unpackb(socket.recv())
        told[reply["id"]] = reply["error"]
    socket.close()
    server.stop()
    context.term()
    assert told == {"fault": "failed", "no": "refused", "fly": "unknown_op"}
    assert len(stream.getvalue().splitlines()) == 1


def test_an_acknowledgement_by_the_documented_script_is_counted(live_rig, tmp_path):
    """A rig without a sink, whose one consumer is ours: what we acknowledge no longer counts as waiting."""
    rig = live_rig("--only", "pulse", RIGBUS__SINK__NAME="archive", RIGBUS__JOURNAL__CONSUMERS='["archive"]')
    rig.health("pulse")
    run = current_run(rig)
    script = tmp_path / "acknowledge.py"
    script.write_text(re.findall(r"```python\n(.*?)```", SECTIONS["ack"], re.DOTALL)[0])

    def journal():
        health = rig.health("pulse")
        return health["last_seq"], health["journal"]["frames"]

    def told(consumer, number):
        done = rig.script(script, str(rig.run / "pulse.ctl.sock"), consumer, run, str(number))
        assert done.code == 0, done.err

    last, waiting = rig.wait(lambda: journal() if journal()[0] >= 5 else None)
    assert waiting == last
    told("stranger", last)
    after, waiting = journal()
    assert waiting == after
    told("archive", last)
    told("archive", 1)  # a lower one changes nothing
    after, waiting = rig.wait(lambda: journal() if journal()[1] != journal()[0] else None)
    assert waiting <= after - last
