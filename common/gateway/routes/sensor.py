"""The sensor face: the WebSocket that clients of the old vibration program speak, and its ZIP downloads."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, WebSocket
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from common.gateway import sensor_files
from common.gateway.sensor_hub import Hub
from common.gateway.sensor_session import Session
from common.gateway.site import site_of

router = APIRouter(tags=["sensor"])
_EXPORTS = 2  # at once


def hub_of(connection: Request | WebSocket) -> Hub:
    """One a gateway, made when the first client comes."""
    state = connection.app.state
    if not hasattr(state, "sensor_hub"):
        state.sensor_hub = Hub(site_of(connection))
    hub: Hub = state.sensor_hub
    return hub


@router.websocket("/ws")
@router.websocket("/")
async def sensor(ws: WebSocket) -> None:
    await Session(ws, site_of(ws), hub_of(ws)).run()


@router.get(
    "/ws/export/{ticket}/{filename}",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}, 404: {"description": "no such download, or too old"}},
)
async def export(
    request: Request,
    ticket: Annotated[str, Path(max_length=64)],
    filename: Annotated[str, Path(max_length=64)],
) -> Response:
    """What `export_all_csv_zip` gave the address of: made as it is taken, so nothing stays on the disk."""
    hub = hub_of(request)
    found = hub.redeem(ticket)
    if found is None or found.filename != filename:
        raise HTTPException(404, "no such download: ask for a new one by export_all_csv_zip")
    if hub.exports >= _EXPORTS:
        raise HTTPException(503, "other downloads are under way", {"Retry-After": "5"})

    async def body() -> AsyncIterator[bytes]:
        pieces = sensor_files.zipped(hub.root, found.names)
        hub.exports += 1
        try:
            async for piece in iterate_in_threadpool(pieces):
                yield piece
        finally:
            hub.exports -= 1

    disposition = {"Content-Disposition": f'attachment; filename="{found.filename}"'}
    return StreamingResponse(body(), media_type="application/zip", headers=disposition)
