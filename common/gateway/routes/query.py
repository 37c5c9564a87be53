"""`/api/query/<verb>`: what `rigbus query <verb> --json` answers."""

from datetime import UTC
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import Response

from common.errors import UsageError
from common.gateway.site import site_of

router = APIRouter(tags=["queries"])
_MOST, _DEFAULT = 100_000, 1000
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
        from common.store.verbs import VERBS, answer  # here: numpy is for those who ask

        if verb not in VERBS:
            raise HTTPException(404, f"no query {verb}; there are {', '.join(VERBS)}")
        if "limit" in VERBS[verb].options:
            options["limit"] = _limit(options)
        return _json(answer(found, verb, options, imp_per_kwh=imp_per_kwh, zone=UTC).document)

    try:
        return Response(await site.stored.run(ask), media_type="application/json")
    except UsageError as e:
        raise HTTPException(422, str(e)) from None


def _limit(options: dict[str, str]) -> str:
    """As given, else what `last` says where it is a number of rows. Raises UsageError where it is too much."""
    last = options.get("last", "")
    text = options.get("limit") or (last if last.isdecimal() else str(_DEFAULT))
    if text.isdecimal() and int(text[:20]) > _MOST:
        raise UsageError(f"limit {text[:20]}: at most {_MOST} rows; rigbus export has no limit")
    return text


def _json(document: Any) -> bytes:
    return msgspec.json.encode(document)
