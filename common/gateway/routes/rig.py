"""The rig as a whole: health, status, account, the live feed, the emergency stop."""

import asyncio
import json
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, HTTPException, Request, WebSocket
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

from common.audit import audit
from common.gateway.connection import Connection
from common.gateway.guard import address_of, control
from common.gateway.site import site_of
from common.gateway.thermostat import finite

router = APIRouter(tags=["rig"])
_AUDIT_S = 2.0


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz() -> dict[str, Any]:
    """Whether the gateway answers; it says nothing of the rig. Needs no token."""
    return {"ok": True}


@router.get("/api/status")
async def status(request: Request) -> JSONResponse:
    """Everything that is known now, in sections."""
    return JSONResponse(finite(site_of(request).now.sections()))


@router.get("/api/streams")
async def streams(request: Request) -> JSONResponse:
    """The section `streams`: every topic with its rate and age."""
    return JSONResponse(finite(site_of(request).now.section("streams")))


class _Account:
    """The newest account, and the one look that is under way."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.document: dict[str, Any] = {}
        self.until = 0.0


@router.get("/api/audit")
async def account(request: Request) -> JSONResponse:
    """The account, as `rigbus audit --json`; at most 2 s old."""
    site = site_of(request)
    state = request.app.state
    if not hasattr(state, "account"):
        state.account = _Account()
    found: _Account = state.account
    async with found.lock:
        if time.monotonic() >= found.until:
            made = await site.work.run(lambda: audit(site.config, site.folders))
            found.document, found.until = made.as_json(), time.monotonic() + _AUDIT_S
        return JSONResponse(found.document)


_STOP_BODY = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"command_id": {"type": "string"}, "reason": {"type": "string"}},
                },
                "example": {"command_id": "page-7f3a", "reason": "from the page"},
            }
        }
    }
}


@router.post("/api/estop", openapi_extra=_STOP_BODY, responses={503: {"description": "no daemon could be reached"}})
async def estop(request: Request) -> JSONResponse:
    """The emergency stop, pumps and arm: it needs no more than looking, and may be said again and again.

    503: no daemon could be reached, use the switch on the rig.
    """
    # a stop is not refused for what comes with it
    try:
        said = json.loads(await request.body())
    except (ValueError, RecursionError):
        said = {}
    said = said if isinstance(said, dict) else {}
    command_id, reason = said.get("command_id", ""), said.get("reason", "asked for")
    done = await site_of(request).estop.stop(command_id, reason, address_of(request.scope))
    if done.pop("ok"):
        return JSONResponse(done)
    return JSONResponse({"error": "nobody answers: use the switch on the rig", "detail": None, **done}, 503)


@router.post("/api/unlock", dependencies=[Depends(control)])
async def unlock(request: Request, confirm: Annotated[Literal["unlock"], Body(embed=True)]) -> JSONResponse:
    """Takes the emergency stop back. Nothing starts by it."""
    done = await site_of(request).estop.unlock()
    if done["failed"]:
        line = "; ".join(f"{src}: {why}" for src, why in done["failed"].items())
        raise HTTPException(503, {"error": f"still locked: {line}", "detail": None, **done})
    return JSONResponse(done)


@router.websocket("/live")
async def live(socket: WebSocket) -> None:
    """The live feed: docs/http.md."""
    await socket.accept()
    try:
        await Connection(site_of(socket), socket).serve()
    except WebSocketDisconnect:
        pass
