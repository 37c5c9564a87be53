"""Who may: every combination of tokens, hosts and origins, sizes and rates."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Body, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError

from common.gateway.guard import MAX_BODY, Guard, Rates, control
from common.gateway.tokens import CONTROL, NOTHING, READ, Tokens, token_of
from common.secrets import Secret

R, C = "read-token", "control-token"


def tokens(read: str = "", control: str = "", *, is_local: bool = True) -> Tokens:
    return Tokens(Secret(read, "test"), Secret(control, "test"), is_local=is_local)


class _Site:
    def __init__(self, found: Tokens) -> None:
        self.tokens = found


def guarded(found: Tokens, names: tuple[str, ...] = ("rig1",), rates: Rates | None = None) -> Guard:
    app = FastAPI()
    app.state.site = _Site(found)

    @app.get("/look")
    async def look() -> str:
        return "seen"

    @app.get("/open")
    async def open_() -> str:
        return "open"

    @app.post("/move", dependencies=[Depends(control)])
    async def move(request: Request) -> int:
        return len(await request.body())

    @app.post("/api/estop")
    async def estop(request: Request) -> int:
        return len(await request.body())

    return Guard(app, found, names, lambda path: path == "/open", rates)


def ask(guard: Guard, method: str, path: str, **more: Any) -> httpx.Response:
    async def asking() -> httpx.Response:
        transport = httpx.ASGITransport(app=guard, client=(more.pop("address", "127.0.0.1"), 5))
        async with httpx.AsyncClient(transport=transport, base_url=more.pop("base", "http://localhost:8000")) as client:
            return await client.request(method, path, **more)

    return asyncio.run(asking())


# what is set, what is said → what one may
LEVELS = [
    ("", "", None, CONTROL), ("", "", R, CONTROL),
    (R, "", None, NOTHING), (R, "", R, READ), (R, "", C, NOTHING), (R, "", "", NOTHING),
    ("", C, None, READ), ("", C, C, CONTROL), ("", C, R, READ), ("", C, "", READ),
    (R, C, None, NOTHING), (R, C, R, READ), (R, C, C, CONTROL), (R, C, R + C, NOTHING), (R, C, "", NOTHING),
]  # fmt: skip


@pytest.mark.parametrize(
    ("read", "write", "said", "level"),
    [
        ("", C, None, NOTHING), ("", C, "", NOTHING), ("", C, R, NOTHING), ("", C, C, CONTROL), ("", "", None, NOTHING),
        (R, "", R, READ), (R, "", None, NOTHING), (R, C, C, CONTROL), (R, C, R, READ), (R, C, None, NOTHING),
    ],
)  # fmt: skip
def test_where_others_can_ask_looking_always_needs_a_token(read, write, said, level):
    assert tokens(read, write, is_local=False).level(said) == level


@pytest.mark.parametrize(("read", "write", "said", "level"), LEVELS)
def test_levels(read, write, said, level):
    found = tokens(read, write)
    assert found.level(said) == level
    header = {} if said is None else {"Authorization": f"Bearer {said}"}
    guard = guarded(found)
    assert ask(guard, "GET", "/open", headers=header).status_code == 200
    assert ask(guard, "GET", "/look", headers=header).status_code == (200 if level >= READ else 401)
    assert ask(guard, "POST", "/api/estop", headers=header).status_code == (200 if level >= READ else 401)
    wanted = 200 if level == CONTROL else 403 if level == READ else 401
    assert ask(guard, "POST", "/move", headers=header).status_code == wanted


def test_a_token_is_never_shown():
    found = tokens(R, C)
    assert R not in f"{found} {found!r}"
    refused = ask(guarded(found), "GET", "/look", headers={"Authorization": f"Bearer wrong-{R}"})
    assert R not in refused.text
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["error"]


def test_tokens_of_any_characters_are_compared():
    assert tokens("grün").level("grün") == READ
    assert tokens("grün").level("grun") == NOTHING
    assert tokens("grün").level("\udcff") == NOTHING


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer x", "x"), ("bearer  x ", "x"), ("Basic eDp5", None), ("", None), ("Bearer", ""), ("Bearer ", "")],
)
def test_token_of(header, token):
    assert token_of(header) == token


GOOD_HOSTS = ("localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "192.168.1.7:8000", "rig1", "RIG1.:8000")
BAD_HOSTS = ("evil.example", "localhost.evil.example:8000", "127.0.0.1.evil.example", "", "rig1.evil.example", "[::1")


@pytest.mark.parametrize(("host", "status"), [*((h, 200) for h in GOOD_HOSTS), *((h, 403) for h in BAD_HOSTS)])
def test_only_its_own_hosts(host, status):
    """A name that somebody else's DNS points here is refused, on open paths too."""
    for path in ("/look", "/open"):
        assert ask(guarded(tokens()), "GET", path, headers={"Host": host}).status_code == status


ORIGINS = [
    (None, 200), ("http://localhost:8000", 200), ("https://localhost:8000", 200), ("http://LOCALHOST:8000", 200),
    ("http://localhost:3000", 403), ("http://evil.example", 403), ("null", 403), ("http://127.0.0.1:8000", 403),
    ("http://localhost:8000.evil.example", 403), ("", 403), ("http://[", 403),
]  # fmt: skip


