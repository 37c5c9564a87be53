"""`/api/series`: what charts draw. docs/http.md has the contract."""

import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response
from msgspec import json as msgspec_json
from msgspec import msgpack

from common.gateway.site import Site, site_of
from common.telemetry.times import time_ns

if TYPE_CHECKING:
    from common.store.query import TelemetryQuery
    from common.store.series_view import Answer, Drawn, SeriesView

router = APIRouter(tags=["series"])
_MSGPACK = "application/msgpack"
_BOTH: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {}, _MSGPACK: {}}}}
_SOURCES = {"auto": None, "raw": 0, "0": 0, "60": 60, "300": 300, "3600": 3600}
_RANGE_S = 600

_Name = Annotated[
    list[str], Query(min_length=1, max_length=16, description="of a series", examples=[["energy/import"]])
]
_From = Annotated[
    str | None,
    Query(alias="from", max_length=40, description="epoch s, or ISO 8601; 10 min before `to`", examples=["1763765999"]),
]
_To = Annotated[str | None, Query(max_length=40, description="as `from`; not included. Without: now")]
_Columns = Annotated[int, Query(ge=1, le=4000, description="at most so many values a series")]
_Source = Annotated[str, Query(max_length=8, description="auto, 0 (raw values), 60, 300 or 3600")]


@router.get("/api/series", response_class=Response, responses=_BOTH)
async def series(
    request: Request,
    name: _Name,
    from_: _From = None,
    to: _To = None,
    columns: _Columns = 600,
    source: _Source = "auto",
) -> Response:
    """Lowest, highest and mean of each series in columns. Binary arrays with `Accept: application/msgpack`."""
    if source not in _SOURCES:
        raise HTTPException(422, f"source: {source} is none of {', '.join(_SOURCES)}")
    try:
        to_ns = time.time_ns() if to is None else time_ns(to)
        from_ns = to_ns - _RANGE_S * 10**9 if from_ is None else time_ns(from_)
    except ValueError as e:
        raise HTTPException(422, str(e)) from None
    site, binary = site_of(request), _MSGPACK in request.headers.get("accept", "")
    names = _names(request)

    def ask(query: "TelemetryQuery") -> bytes:
        from common.store.series_kinds import UnknownSeries  # here: numpy is for those who ask
        from common.store.series_raw import TooMuch

        try:
            found = _view(site, query, names).get(name, from_ns, to_ns, columns, _SOURCES[source])
        except UnknownSeries as e:
            raise HTTPException(400, f"name: {e}") from None
        except (ValueError, TooMuch) as e:
            raise HTTPException(422, str(e)) from None
        return _answer(found, binary)

    return Response(await site.stored.run(ask), media_type=_MSGPACK if binary else "application/json")


@router.get("/api/series/names", response_class=Response, responses={200: {"content": {"application/json": {}}}})
async def series_names(request: Request) -> Response:
    """Every series there is: `name`, `unit`, `kind`, `first_t` and `last_t` (s)."""
    site, names = site_of(request), _names(request)

    def ask(query: "TelemetryQuery") -> bytes:
        return msgspec_json.encode(
            [
                {"name": n.name, "unit": n.unit, "kind": n.kind, "first_t": n.first_ns / 1e9, "last_t": n.last_ns / 1e9}
                for n in _view(site, query, names).names()
            ]
        )

    return Response(await site.stored.run(ask), media_type="application/json")


def _names(request: Request) -> Any:
    """What is known of the store's names, one for the application."""
    from common.store.series_names import SeriesNames

    state = request.app.state
    if not hasattr(state, "series_names"):
        state.series_names = SeriesNames()
    return state.series_names


def _view(site: Site, query: "TelemetryQuery", names: Any) -> "SeriesView":
    from common.store.series_view import SeriesView

    meters = site.config.pulse.channel if site.config.pulse is not None else []
    return SeriesView(query.file, {meter.name: meter.imp_per_kwh for meter in meters}, names)


def _answer(found: "Answer", binary: bool) -> bytes:
    document = {
        "from": found.from_ns / 1e9,
        "to": found.to_ns / 1e9,
        "source": found.source,
        "series": {name: _drawn(drawn, binary) for name, drawn in found.series.items()},
    }
    return msgpack.encode(document) if binary else msgspec_json.encode(document)


def _drawn(drawn: "Drawn", binary: bool) -> dict[str, Any]:
    columns = drawn.columns
    arrays: dict[str, Any] = {"t": columns.t_ns / 1e9, "min": columns.min, "max": columns.max, "mean": columns.mean}
    arrays["n"] = columns.n
    if binary:
        arrays = {key: array.clip(-_F4_MAX, _F4_MAX) if key != "t" else array for key, array in arrays.items()}
        arrays = {key: array.astype("<f8" if key == "t" else "<f4").tobytes() for key, array in arrays.items()}
    else:
        arrays = {key: array.tolist() for key, array in arrays.items()}
    first_t = None if drawn.first_ns is None else drawn.first_ns / 1e9
    return {"unit": drawn.unit, "kind": drawn.kind, "period_s": drawn.period_s, **arrays, "first_t": first_t}


_F4_MAX = 3.4028234e38  # what a float32 holds
