"""What a hostile or broken client says and holds: nothing is spent on it without a bound, and a stop gets through."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from common.errors import RigbusError
from common.frames import WebRequest
from common.gateway import http_connection, server
from common.gateway.app import _Record
from common.gateway.connection import Connection
from common.gateway.estop import EmergencyStop
from common.gateway.guard import MAX_BODY, Guard
from common.gateway.live import Message
from common.gateway.routes import query
from common.gateway.stored import Busy
from common.gateway.tokens import CONTROL, Tokens
from common.gateway.viewers import Subscription, Viewer, Viewers
from common.log import Log
from common.paths import Folders
from common.secrets import Secret

TOKENS = Tokens(Secret("", "test"), Secret("", "test"))


# ---- the emergency stop


def app() -> FastAPI:
    made = FastAPI()

    @made.post("/{path:path}")
    async def length(request: Request) -> int:
        return len(await request.body())

    @made.get("/healthz")
    async def healthz() -> str:
        return "ok"

    return made


async def scripted(path: str, messages: list[dict[str, Any]], headers: list[tuple[bytes, bytes]]) -> int:
    """The status of an answer to a request whose body comes by these messages, and then no more."""
    left, sent = list(messages), []

    async def receive() -> Any:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "client": ("127.0.0.1", 5),
        "headers": [(b"host", b"localhost"), *headers], "http_version": "1.1", "scheme": "http", "root_path": "",
    }  # fmt: skip
    await Guard(app(), TOKENS, (), lambda _: False)(scope, receive, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize(("path", "stops"), [("/api/estop", True), ("/pump/stop-all", True), ("/api/other", False)])
def test_a_stop_is_not_refused_for_a_body_that_is_long_or_does_not_come(path, stops, monkeypatch):
    monkeypatch.setattr("common.gateway.guard._BODY_S", 0.2)
    long = [{"type": "http.request", "body": b"x" * (MAX_BODY + 1), "more_body": False}]
    part = [{"type": "http.request", "body": b"x", "more_body": True}]
    length = [(b"content-length", b"100")]
    assert asyncio.run(scripted(path, long, [(b"transfer-encoding", b"chunked")])) == (200 if stops else 413)
    assert asyncio.run(scripted(path, [], [(b"content-length", b"99999999")])) == (200 if stops else 413)
    assert asyncio.run(scripted(path, part, length)) == (200 if stops else 408)


@pytest.mark.parametrize("said", ["\ud800", 10**5000, float("nan"), {"a": [1]}, None], ids=range(5))
def test_a_stop_goes_on_whatever_its_words_are(said, tmp_path):
    asked = []

    class Daemons:
        def ask_now(self, src: str, op: str, **fields: Any) -> dict[str, Any]:
            msgspec.msgpack.encode(fields)
            asked.append(op)
            return {"locked": True, "saved": True}

    async def run() -> dict[str, Any]:
        stop = EmergencyStop(Daemons(), Folders(tmp_path, tmp_path), ["pump"], Log("test"))  # type: ignore[arg-type]
        try:
            return await stop.stop(said, said)
        finally:
            stop.close()

    found = asyncio.run(run())
    assert asked == ["estop"]
    assert found["ok"]
    json.dumps(found, ensure_ascii=False).encode()


def test_who_says_stop_again_while_a_daemon_hangs_is_answered_in_time_too(tmp_path, monkeypatch):
    monkeypatch.setattr("common.gateway.estop._WITHIN_S", 0.05)
    let = threading.Event()

    class Daemons:
        def ask_now(self, *_: Any, **__: Any) -> dict[str, Any]:
            let.wait(20)
            return {"locked": True, "saved": True}

    async def run() -> list[dict[str, Any]]:
        stop = EmergencyStop(Daemons(), Folders(tmp_path, tmp_path), ["pump"], Log("test"))  # type: ignore[arg-type]
        try:
            told = await asyncio.gather(*(stop.stop(str(n), "r") for n in range(3)))
            let.set()
            return [*told, await stop.stop("after", "r")]
        finally:
            stop.close()

    *hung, after = asyncio.run(run())
    assert [said["ok"] for said in hung] == [False] * 3
    assert all("no answer yet" in said["failed"]["pump"] for said in hung)
    assert after["ok"]


@pytest.mark.parametrize(
    "field",
    ['"topics": null', '"token": 5', '"id": ' + "9" * 30, '"command_id": ' + "9" * 5000, '"samples_hz": "x"'],
)
def test_a_stop_over_live_is_one_whatever_its_other_fields_are(field):
    read = Connection._read
    assert read(None, {"type": "websocket.receive", "text": f'{{"op": "estop", {field}}}'}).op == "estop"  # type: ignore[arg-type]
    with pytest.raises(msgspec.DecodeError):
        read(None, {"type": "websocket.receive", "text": f'{{"op": "subscribe", {field}}}'})  # type: ignore[arg-type]


class _Socket:
    """A viewer's socket that says these messages, then goes."""

    client = ("127.0.0.1", 5)

    def __init__(self, *messages: bytes | str) -> None:
        self.scope = {"rigbus.level": CONTROL}
        kind = {True: "text", False: "bytes"}
        self._left = [{"type": "websocket.receive", kind[isinstance(m, str)]: m} for m in messages]

    async def receive(self) -> Any:
        return self._left.pop(0) if self._left else {"type": "websocket.disconnect", "code": 1000}


