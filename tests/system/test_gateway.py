"""The gateway on a real rig: what it knows, what it sends, and that neither a viewer nor a daemon can hold it up."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

import httpx
import msgpack
import pytest
from gateway_client import GATEWAY, Gateway
from rig import ROOT, Rig
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection
from websockets.uri import parse_uri

from common.ctl import request
from common.paths import Folders

PUMPS = """
[pump]
cpu = "none"
[[pump.pump]]
name = "water"
step = 16
dir = 6
en = 17
steps_per_ml = 1000.0
max_ml = 1000.0
"""
DEVICES = ("pulse", "highspeed", "pump")
STOP_S = 3.5 * 5  # the bound; only margins of five are asserted


@pytest.fixture
def rig(make_rig) -> Rig:
    return make_rig(GATEWAY + PUMPS)


@pytest.fixture
def gateway(rig) -> Gateway:
    rig.start("bus", "sink", *DEVICES)
    gateway = Gateway(rig)
    gateway.start()
    return gateway


def daemon(gateway: Gateway, name: str) -> str:
    return gateway.status()["daemons"][name]["state"]


def attention(gateway: Gateway) -> set[str]:
    return {item["id"] for item in gateway.status()["attention"]}


# ---- what it knows


def test_the_status_is_whole_within_seconds(rig, gateway):
    def whole() -> bool:
        found = gateway.status()
        assert all(channel["watts"] for channel in found["pulse"]["channels"])
        assert found["vibration"]["sensors"][0]["rate_hz"]
        assert found["account"]["stored"]
        assert found["pumps"]["locked"] is False
        assert found["vibration"]["sensors"][0]["state"] == "running"
        return all(d["state"] == "running" for d in found["daemons"].values())

    rig.until(whole, "everything is known")
    found = gateway.status()
    assert set(found["daemons"]) == {"bus", "sink", "gateway", *DEVICES}
    assert found["thermostat"] is None
    assert found["arm"] is None
    assert found["rig"]["stops"] == ["pumps"]
    assert found["pumps"]["locked"] is False
    assert found["vibration"]["sensors"][0]["state"] == "running"
    assert {output["name"] for output in found["outputs"]} == {"rollups"}
    assert all(found["streams"][f"health/{name}/"]["state"] == "normal" for name in DEVICES)
    assert found["account"]["ok"]
    assert found["storage"]["store_bytes"] > 0
    assert gateway.get("/api/streams").json().keys() >= found["streams"].keys()


def test_energy_of_today_is_the_stores_to_the_pulse(rig, gateway):
    def same() -> bool:
        channels = {channel["name"]: channel for channel in gateway.status()["pulse"]["channels"]}
        first = dict(rig.rows("SELECT channel, min(total) FROM pulses GROUP BY channel"))
        return all(
            channel["kwh_today"] == (channel["total"] - first[name] + 1) / 20000 for name, channel in channels.items()
        )

    rig.until(same, "the day's energy is known")


def test_the_last_values_are_known_from_the_store_when_a_meter_is_silent(rig, gateway):
    rig.until(lambda: len(rig.rows("SELECT 1 FROM pulses")) > 20, "some pulses")
    rig.stop("pulse", "gateway")
    totals = dict(rig.rows("SELECT channel, max(total) FROM pulses GROUP BY channel"))
    gateway.start()
    rig.until(lambda: all(c["total"] for c in gateway.status()["pulse"]["channels"]), "the totals")
    found = {channel["name"]: channel for channel in gateway.status()["pulse"]["channels"]}
    assert {name: channel["total"] for name, channel in found.items()} == totals
    assert all(channel["watts"] > 0 for channel in found.values())


def test_a_daemon_that_is_killed_is_down_and_comes_back(rig, gateway):
    rig.until(lambda: daemon(gateway, "pulse") == "running", "pulse runs")
    rig.kill("pulse")
    rig.until(lambda: daemon(gateway, "pulse") == "down", "pulse is down")
    rig.until(lambda: "down.pulse" in attention(gateway), "and that is said")
    rig.start("pulse")
    rig.until(lambda: daemon(gateway, "pulse") == "running", "pulse is back")
    rig.until(lambda: "down.pulse" not in attention(gateway), "and nothing is said any more")


def test_a_daemon_that_hangs_is_silent_and_holds_nothing_up(rig, gateway):
    rig.until(lambda: daemon(gateway, "highspeed") == "running", "highspeed runs")
    rig.signal("highspeed", signal.SIGSTOP)
    rig.until(lambda: daemon(gateway, "highspeed") == "silent", "highspeed is silent")
    rig.until(lambda: gateway.status()["streams"]["samples/vibration/"]["state"] == "stale", "its stream is stale")
    totals = [channel["total"] for channel in gateway.status()["pulse"]["channels"]]
    rig.until(lambda: [c["total"] for c in gateway.status()["pulse"]["channels"]] > totals, "others go on")
    rig.signal("highspeed", signal.SIGCONT)
    rig.until(lambda: daemon(gateway, "highspeed") == "running", "highspeed is back")


def test_the_bus_may_die_and_come_back(rig, gateway):
    with gateway.live() as viewer:
        viewer.say(op="subscribe", topics=["pulse/"])
        viewer.frames("pulse/")
        rig.kill("bus")
        rig.until(lambda: daemon(gateway, "bus") == "down", "the bus is down")
        rig.start("bus")
        after = time.time_ns()
        rig.until(lambda: any(frame["t"] > after for frame in viewer.frames("pulse/", 1.0)), "frames come again")
    rig.until(lambda: all(d["state"] == "running" for d in gateway.status()["daemons"].values()), "all is well")


def test_the_account_is_that_of_the_command(rig, gateway):
    rig.until(lambda: gateway.get("/api/audit").json()["streams"], "streams are known")
    document = gateway.get("/api/audit").json()
    assert set(document) == {"streams", "devices", "ok"}
    assert document["ok"]
    mine, other = ({stream["src"] for stream in found["streams"]} for found in (document, rig.audit().document))
    assert {"pulse", "highspeed"} <= mine <= other


def test_before_anything_is_stored_it_says_so(make_rig):
    rig = make_rig(GATEWAY)
    rig.start("bus")
    gateway = Gateway(rig)
    gateway.start()
    found = gateway.get("/api/query/power")
    assert found.status_code == 503
    assert found.json()["error"] == "nothing is stored yet"
    assert gateway.status()["daemons"]["sink"]["state"] == "down"


def test_queries_are_those_of_the_command(rig, gateway):
    rig.until(lambda: len(rig.rows("SELECT 1 FROM pulses")) > 5, "pulses are stored")
    found = gateway.get("/api/query/pulses", limit="3").json()
    assert len(found) == 3
    assert set(found[0]) == {"time", "t_ns", "channel", "total"}
    for path, params, status in (
        ("nothing", {}, 404),
        ("pulses", {"limit": "100001"}, 422),
        ("pulses", {"limit": "x"}, 422),
        ("pulses", {"joint": "1"}, 422),
    ):
        assert gateway.get(f"/api/query/{path}", **params).status_code == status


def test_each_request_to_the_api_is_in_the_record_and_no_secret(rig, gateway):
    gateway.get("/api/status", token="hush", channel="import")
    gateway.post("/api/nothing", {"password": "hush", "n": 7})
    gateway.get("/healthz")
    rig.until(lambda: len(rig.rows("SELECT 1 FROM web_requests")) >= 2, "both are stored")
    rows = rig.rows("SELECT endpoint, method, params_json, status_code FROM web_requests ORDER BY id")
    assert rows[0][:2] == ("/api/status", "GET")
    assert "import" in rows[0][2]
    assert rows[1][::3] == ("/api/nothing", 404)
    assert "hush" not in str(rows)
    assert all(row[0].startswith("/api/") for row in rows)


# ---- /live


def test_hello_status_and_frames(rig, gateway):
    with gateway.live() as viewer:
        hello = viewer.next("hello")
        assert hello["v"] == 1
        assert hello["node"] == "rig"
        viewer.say(op="status", sections=None)
        assert set(viewer.next("status")["sections"]) == set(hello["sections"])
        viewer.say(op="subscribe", topics=["pulse/import/"])
        frame = viewer.frames("pulse/")[0]
        assert frame["k"] == "pulse"
        assert frame["channel"] == "import"
        assert {"run", "seq", "tseq", "t", "mono", "edges", "total"} <= set(frame)
        viewer.say(op="ping", id="p1")
        assert viewer.next("reply", id="p1")["ok"]
        assert "pulse" in viewer.next("status")["sections"]


def test_samples_come_reduced_to_what_a_viewer_asks_for(rig, gateway):
    with gateway.live() as viewer, gateway.live() as whole:
        viewer.say(op="subscribe", topics=["samples/"], samples_hz=50)
        whole.say(op="subscribe", topics=["samples/"])
        frame, full = viewer.frames("samples/")[0], whole.frames("samples/")[0]
        assert frame["reduced"] == 9
        assert frame["n"] < full["n"]
        assert "reduced" not in full
        assert len(frame["values"]) == frame["n"] * len(frame["axes"]) * 2


TOO_MANY = '{"op": "subscribe", "topics": [' + ", ".join(['"x"'] * 65) + "]}"
WRONG = [
    *("", "{", "[]", '{"op": "fly"}', '{"op": "subscribe", "topics": 5}', '{"op": "status", "sections": ["x"]}'),
    *('{"op": "subscribe", "topics": ["a"], "samples_hz": 0}', TOO_MANY),
]


def test_a_wrong_word_is_answered_and_ends_nothing(rig, gateway):
    with gateway.live() as viewer:
        for said in WRONG:
            viewer.socket.send(said)
            assert viewer.next("reply")["ok"] is False, said
            viewer.say(op="ping", id=said)
            assert viewer.next("reply", id=said)["ok"]


class Raw:
    """A viewer that says something and then reads only when it is told to: the kernel has little room for it."""

    def __init__(self, gateway: Gateway, say: bytes) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(gateway.place)
        self._protocol = ClientProtocol(parse_uri(gateway.url.replace("http", "ws", 1) + "/live"), max_size=None)
        self._protocol.send_request(self._protocol.connect())
        self._send()
        self._protocol.receive_data(self.socket.recv(4096))
        self._protocol.send_text(say)
        self._send()

    def _send(self) -> None:
        self.socket.sendall(b"".join(self._protocol.data_to_send()))

    def read(self, most: int) -> list[dict[str, Any]]:
        """The messages that are whole with so many bytes more."""
        self.socket.settimeout(20)
        found = self.socket.recv(most)
        assert found, "the connection ended"
        self._protocol.receive_data(found)
        self._send()  # pongs
        events = [event for event in self._protocol.events_received() if isinstance(event, Frame)]
        return [msgpack.unpackb(event.data) for event in events if event.opcode is Opcode.BINARY]

    @property
    def code(self) -> int | None:
        """What it was closed with, as far as it has read."""
        return self._protocol.close_rcvd.code if self._protocol.close_rcvd else None


EVERYTHING = b'{"op": "subscribe", "topics": [""]}'


def test_a_viewer_that_takes_nothing_is_closed_and_the_others_go_on(make_rig):
    """That one who takes too little loses the oldest, and is told, is in tests/unit/gateway/test_gateway_viewers.py."""
    rig = make_rig(GATEWAY + "[highspeed]\nrate_hz = 1000.0\nframe_ms = 5.0\n")
    rig.start("bus", "sink", "pulse", "highspeed")
    gateway = Gateway(rig)
    gateway.start()
    dead = [Raw(gateway, EVERYTHING) for _ in range(5)]
    with gateway.live() as viewer:
        rig.until(lambda: rig.status("gateway")["viewers"] == 6, "all are there")
        rig.until(lambda: rig.status("gateway")["viewers"] == 1, "those who take nothing are closed", 90.0)
        while dead[0].code is None:
            dead[0].read(65_536)
        assert dead[0].code == 1013
        viewer.say(op="subscribe", topics=["samples/"])
        assert viewer.frames("samples/")
    for one in dead:
        one.socket.close()


def closed_with(socket: ClientConnection) -> int | None:
    """The code that a connection ends with."""
    try:
        while True:
            socket.recv(timeout=20)
    except ConnectionClosed as e:
        return e.rcvd.code if e.rcvd else None


def test_twenty_open_sockets_do_not_delay_the_end(rig, gateway):
    with ExitStack() as open_:
        for _ in range(20):
            viewer = open_.enter_context(gateway.live())
            viewer.say(op="subscribe", topics=[""])
        dead = [Raw(gateway, EVERYTHING).socket for _ in range(5)]
        half = socket.create_connection(gateway.place)
        half.sendall(b"POST /api/estop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx")
        rig.until(lambda: rig.status("gateway")["viewers"] == 25, "all look")
        begin = time.monotonic()
        rig.stop("gateway")
        assert time.monotonic() - begin < STOP_S
        for one in (*dead, half):
            one.close()
        assert closed_with(viewer.socket) == 1012


# ---- the stop


def test_the_stop_over_http_latches_and_is_repeatable(rig, gateway):
    rig.until(lambda: "pumps" in rig.status("pump"), "the pumps can be asked")
    request(Folders(rig.data, rig.run), "pump", "dispense", command_id="d1", pump="water", ml=500)
    first = gateway.post("/api/estop", {"command_id": "c1", "reason": "from a test"})
    assert first.status_code == 200
    found = first.json()
    assert found["command_id"] == "c1"
    assert found["locked"]
    assert found["saved"]
    assert found["failed"] == {}
    assert found["stopped"] == ["water"]
    assert gateway.post("/api/estop", {"command_id": "c1"}).json()["locked"]
    rig.until(lambda: gateway.status()["pumps"]["locked"], "the status says so")
    pumps = gateway.status()["pumps"]
    assert pumps["locked_by"] == "from a test"
    assert pumps["locked_t"]
    assert "latched" in attention(gateway)
    # the outcome of the run may come after it
    told = lambda: {event["event"] for event in gateway.status()["pumps"]["events"]}  # noqa: E731
    rig.until(lambda: {"estop", "stopped"} <= told(), "the events are there")
    assert gateway.post("/api/unlock", {"confirm": "yes"}).status_code == 422
    assert gateway.post("/api/unlock", {"confirm": "unlock"}).json() == {"locked": False, "failed": {}}
    rig.until(lambda: gateway.status()["pumps"]["locked"] is False, "unlocked")
    rig.until(lambda: "latched" not in attention(gateway), "nothing is latched any more")
    rig.end()
    rig.check()


def test_the_stop_over_live(rig, gateway):
    rig.until(lambda: "pumps" in rig.status("pump"), "the pumps can be asked")
    with gateway.live() as viewer:
        viewer.say(op="estop", command_id="c2", reason="from a viewer")
        found = viewer.next("reply", op="estop")
        assert found["ok"]
        assert found["command_id"] == "c2"
        assert found["locked"]
    rig.until(lambda: rig.status("pump")["locked_by"] == "from a viewer", "locked")


def test_a_stop_is_not_refused_for_what_comes_with_it(rig, gateway):
    rig.until(lambda: "pumps" in rig.status("pump"), "the pumps can be asked")
    for body in (b"", b"{", b"[1]", b'{"command_id": 5, "reason": {"a": 1}}', b"\xff\xfe",
                 b"[" * 60_000, b'{"reason": "\\ud800"}', b"x" * 70_000):  # fmt: skip
        assert httpx.post(f"{gateway.url}/api/estop", content=body, timeout=20).status_code == 200
        rig.until(lambda: rig.status("pump")["locked"], "locked")
        assert gateway.post("/api/unlock", {"confirm": "unlock"}).status_code == 200
        rig.until(lambda: not rig.status("pump")["locked"], "unlocked")


def test_the_stop_latches_the_arm_too_and_the_account_balances(make_rig):
    pytest.importorskip("cyclonedds", reason="no cyclonedds here")
    rig = make_rig(f'{GATEWAY}{PUMPS}[dds]\ndomain = {random.SystemRandom().randint(1, 200)}\ncpu = "none"\n')
    rig.start("bus", "sink", "pump", "dds")
    gateway = Gateway(rig)
    gateway.start()
    rig.until(lambda: "pumps" in rig.status("pump") and "arm" in rig.status("dds"), "both can be asked")
    assert gateway.status()["rig"]["stops"] == ["pumps", "arm"]
    found = gateway.post("/api/estop", {"command_id": "both", "reason": "over HTTP"}).json()
    assert found["locked"]
    assert found["arm"] == {"locked": True, "saved": True}
    assert "a move under way goes on" in found["not_stopped"]
    rig.until(lambda: rig.status("dds")["locked"] and rig.status("pump")["locked"], "both are locked")
    rig.until(lambda: gateway.status()["arm"]["locked_by"] == "over HTTP", "the status says so")
    rig.signal("dds", signal.SIGSTOP)
    half = gateway.post("/api/estop", {"command_id": "half"})
    assert half.status_code == 200
    assert list(half.json()["failed"]) == ["dds"]
    rig.signal("dds", signal.SIGCONT)
    rig.until(lambda: gateway.post("/api/unlock", {"confirm": "unlock"}).status_code == 200, "both are unlocked")
    rig.end()
    rig.check()


def test_a_pump_daemon_that_hangs_gets_its_latch_and_the_asker_is_told(rig, gateway):
    rig.until(lambda: "pumps" in rig.status("pump"), "the pumps can be asked")
    rig.signal("pump", signal.SIGSTOP)
    for _ in range(3):
        answer = gateway.post("/api/estop", {"command_id": "c3"})
        assert answer.status_code == 503
        assert "use the switch on the rig" in answer.json()["error"]

    def latched() -> bool:
        answer = gateway.post("/api/estop", {"command_id": "c3"})
        return answer.status_code == 503 and "latch is set" in answer.json()["failed"]["pump"]

    # an answer comes within a second: where the disk is slow it says "still being asked", and the latch follows
    rig.until(latched, "it is latched")
    rig.signal("pump", signal.SIGCONT)
    rig.until(lambda: rig.status("pump")["locked"], "it is locked when it comes back")


def test_a_pump_daemon_that_is_not_there_is_locked_when_it_comes(rig, gateway):
    rig.until(lambda: "pumps" in rig.status("pump"), "the pumps can be asked")
    rig.kill("pump")
    assert gateway.post("/api/estop", {}).status_code == 503
    rig.start("pump")
    rig.ready("pump")
    rig.until(lambda: rig.status("pump")["locked"], "locked")


# ---- who may


def test_tokens_on_http_and_on_live(make_rig):
    rig = make_rig(GATEWAY + PUMPS)
    (rig.folder / ".env").write_text("RIGBUS_READ_TOKEN=look\nRIGBUS_CONTROL_TOKEN=move\n")
    rig.start("bus", "sink", "pump")
    gateway = Gateway(rig)
    gateway.start()
    rig.until(lambda: "pumps" in rig.status("pump"), "the pumps can be asked")
    assert gateway.get("/api/status").status_code == 401
    assert gateway.get("/").status_code in (200, 404)
    gateway.headers = {"Authorization": "Bearer look"}
    assert gateway.status()["rig"]["control"] is True
    assert gateway.post("/api/estop", {}).status_code == 200
    assert gateway.post("/api/unlock", {"confirm": "unlock"}).status_code == 403
    rig.until(lambda: rig.status("pump")["locked"], "locked")
    gateway.headers = {"Authorization": "Bearer move"}
    assert gateway.post("/api/unlock", {"confirm": "unlock"}).status_code == 200
    with gateway.live() as viewer:
        viewer.say(op="hello", token="look")
        assert viewer.next("hello")
        viewer.say(op="estop", command_id="x")
        assert viewer.next("reply", op="estop")["locked"]
    for first in (
        {"op": "hello", "token": "wrong"},
        {"op": "hello"},
        {"op": "subscribe", "topics": [""]},
        {"op": "estop"},
    ):
        with gateway.live() as viewer:
            viewer.say(**first)
            assert closed_with(viewer.socket) == 1008
    for log in rig.folder.glob("*.log"):
        assert "look\n" not in log.read_text()
        assert "move" not in log.read_text()


def test_no_socket_for_pages_of_elsewhere(rig, gateway):
    for origin in ("http://evil.example", "null", "http://localhost:1"):
        with pytest.raises(InvalidStatus) as refused, gateway.live(origin=origin):
            pass
        assert refused.value.response.status_code == 403


# ---- starting


def start(rig: Rig, extra: str, **env: str) -> "subprocess.CompletedProcess[str]":
    rig.merge(extra)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RIGBUS")}
    command = [sys.executable, "-m", "daemons.gateway", *rig.options]
    return subprocess.run(
        command, cwd=ROOT, env={**clean, **env}, capture_output=True, text=True, timeout=60, check=False
    )


def test_without_a_token_it_is_not_for_others(rig):
    done = start(rig, '[gateway]\nhost = "0.0.0.0"\nport = 0\n')
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 1
    assert "RIGBUS_READ_TOKEN" in done.stderr


@pytest.mark.parametrize("host", ["203.0.113.5", "no-such-host.invalid"])
def test_a_host_that_is_not_here_may_come(rig, host):
    """An address is given late, by DHCP say: systemd tries again."""
    done = start(rig, f'[gateway]\nhost = "{host}"\nport = 0\n')
    assert done.returncode == 69
    assert host in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_that_is_taken(rig):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = start(rig, f"[gateway]\nport = {port}\n")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert str(port) in done.stderr


def test_without_its_libraries_one_line_names_the_extra(rig, tmp_path):
    (tmp_path / "fastapi.py").write_text("raise ModuleNotFoundError(\"No module named 'fastapi'\", name='fastapi')\n")
    done = start(rig, GATEWAY, PYTHONPATH=str(tmp_path))
    assert done.returncode == 69
    assert len(done.stderr.splitlines()) == 1
    assert "extra web" in done.stderr
