"""What every route is given: the rig's configuration, what passes on its bus, its daemons and its store."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request, WebSocket

from common.config.schema import Config, GatewayConfig
from common.frames import Frame
from common.gateway.daemons import Daemons
from common.gateway.guard import Tokens
from common.gateway.live import Live
from common.gateway.now import Now
from common.gateway.stored import Stored
from common.log import Log
from common.paths import Folders


@dataclass
class Site:
    """publish: numbers, journals and sends a frame; never waits, any thread may call it."""

    config: Config
    cfg: GatewayConfig
    folders: Folders
    log: Log
    tokens: Tokens
    live: Live
    now: Now
    daemons: Daemons
    stored: Stored
    publish: Callable[[Frame], int]


def site_of(connection: Request | WebSocket) -> Site:
    """The site of a request; for FastAPI's Depends take `Request`-typed parameters and call this."""
    site: Site = connection.app.state.site
    return site