@pytest.mark.parametrize(
    "wrong", [b'{"op":"ping","id":"\xff"}', '{"op":"ping","id":' + "[" * 30000, '{"op":"ping","id":' + "9" * 30 + "}"]
)
def test_what_cannot_be_read_is_answered_and_ends_nothing(wrong):
    connection = Connection(None, _Socket(wrong, '{"op":"ping","id":7}'))  # type: ignore[arg-type]

    async def run() -> None:
        with pytest.raises(Exception, match="1000"):
            await connection._receive()

    asyncio.run(run())
    first, second = (msgspec.msgpack.decode(reply) for reply in connection._viewer._replies)
    assert first["ok"] is False
    assert second["id"] == 7


# ---- what is kept of a request


def test_no_token_gets_into_the_record_wherever_it_was_put():
    kept: list[WebRequest] = []

    class Site:
        tokens = Tokens(Secret("read-me-1", "test"), Secret("control-2", "test"))

        def publish(self, frame: WebRequest) -> None:
            kept.append(frame)

    record = _Record(Site())  # type: ignore[arg-type]
    params = {"key": "x control-2", "pad": "p" * 7950, "more": "read-me-1 control-2"}
    record.log_web_request("/api/query/read-me-1", "GET", params, 1.0, 200, True, "control-2")
    record.log_web_request("/api/estop", "POST", {"reason": 10**40}, 1.0, 200, True, "id")
    text = repr(kept)
    assert "read-me" not in text
    assert "control" not in text
    assert len(kept) == 2


# ---- what is held


@pytest.fixture
def serving(monkeypatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(http_connection, "REQUEST_S", 0.5)
    monkeypatch.setattr(http_connection, "MOST_WAITING", 20)
    listening = server.bind("127.0.0.1", 0)
    made = server.Server(app(), listening, Log("test"), lambda: None)
    made.start()
    yield listening.getsockname()[:2]
    made.stop()
    listening.close()


def ended(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHost: lo"])
def test_a_connection_that_asks_nothing_whole_is_ended(serving, said):
    with socket.create_connection(serving, 20) as client:
        client.sendall(said)
        assert ended(client)


def test_of_many_that_ask_nothing_the_longest_waiting_ends_and_a_new_one_is_answered(serving, monkeypatch):
    monkeypatch.setattr(http_connection, "REQUEST_S", 600.0)
    clients = [socket.create_connection(serving, 20) for _ in range(60)]
    try:
        assert httpx.get(f"http://{serving[0]}:{serving[1]}/healthz", trust_env=False).text == '"ok"'
        assert all(ended(client) for client in clients[:35])
    finally:
        for client in clients:
            client.close()


def test_rates_that_nobody_wants_any_more_are_forgotten():
    class Nothing:
        untold = 0

    viewers, viewer = Viewers(Nothing(), None), Viewer()  # type: ignore[arg-type]
    viewers._viewers.add(viewer)
    for hz in range(1, 100):
        viewer.subscription = Subscription(("samples/",), float(hz))
        viewers.take([Message("samples/v/", b"\x80", 0.0)])
    assert len(viewers._reducers) == 1


def test_large_answers_that_wait_for_their_clients_are_few(monkeypatch):
    body = b"[" + b" " * query._LARGE + b"]"

    async def answer(_: Any) -> bytes:
        return body

    made = FastAPI()
    made.state.site = SimpleNamespace(config=SimpleNamespace(pulse=None), stored=SimpleNamespace(run=answer))
    made.include_router(query.router)

    async def busy(_: Request, e: Exception) -> Response:
        return Response(status_code=503)

    made.add_exception_handler(Busy, busy)

    async def run() -> None:
        transport = httpx.ASGITransport(made)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.get("/api/query/power")).content == body
            waiting: list[AsyncIterator[bytes]] = [query._taken(body, made.state) for _ in range(query._MOST_LARGE)]
            for one in waiting:
                await anext(one)
            assert (await client.get("/api/query/power")).status_code == 503
            for one in waiting:
                await one.aclose()  # type: ignore[attr-defined]
            assert (await client.get("/api/query/power")).status_code == 200

    asyncio.run(run())


def test_columns_without_a_bound_are_refused():
    with pytest.raises(RigbusError, match="columns 1000000000: at most 100000"):
        query._check_columns({"columns": "1000000000"})
    query._check_columns({"columns": "100000"})


@pytest.mark.parametrize(
    "host", ["evil.com@localhost", "localhost#.evil.com", "localhost/x", "localhost\\@evil.com", ""]
)
def test_no_other_part_of_a_url_hides_in_a_host(host):
    guard = Guard(app(), TOKENS, (), lambda _: True)
    assert not guard._own(host)
    assert guard._own("localhost:8000")