@pytest.mark.parametrize(("origin", "status"), ORIGINS)
@pytest.mark.parametrize(("method", "path"), [("GET", "/look"), ("POST", "/move"), ("POST", "/api/estop")])
def test_only_its_own_origin(method, path, origin, status):
    headers = {} if origin is None else {"Origin": origin}
    assert ask(guarded(tokens()), method, path, headers=headers).status_code == status


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_page_loads_without_an_origin_is_refused_but_a_link_is_not(site):
    headers = {"Sec-Fetch-Site": site}
    assert ask(guarded(tokens()), "GET", "/look", headers={**headers, "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    assert ask(guarded(tokens()), "GET", "/open", headers={**headers, "Sec-Fetch-Mode": "navigate"}).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
@pytest.mark.parametrize("origin", ["same", "other", None])
def test_a_socket_is_refused_as_a_request_is(host, origin):
    headers = [(b"host", host.encode())]
    if origin:
        headers.append((b"origin", f"http://{host if origin == 'same' else 'other.example'}".encode()))
    sent: list[Any] = []
    reached: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["rigbus.level"])

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    guard = Guard(app, tokens(), (), lambda _: False)
    scope = {"type": "websocket", "path": "/live", "headers": headers, "client": ("127.0.0.1", 1)}
    asyncio.run(guard(scope, receive, send))
    if host == "localhost" and origin != "other":
        assert reached == [CONTROL]
        assert not sent
    else:
        assert not reached
        assert sent[0]["type"] == "websocket.close"


async def chunks(total: int) -> AsyncIterator[bytes]:
    for _ in range(total // 4096):
        yield b"x" * 4096


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY, 200), (MAX_BODY + 4096, 413), (50 * MAX_BODY, 413)])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_is_bounded_and_arrives_whole(size, status, chunked):
    content = chunks(size) if chunked else b"x" * size
    answer = ask(guarded(tokens()), "POST", "/move", content=content)
    assert answer.status_code == status
    if status == 200:
        assert answer.json() == size


def test_every_answer_forbids_what_the_page_does_not_need():
    for path in ("/look", "/open", "/nowhere"):
        headers = ask(guarded(tokens()), "GET", path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"]
        assert not any(name.startswith("access-control") for name in headers)
    refused = ask(guarded(tokens(R)), "GET", "/look")
    assert refused.headers["x-content-type-options"] == "nosniff"


def test_more_requests_than_the_limit_are_told_to_wait_but_a_stop_is_not():
    guard = guarded(tokens(), rates=Rates(1e-6, 5, 10))
    assert [ask(guard, "GET", "/look").status_code for _ in range(7)] == [*[200] * 5, 429, 429]
    assert ask(guard, "GET", "/look").headers["retry-after"] == "1"
    assert ask(guard, "POST", "/api/estop").status_code == 200
    assert ask(guard, "GET", "/look", address="127.0.0.2").status_code == 200


def test_rates_fill_up_again():
    rates = Rates(50, 200, 4)
    assert sum(rates.take("a", 0.0) for _ in range(300)) == 200
    assert sum(rates.take("a", 1.0) for _ in range(300)) == 50
    assert sum(rates.take("a", 1000.0) for _ in range(300)) == 200


def test_the_table_of_addresses_is_bounded():
    rates = Rates(50, 200, 4)
    for number in range(1000):
        rates.take(f"10.0.0.{number}", 0.0)
    assert len(rates._left) == 4


def test_files_of_the_page_are_never_too_many():
    guard = guarded(tokens(), rates=Rates(0.0, 1.0, 10))
    assert [ask(guard, "GET", "/look").status_code for _ in range(2)] == [200, 429]
    assert [ask(guard, "GET", "/open").status_code for _ in range(3)] == [200] * 3


def test_one_address_does_not_take_all_connections(monkeypatch):
    monkeypatch.setattr("common.gateway.guard._SOCKETS", 2)
    said: list[tuple[str, int, str]] = []

    async def run() -> None:
        let = asyncio.Event()

        async def app(_: Any, __: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            await let.wait()

        guard = Guard(app, tokens(), (), lambda _: False)

        async def connect(n: int, address: str) -> None:
            async def receive() -> Any:
                return {"type": "websocket.connect"}

            async def send(message: Any) -> None:
                said.append((address, n, message["type"]))

            headers = [(b"host", b"localhost")]
            await guard(
                {"type": "websocket", "path": "/live", "client": (address, n), "headers": headers}, receive, send
            )

        first = [asyncio.create_task(connect(n, "192.0.2.1")) for n in range(3)]
        first.append(asyncio.create_task(connect(3, "192.0.2.2")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        let.set()
        await asyncio.gather(*first)
        await connect(4, "192.0.2.1")
        assert not guard._sockets

    asyncio.run(run())
    assert [how for _, _, how in said] == ["websocket.accept"] * 2 + ["websocket.close"] + ["websocket.accept"] * 2


def test_a_body_that_is_not_called_json_is_told_so():
    from common.gateway.app import _invalid

    app = FastAPI()
    app.add_exception_handler(RequestValidationError, _invalid)

    @app.post("/move")
    async def move(confirm: Annotated[str, Body(embed=True)]) -> str:
        return confirm

    transport = httpx.ASGITransport(app=app)

    async def run(**more: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post("/move", **more)

    said = asyncio.run(run(data={"confirm": "unlock"}))
    assert said.status_code == 422
    assert "Content-Type: application/json" in said.json()["error"]
    assert asyncio.run(run(json={"confirm": "yes"})).status_code == 200
    assert "confirm" in asyncio.run(run(json={"confirm": 1})).json()["error"]
