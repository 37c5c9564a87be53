"""ASGI middleware for an application's own web server: a row in `web_requests` for each request to its API."""

import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from .collector import TelemetryCollector

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
_MAX_BODY = 4096  # of a JSON body that is kept among the parameters
_CORRELATION = (b"x-correlation-id", b"x-request-id")
_SECRET = ("password", "passwd", "secret", "token", "authorization", "api_key", "apikey")


class TelemetryMiddleware:
    """`app.add_middleware(TelemetryMiddleware, collector=tc)`: Starlette, FastAPI, any ASGI server.

    response_ms: until the response began. params: of the path, the query and a JSON object of a body (at most 4 kB);
    what is called a password, a secret or a token is kept without its value. correlation_id: from the request's header
    x-correlation-id or x-request-id, else a new one; the handler finds it as `request.state.correlation_id`. An
    exception is logged as status 500 and raised again. status_code is NULL where no response was sent.
    """

    def __init__(self, app: App, collector: TelemetryCollector, prefix: str = "/api/") -> None:
        self._app, self._collector, self._prefix = app, collector, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self._prefix) or not self._collector.enabled:
            await self._app(scope, receive, send)
            return
        request = _Request(scope, receive, send, self._collector.new_correlation_id)
        try:
            await self._app(scope, request.receive, request.send)
        except BaseException as e:
            # a cancelled request has no status: its client, or the server, has gone
            request.status = 500 if isinstance(e, Exception) else request.status
            request.log(self._collector)
            raise
        request.log(self._collector)


class _Request:
    """One request under way: passes messages on and remembers what the row needs."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, new_id: Callable[[], str]) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self.status: int | None = None
        self._response_ms: float | None = None
        self._began = time.monotonic()
        headers = {bytes(name).lower(): bytes(value) for name, value in scope.get("headers", ())}
        given = next((headers[name].decode("latin-1") for name in _CORRELATION if headers.get(name)), None)
        self._correlation_id = given or new_id()
        scope.setdefault("state", {})["correlation_id"] = self._correlation_id
        self._body: bytearray | None = bytearray() if b"json" in headers.get(b"content-type", b"") else None

    async def receive(self) -> Message:
        message = await self._receive()
        if self._body is not None and message["type"] == "http.request":
            self._body += message.get("body", b"")
            if len(self._body) > _MAX_BODY:
                self._body = None
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._response_ms = self._passed_ms()
        await self._send(message)

    def _passed_ms(self) -> float:
        return (time.monotonic() - self._began) * 1000

    def log(self, collector: TelemetryCollector) -> None:
        ms = self._passed_ms() if self._response_ms is None else self._response_ms
        collector.log_web_request(
            self._scope["path"],
            self._scope["method"],
            self._params() or None,
            ms,
            self.status,
            self.status is not None and self.status < 400,
            self._correlation_id,
        )

    def _params(self) -> dict[str, Any]:
        query = parse_qsl(self._scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        # the router has put the path's own parameters into the scope by now
        return _without_secrets([*self._scope.get("path_params", {}).items(), *query, *self._json()])

    def _json(self) -> Iterable[tuple[str, Any]]:
        try:
            found = msgspec.json.decode(self._body) if self._body else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ()
        return found.items() if isinstance(found, dict) else ()


def _without_secrets(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """However deep they lie: JSON that was decoded is no deeper than the decoder goes."""
    return {key: "***" if any(word in str(key).lower() for word in _SECRET) else _clean(value) for key, value in pairs}


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return _without_secrets(value.items())
    return [_clean(item) for item in value] if isinstance(value, list) else value
