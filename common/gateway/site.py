"""What every route is given: the rig's configuration, what passes on its bus, its daemons and its store."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from fastapi import Request, WebSocket

from common import clock, rig
from common.config.schema import Config, GatewayConfig
from common.frames import Frame
from common.gateway.asker import Asker
from common.gateway.attention import Holder
from common.gateway.books import Bookkeeper
from common.gateway.daemons import Daemons
from common.gateway.estop import EmergencyStop
from common.gateway.live import Live
from common.gateway.now import Now
from common.gateway.page_files import PageFiles
from common.gateway.sections import Context
from common.gateway.seen import Seen
from common.gateway.since import Since
from common.gateway.stored import Stored
from common.gateway.tokens import Tokens
from common.gateway.viewers import Viewers
from common.gateway.workers import Workers
from common.log import Log
from common.paths import Folders, is_alive

_CLOCK_S = 10.0


@dataclass
class Site:
    """publish: numbers, journals and sends a frame; never waits, any thread may call it.

    hang_up(client, code, reason): closes a WebSocket whose client takes nothing. go_by_names: tells the guard which

    hosts are the gateway's own.
    """

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
    page: PageFiles
    viewers: Viewers
    asker: Asker
    books: Bookkeeper
    estop: EmergencyStop
    work: Workers  # what takes long, of files above all
    hang_up: Callable[[tuple[str, int], int, str], None] = lambda *_: None
    go_by_names: Callable[[], None] = lambda: None

    def start(self) -> None:
        """In the loop, before the first request."""
        self.live.start(asyncio.get_running_loop())
        self.asker.start()
        self.books.start()
        self._tick = asyncio.create_task(self._ticking())

    async def _ticking(self) -> None:
        """What lasts so long before it is told, and since when, is known also where nobody looks."""
        while True:
            try:
                self.now.refresh()
            except Exception as e:  # one look that failed is not the last
                self.log.seldom("now", "the status could not be made", error=f"{type(e).__name__}: {e}")
            await asyncio.sleep(1.0)

    def take(self, config: Config) -> None:
        """Another configuration, for what is asked from here on."""
        assert config.gateway is not None
        self.config, self.cfg, self.books.config = config, config.gateway, config
        self.go_by_names()

    def close(self) -> None:
        for part in (self.live, self.asker, self.books):
            part.stop()
        self.daemons.close()
        self.estop.close()
        self.work.close()
        self.stored.close()


def site_of(connection: Request | WebSocket) -> Site:
    """The site of a request; for FastAPI's Depends take `Request`-typed parameters and call this."""
    site: Site = connection.app.state.site
    return site


def open_site(
    config: Config, cfg: GatewayConfig, folders: Folders, log: Log, tokens: Tokens, publish: Callable[[Frame], int]
) -> Site:
    highspeed = config.highspeed
    seen = Seen({highspeed.name: float(highspeed.range_g)} if highspeed else {})
    live = Live(folders, log)
    live.at_once(seen.take)
    names = [daemon.name for daemon in rig.configured(config)]
    viewers: Viewers | None = None

    def often(src: str) -> bool:
        """A run goes on, and somebody looks."""
        running = any(pump.get("run") for pump in asker.last("pump").get("pumps", []))
        return src == "pump" and running and viewers is not None and viewers.count > 0

    asker = Asker(folders, [n for n in names if n in ("pump", "dds", "thermostat", "highspeed", "sink")], often)

    def pids() -> list[int]:
        return [health["pid"] for health, at in list(seen.health.values()) if time.monotonic() - at < 5.0]

    books = Bookkeeper(config, folders, seen, pids, log)
    page = PageFiles(cfg.dashboard)
    since, holder, started_t, release = Since(), Holder(), clock.wall_ns(), _version()
    looked: dict[str, float | bool | None] = {"at": float("-inf"), "set": None}

    def clock_set(at: float) -> bool | None:
        if at - float(looked["at"] or 0.0) > _CLOCK_S:
            looked["at"], looked["set"] = at, clock.is_sane()
        return bool(looked["set"])

    def context() -> Context:
        at = time.monotonic()
        alive = frozenset(name for name in names if seen.age_s(name) < 3.0 or is_alive(folders, name))
        return Context(
            t=clock.wall_ns(), at=at, config=books.config, folders=folders, seen=seen, asker=asker, books=books.books,
            alive=alive, since=since, holder=holder, page=page.version, version=release, started_t=started_t,
            control=tokens.can_control, clock_set=clock_set(at),
        )  # fmt: skip

    now = Now(context, seen)
    viewers = Viewers(live, now)
    daemons = Daemons(folders)
    estop = EmergencyStop(daemons, folders, [name for name in names if name in ("pump", "dds")], log)
    estop.done = asker.hurry
    return Site(
        config=config, cfg=cfg, folders=folders, log=log, tokens=tokens, live=live, now=now, daemons=daemons,
        stored=Stored(folders.store, log), publish=publish, page=page, viewers=viewers, asker=asker, books=books,
        estop=estop, work=Workers(3, "work"),
    )  # fmt: skip


def _version() -> str:
    try:
        return version("rigbus")
    except PackageNotFoundError:
        return "unknown"
