"""Who may ask what: tokens, Host and Origin, sizes and rates. docs/http.md has the rules.

Fail-closed: without a word from a route, a request needs the right to look. Routes that move or change something say
`dependencies=[Depends(control)]`; what needs nothing is listed where the Guard is made (app.py).
"""

import asyncio
import json
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from common.gateway.tokens import CONTROL, READ, Tokens, token_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 65_536
_BODY_S, _STOP_BODY_S = 10.0, 0.3  # for a body to come
_PER_S, _BURST = 50.0, 200.0  # requests of one address
_SOCKETS = 256  # WebSockets of one address: a third of all connections there may be
_ADDRESSES = 1024  # remembered; the one longest unheard is forgotten first
_STOPS = frozenset(("/api/estop", "/pump/stop-all"))  # not refused for what their body is
_UNLIMITED = _STOPS | {"/api/pumps/stop"}  # a stop is never one request too many

_HOST = re.compile(r"[^@/?#\\\s]+")  # no other part of a URL may hide in it

_HEADERS = [
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


async def control(request: Request) -> None:
    """A dependency of every route that moves or changes something."""
    if request.scope["rigbus.level"] < CONTROL:
        tokens: Tokens = request.app.state.site.tokens
        why = "it needs the control token" if tokens.can_control else "no control token is set on the rig"
        raise HTTPException(403, f"not allowed: {why}")


class Rates:
    """A bucket of `burst` requests for each address, filled with per_s a second."""

    def __init__(self, per_s: float, burst: float, addresses: int) -> None:
        self._per_s, self._burst, self._most = per_s, burst, addresses
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now: float | None = None) -> bool:
        """Whether one request more may come. now: monotonic s."""
        now = time.monotonic() if now is None else now
        left, then = self._left.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._per_s)
        self._left[address] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return left >= 1


class Guard:
    """ASGI middleware, outermost. names: hosts that the gateway goes by, besides addresses and localhost.

    open: whether a path needs no token. A WebSocket passes without one: its route asks for it in the first message
    (`scope["rigbus.level"]` is what its header allows).
    """

    def __init__(
        self,
        app: App,
        tokens: Tokens,
        names: Iterable[str],
        open: Callable[[str], bool],
        rates: Rates | None = None,
    ) -> None:
        self._app, self._tokens, self._open = app, tokens, open
        self.go_by(names)
        self._rates = rates or Rates(_PER_S, _BURST, _ADDRESSES)
        self._sockets: Counter[str] = Counter()  # open ones by address

    def go_by(self, names: Iterable[str]) -> None:
        """Other names from here on."""
        self._names = {name.lower().rstrip(".") for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        scope["rigbus.level"] = self._tokens.level(token_of(headers.get(b"authorization", "")))
        refused = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if refused:
                # 403 is what the handshake of a WebSocket may answer with
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": refused[1]})
            else:
                await self._held(scope, receive, send)
            return
        if refused is None:
            try:
                within_s = _STOP_BODY_S if scope["path"] in _STOPS else _BODY_S
                receive = await _whole_body(receive, headers, within_s)
            except _BadBody as e:
                if scope["path"] in _STOPS:
                    receive = _told_once(b"", receive)
                else:
                    refused = e.status, str(e)
        if refused:
            await _answer(send, *refused)
        else:
            await self._app(scope, receive, _with_headers(send))

    async def _held(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket, counted as long as it lasts."""
        address = address_of(scope)
        self._sockets[address] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._sockets[address] -= 1
            if not self._sockets[address]:
                del self._sockets[address]

    def _refusal(self, scope: Scope, headers: dict[bytes, str]) -> tuple[int, str] | None:
        """(status, why) where it goes no further."""
        host = headers.get(b"host", "")
        if not self._own(host):
            return 403, "this Host is not the gateway's own (gateway.names adds one)"
        if not _same_origin(headers, host):
            return 403, "not from a page of another origin"
        path: str = scope["path"]
        address = address_of(scope)
        if scope["type"] == "websocket" and self._sockets[address] >= _SOCKETS:
            return 429, "too many WebSockets"
        # the page is some 60 files: four of them opened at once would be too many
        if not (path in _UNLIMITED or self._open(path)) and not self._rates.take(address):
            return 429, "too many requests"
        if scope["type"] == "http" and scope["rigbus.level"] < READ and not self._open(path):
            return 401, "a token is needed: Authorization: Bearer …"
        return None

    def _own(self, host: str) -> bool:
        """A web page that has its own name point here (DNS rebinding) comes with that name, never with an address."""
        if not _HOST.fullmatch(host):
            return False
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        name = name.rstrip(".")
        if name in self._names or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


def address_of(scope: Scope) -> str:
    """Whom a request comes from; "" where nobody knows."""
    return scope["client"][0] if scope.get("client") else ""


def _same_origin(headers: dict[bytes, str], host: str) -> bool:
    """Scripts send no Origin; browsers do with all that another page's script may cause."""
    origin = headers.get(b"origin")
    if origin is not None:
        return _place_of(origin) == host.lower()
    # what a browser loads for a page of elsewhere (images, scripts) has no Origin; a link to here is fine
    site, mode = headers.get(b"sec-fetch-site", "none"), headers.get(b"sec-fetch-mode", "")
    return site in ("none", "same-origin") or mode == "navigate"


def _place_of(origin: str) -> str | None:
    """host:port of an origin; None for `null` and what is none."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


class _BadBody(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def _whole_body(receive: Receive, headers: dict[bytes, str], within_s: float) -> Receive:
    """Takes the body in, chunked or not, and gives a `receive` that tells it once more. Raises _BadBody."""
    length = headers.get(b"content-length", "")
    if length.isdecimal() and int(length) > MAX_BODY:
        raise _BadBody(413, f"a body may have {MAX_BODY} bytes")
    if not (length or b"transfer-encoding" in headers):
        return receive
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(within_s):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _BadBody(400, "the body ended early")
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_BODY:
                    raise _BadBody(413, f"a body may have {MAX_BODY} bytes")
    except TimeoutError:
        raise _BadBody(408, "the body did not come in time") from None
    return _told_once(bytes(body), receive)


def _told_once(body: bytes, receive: Receive) -> Receive:
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", [])}
            message["headers"] = [*message.get("headers", []), *(h for h in _HEADERS if h[0] not in there)]
        await send(message)

    return sending


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text, "detail": None}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *_HEADERS]
    if status == 429:
        headers.append((b"retry-after", b"1"))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
