"""The arm face: th3cl4w's debug routes, over the rig's record. All of them only look."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import Response

from common.gateway import debug, tables
from common.gateway.site import site_of
from common.gateway.stored import Stored
from common.telemetry.events import EventType

router = APIRouter(tags=["arm"], prefix="/api/debug")

_Rows = list[dict[str, Any]]
_Limit = Annotated[int, Query(ge=1, le=10_000, description="the newest so many")]
_Text = Annotated[str | None, Query(max_length=200)]
_WRONG: dict[int | str, dict[str, Any]] = {400: {"description": "no such table or type"}}


async def _rows(stored: Stored, make: Callable[[], list[dict[str, Any]]]) -> Response:
    """Text is made where the rows are: the loop, and a stop in it, waits for neither."""
    body = await stored.run(lambda _: msgspec.json.encode(make()))
    return Response(body, media_type="application/json")


@router.get("/query", responses=_WRONG, response_model=_Rows)
async def query(
    request: Request, table: Annotated[str, Query(max_length=64, examples=["dds_commands"])], limit: _Limit = 100
) -> Response:
    """The newest rows of a table as they are, oldest first; `docs/store.md` has the columns."""
    if table not in tables.KNOWN:
        raise HTTPException(400, f"no table {table!r}; there are: {', '.join(tables.KNOWN)}")
    stored = site_of(request).stored
    return await _rows(stored, lambda: tables.newest(stored.path, table, limit))


@router.get("/events", responses=_WRONG, response_model=_Rows)
@router.get("/telemetry", responses=_WRONG, response_model=_Rows)
async def events(request: Request, limit: _Limit = 100, event_type: _Text = None, source: _Text = None) -> Response:
    """What was sent, received and happened, oldest first. `source`: dds, web, camera, smoother, or an event's own."""
    kind = None
    if event_type is not None:
        try:
            kind = EventType(event_type)
        except ValueError:
            names = ", ".join(kind.value for kind in EventType)
            raise HTTPException(400, f"unknown event_type {event_type!r}; there are: {names}") from None
    stored = site_of(request).stored
    return await _rows(stored, lambda: debug.events(stored.path, limit, kind, source))


@router.get("/pipeline/{correlation_id}", response_model=_Rows)
async def pipeline(request: Request, correlation_id: Annotated[str, Path(max_length=200)]) -> Response:
    """The events of one correlation with the time between them; nothing, where nobody knows it."""
    stored = site_of(request).stored
    return await _rows(stored, lambda: debug.pipeline(stored.path, correlation_id))


@router.get("/pipeline", response_model=_Rows)
async def pipeline_of(request: Request, correlation_id: Annotated[str, Query(max_length=200)]) -> Response:
    """As `/api/debug/pipeline/{correlation_id}`."""
    return await pipeline(request, correlation_id)


@router.get("/stats")
async def stats(request: Request) -> dict[str, Any]:
    """Totals, rates by event type over 10 s, age of the newest (`staleness_ms`), correlations of the last minute."""
    stored = site_of(request).stored
    return await stored.run(lambda _: debug.stats(stored.path))
