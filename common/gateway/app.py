"""The application: every face of the gateway, behind the guard."""

import os
import socket
import uuid
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from msgspec import json as msgspec_json
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.websockets import WebSocketClose

from common.errors import RigbusError
from common.frames import WebRequest
from common.gateway.guard import Guard
from common.gateway.routes import arm, docs, metrics, page, pumps, query, rig, sensor, series, thermostat
from common.gateway.site import Site
from common.gateway.stored import Busy
from common.telemetry.middleware import TelemetryMiddleware

_FACES = (rig, query, series, thermostat, pumps, arm, sensor, metrics, docs)
_OPEN = frozenset(("/healthz", "/docs", "/docs.css", "/openapi.json"))  # besides the page's files
_TICKETS = "/ws/export/"  # what follows is a ticket for one use, which only who may look is given


def make(site: Site) -> Guard:
    """The ASGI application of a site."""
    app = FastAPI(title="rigbus", version="1", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.state.site = site
    for face in _FACES:
        app.include_router(face.router)
    app.router.default = _elsewhere
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(RigbusError, _unanswered)
    app.add_exception_handler(Exception, _fault)
    app.add_middleware(TelemetryMiddleware, collector=_Record(site))  # type: ignore[arg-type]

    def is_open(path: str) -> bool:
        return path in _OPEN or path.startswith(_TICKETS) or site.page.find(path) is not None

    guard = Guard(app, site.tokens, _names(site), is_open)
    site.go_by_names = lambda: guard.go_by(_names(site))
    return guard


async def _elsewhere(scope: Any, receive: Any, send: Any) -> None:
    """What no route answers: a file of the page, or 404."""
    if scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
        return
    answer = await page.file(Request(scope, receive))
    await answer(scope, receive, send)


def _names(site: Site) -> set[str]:
    """What the gateway goes by."""
    host = socket.gethostname()
    return {site.cfg.host, host, host.partition(".")[0], f"{host.partition('.')[0]}.local", *site.cfg.names}


class _Record:
    """What the middleware logs to: a frame on the bus for each request to the API, like everything else."""

    enabled = True

    def __init__(self, site: Site) -> None:
        self._site = site

    def new_correlation_id(self) -> str:
        return uuid.UUID(bytes=os.urandom(16), version=4).hex

    def log_web_request(
        self, endpoint: str, method: str, params: dict[str, Any] | None, response_ms: float, status: int | None,
        ok: bool, correlation_id: str,
    ) -> None:  # fmt: skip
        self._site.publish(
            WebRequest(
                endpoint=self._text(endpoint, 500), method=_text(method, 20), response_ms=round(response_ms, 3),
                params_json=self._text(_json(params), 8000) if params else None,
                status_code=status, correlation_id=self._text(correlation_id, 100), ok=int(ok),
            )
        )  # fmt: skip

    def _text(self, value: str, most: int) -> str:
        return _text(self._site.tokens.hidden(value), most)


def _json(params: dict[str, Any]) -> str:
    try:
        return msgspec_json.encode(params).decode()
    except (OverflowError, UnicodeError, RecursionError):  # a number of over 64 bits, half a character, too deep
        return '{"…": "cannot be kept"}'


def _text(value: str, most: int) -> str:
    """As a frame can carry it: what came from outside may be anything."""
    return value[:most].encode("utf-8", "replace").decode()


def _error(status: int, error: str, detail: Any = None, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": error.replace("\n", " "), "detail": detail}, status, headers)


async def _http(_: Request, e: Exception) -> JSONResponse:
    """A route's own refusal: detail is its line, or the whole answer where it is a map with `error`."""
    assert isinstance(e, StarletteHTTPException)
    headers = dict(e.headers) if e.headers else None
    detail: Any = e.detail  # FastAPI's may be anything
    if isinstance(detail, dict) and "error" in detail:
        return JSONResponse({"detail": None, **detail}, e.status_code, headers)
    return _error(e.status_code, str(detail), None, headers)


async def _invalid(request: Request, e: Exception) -> JSONResponse:
    assert isinstance(e, RequestValidationError)
    if "json" not in request.headers.get("content-type", "") and any(x["loc"][:1] == ("body",) for x in e.errors()):
        return _error(422, "a body of JSON is wanted, with Content-Type: application/json")
    found = [{"where": ".".join(map(str, x["loc"])), "what": x["msg"]} for x in e.errors()]
    line = "; ".join(f"{x['where'].removeprefix('query.').removeprefix('body.')}: {x['what']}" for x in found[:3])
    return _error(422, line, found)


async def _unanswered(_: Request, e: Exception) -> JSONResponse:
    return _error(503, str(e), None, {"Retry-After": "1"} if isinstance(e, Busy) else None)


async def _fault(request: Request, e: Exception) -> JSONResponse:
    site: Site = request.app.state.site
    line = f"{type(e).__name__}: {e}"
    site.log.seldom(line, "a request failed", path=site.tokens.hidden(request.url.path), error=line)
    return _error(500, "a fault of the gateway; its log has a line", None)


__all__ = ["HTTPException", "make"]
