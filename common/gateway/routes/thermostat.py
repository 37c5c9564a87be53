"""The thermostat face: what clients of the old logger, and Grafana's Infinity, ask for. Times are epoch ms."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import Response, StreamingResponse

from common.errors import RigbusError
from common.gateway import thermostat
from common.gateway.guard import control
from common.gateway.refusals import refuse
from common.gateway.site import Site, site_of

router = APIRouter(tags=["thermostat"])
_SHOWN_MS = 600_000
_SAVE_S = 8.0  # a device that is slow, and a poll before

_Device = Annotated[
    str | None,
    Query(max_length=64, description="its name; may be left out where there is only one", examples=["bench"]),
]
_From = Annotated[
    str | None, Query(alias="from", max_length=40, description="epoch ms, or ISO 8601", examples=["1763765999000"])
]
_To = Annotated[str | None, Query(max_length=40, description="as `from`; not included")]
_Every = Annotated[
    float | None,
    Query(
        ge=thermostat.MIN_EVERY_S,
        le=thermostat.MAX_EVERY_S,
        allow_inf_nan=False,
        description="s: at most a row in so long",
    ),
]
_Columns = Annotated[int | None, Query(ge=1, le=100_000, description="at most about so many rows over the range")]


async def _rig(request: Request) -> Site:
    site = site_of(request)
    if site.config.thermostat is None or not site.config.thermostat.enabled:
        raise HTTPException(404, "no thermostat is configured: there is no [thermostat]")
    return site


async def _named(site: Annotated[Site, Depends(_rig)], device: _Device = None) -> str:
    assert site.config.thermostat is not None
    names = [cfg.name for cfg in site.config.thermostat.device]
    if device is None and len(names) == 1:
        return names[0]
    if device not in names:
        raise HTTPException(422, f"device: one of {', '.join(names)}" if names else "device: there is none")
    return device


_Rig = Annotated[Site, Depends(_rig)]
_Named = Annotated[str, Depends(_named)]


@router.get("/report")
async def report(site: _Rig, device: _Named) -> Any:
    """The newest reading, a map a channel: the device's fields, `time`, `ts` (epoch ms) and `device_time_s`."""
    heard = site.now.seen.readings.get(device)
    if heard is not None:
        return thermostat.report(heard.t, heard.channels)
    found = await site.stored.run(lambda _: thermostat.stored_report(site.stored.path, device))
    if not found:
        raise HTTPException(404, f"no reading of {device} yet")
    return found


@router.get("/series", response_class=Response, responses={200: {"content": {"application/json": {}}}})
async def series(
    site: _Rig, device: _Named, from_: _From = None, to: _To = None, every: _Every = None, columns: _Columns = None
) -> Response:
    """The rows of a range, oldest first, with the names of `/data.csv` (streamed). Without `from`: 10 minutes."""
    if from_ is None:
        from_ = str(await _end_ms(site, device, to) - _SHOWN_MS)
    pieces = await _rows(site, device, from_, to, every, columns)
    return await _streamed(site, lambda query: thermostat.as_json(pieces(query)), "application/json")


@router.get("/data.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
async def data_csv(
    site: _Rig, device: _Named, from_: _From = None, to: _To = None, every: _Every = None, columns: _Columns = None
) -> Response:
    """All of it as CSV, a row a poll: `time,ts,temperature_ch0,temperature_ch1,…`; an empty cell is "unknown"."""
    pieces = await _rows(site, device, from_, to, every, columns)
    return await _streamed(site, pieces, "text/csv; charset=utf-8; header=present")


async def _end_ms(site: Site, device: str, to: str | None) -> int:
    """Of a range that names no beginning: as asked, else that of the newest row. Raises HTTPException 422."""
    if to is not None:
        try:
            return thermostat.ns_of(to) // 10**6
        except ValueError as e:
            raise HTTPException(422, str(e)) from None
    newest = await site.stored.run(lambda _: thermostat.span_ns(site.stored.path, device))
    return (newest[1] if newest else 0) // 10**6


@router.post("/save_once", dependencies=[Depends(control)])
async def save_once(site: _Rig, device: _Named) -> Any:
    """One reading more, now, recorded like any other."""
    try:
        reply = await site.daemons.ask("thermostat", "save_once", timeout_s=_SAVE_S, device=device)
    except RigbusError as e:
        raise refuse(e) from None
    return {"ok": True, **{key: thermostat.finite(reply[key]) for key in ("device", "dialect", "readings")}}


async def _rows(
    site: Site, device: str, from_: str | None, to: str | None, every: float | None, columns: int | None
) -> Any:
    """What makes the pieces of the CSV, given a query. Raises HTTPException 422."""
    from common.store.wide_csv import wide_rows  # here: it needs numpy, the rest of the gateway does not

    try:
        from_ns = thermostat.ns_of(from_) if from_ is not None else None
        to_ns = thermostat.ns_of(to) if to is not None else None
    except ValueError as e:
        raise HTTPException(422, str(e)) from None
    if from_ns is not None and to_ns is not None and from_ns > to_ns:
        raise HTTPException(422, "from is after to")
    if columns is not None:
        found = await site.stored.run(lambda _: thermostat.span_ns(site.stored.path, device))
        first, last = found or (0, 0)
        begin = first if from_ns is None else max(from_ns, first)
        end = last if to_ns is None else min(to_ns, last)
        every = max(every or 0.0, min(max(0, end - begin) / 1e9 / columns, thermostat.MAX_EVERY_S)) or None
    return lambda query: wide_rows(query, device, from_ns, to_ns, every)


async def _streamed(site: Site, pieces: Any, media_type: str) -> Response:
    """What refuses to begin is an error with its status; later nobody can be told but by the end."""
    source = site.stored.stream(pieces)
    first = await anext(source, b"")

    async def body() -> AsyncIterator[bytes]:
        try:
            yield first
            async for piece in source:
                yield piece
        finally:
            await source.aclose()  # type: ignore[attr-defined]  # a client that goes frees the worker

    return StreamingResponse(body(), media_type=media_type)
