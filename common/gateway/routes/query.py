"""`/api/query/<verb>`: what `rigbus query <verb> --json` answers."""

from collections.abc import AsyncIterator
from datetime import UTC
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import Response, StreamingResponse

from common.errors import UsageError
from common.gateway.site import site_of
from common.gateway.stored import Busy

router = APIRouter(tags=["queries"])
_MOST, _DEFAULT = 100_000, 1000
_LARGE, _MOST_LARGE, _PIECE = 1_000_000, 4, 65_536  # bytes; how many are kept for clients that are slow
_OPTIONS = {
    "last": ("10s, 5m, 2h, 1d: the time up to now; or the newest so many rows", "5m"),
    "from": ("epoch seconds, or ISO 8601, UTC", None),
    "to": ("up to, not including", None),
    "limit": (f"the newest so many rows; default {_DEFAULT}, at most {_MOST}", "3"),
}
_PARAMETERS = [
    {
        "name": name, "in": "query", "required": False, "schema": {"type": "string"}, "description": text,
        **({"example": example} if example else {}),
    }
    for name, (text, example) in _OPTIONS.items()
]  # fmt: skip


@router.get("/api/query/{verb}", openapi_extra={"parameters": _PARAMETERS})
async def query(
    request: Request,
    verb: Annotated[str, Path(description="summary, power, ledger …: as of rigbus query", examples=["power"])],
) -> Response:
    """A question to the store: the verbs of `rigbus query`, and each one's options as parameters."""
    options = dict(request.query_params)
    site = site_of(request)
    meters = site.config.pulse.channel if site.config.pulse else []
    imp_per_kwh = {channel.name: channel.imp_per_kwh for channel in meters}

    def ask(found: Any) -> bytes:
        from common.store.verbs import VERBS, answer, asked_of  # here: numpy is for those who ask

        if verb not in VERBS:
            raise HTTPException(404, f"no query {verb}; there are {', '.join(VERBS)}")
        if "limit" in VERBS[verb].options:
            options["limit"] = _limit(options)
        _check_columns(options)
        if verb == "tracking":
            _check_commands(found, asked_of(verb, options, zone=UTC))
        return _json(answer(found, verb, options, imp_per_kwh=imp_per_kwh, zone=UTC).document)

    try:
        body = await site.stored.run(ask)
    except UsageError as e:
        raise HTTPException(422, str(e)) from None
    if len(body) < _LARGE:
        return Response(body, media_type="application/json")
    state = request.app.state
    if getattr(state, "large_answers", 0) >= _MOST_LARGE:
        raise Busy("large answers wait for their clients: ask again")
    length = {"content-length": str(len(body))}
    return StreamingResponse(_taken(body, state), media_type="application/json", headers=length)


async def _taken(body: bytes, state: Any) -> AsyncIterator[bytes]:
    """No faster than the client takes it, so that it is known how many wait."""
    state.large_answers = getattr(state, "large_answers", 0) + 1
    try:
        for at in range(0, len(body), _PIECE):
            yield body[at : at + _PIECE]
    finally:
        state.large_answers -= 1


def _limit(options: dict[str, str]) -> str:
    """As given, else what `last` says where it is a number of rows. Raises UsageError where it is too much."""
    last = options.get("last", "")
    text = options.get("limit") or (last if last.isdecimal() else str(_DEFAULT))
    if text.isdecimal() and int(text[:20]) > _MOST:
        raise UsageError(f"limit {text[:20]}: at most {_MOST} rows; rigbus export has no limit")
    return text


def _check_columns(options: dict[str, str]) -> None:
    """Raises UsageError where they are more than the rows that may be."""
    text = options.get("columns", "")
    if text.isdecimal() and int(text[:20]) > _MOST:
        raise UsageError(f"columns {text[:20]}: at most {_MOST}")


def _check_commands(found: Any, asked: Any) -> None:
    """Raises UsageError where the answer would have more rows than may be: a row a command."""
    start, end = asked.span_s
    sql = "SELECT count(*) FROM (SELECT 1 FROM dds_commands WHERE ts >= ? AND ts <= ? LIMIT ?)"
    if found.file.all(sql, [start or 0.0, 1e300 if end is None else end, _MOST + 1])[0][0] > _MOST:
        raise UsageError(f"over {_MOST} commands are in this time: ask for less, last=1h say")


def _json(document: Any) -> bytes:
    return msgspec.json.encode(document)
