"""`/metrics`: the rig's figures for Prometheus."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import psutil
from fastapi import APIRouter, Request
from fastapi.responses import Response

from common.audit import Account
from common.gateway.exposition import CONTENT_TYPE, exposition
from common.gateway.site import site_of

router = APIRouter(tags=["prometheus"])
_FRAMES = ("published", "stored", "lost", "pending", "unknown")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request) -> Response:
    """Rates, lags, losses, daemons, outputs, disk, in Prometheus's text format. It needs a token that may look."""
    site = site_of(request)
    sections = site.now.sections()
    text = exposition(sections, site.now.t, _cpu_s(sections["daemons"]), _by_source(site.books.books.account))
    return Response(text, media_type=CONTENT_TYPE)


def _cpu_s(daemons: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name, daemon in daemons.items():
        if daemon["state"] != "running":
            continue
        try:
            times = psutil.Process(daemon["pid"]).cpu_times()
        except psutil.Error:
            continue
        found[name] = times.user + times.system
    return found


def _by_source(account: Account | None) -> list[dict[str, Any]]:
    """All runs of a source together: what has ended stays in the sum."""
    sums: dict[str, Counter[str]] = {}
    for stream in account.streams if account is not None else []:
        sums.setdefault(stream.src, Counter()).update({name: getattr(stream, name) for name in _FRAMES})
    return [{"src": src, **{name: of_src[name] for name in _FRAMES}} for src, of_src in sums.items()]
