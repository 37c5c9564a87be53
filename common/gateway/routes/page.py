"""The page's files at `/`: what answers where no other route does."""

from fastapi import HTTPException, Request
from fastapi.responses import FileResponse, Response

from common.gateway.site import site_of


async def file(request: Request) -> Response:
    """no-cache: a browser asks each time, and is told where nothing has changed. 404: no file of the page."""
    found = site_of(request).page.find(request.scope["path"])
    if found is None or request.method not in ("GET", "HEAD"):
        raise HTTPException(404, "there is nothing here; the page is at /, what can be asked at /docs")
    headers = {"ETag": found.etag, "Cache-Control": "no-cache"}
    if found.etag in [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return FileResponse(found.path, media_type=found.type, headers=headers)
