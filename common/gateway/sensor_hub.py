"""What clients of /ws have in common: the status, the files, who is told of new ones. Works while one is there."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from common import clock
from common.errors import RigbusError
from common.gateway import sensor_files, tables
from common.gateway.site import Site
from common.sinks.csv.names import Names

Map = dict[str, Any]
STATUS_S = 5.0
_SCAN_S = 1.0
_SCAN_SHARE = 20  # a scan that takes long is made seldom: at most a 20th of a CPU
_NEW_AT_ONCE = 20  # files that are told one by one; more came late, after an outage
_TICKETS, _TICKET_S = 32, 600.0
_TOTAL_S = _RECENT_S = 1.0
_OLD_S, _OLD_NS = 3600.0, 2 * 86_400 * 10**9  # sums that are older are added up once an hour: of years it is seconds
_OLD = "SELECT coalesce(sum(n), 0) AS n FROM rollups WHERE window_s = 3600 AND series = ? AND t_ns < ?"
_TOTAL = """
    SELECT coalesce((SELECT sum(n) FROM rollups WHERE window_s = 3600 AND series = ? AND t_ns >= ?), 0) +
           coalesce((SELECT sum(n) FROM sample_chunks WHERE sensor = ? AND id > coalesce((SELECT last_id
           FROM output_cursors WHERE output = 'rollups' AND table_name = 'sample_chunks'), 0)), 0) AS n"""


class Ticket(NamedTuple):
    filename: str
    names: list[str]
    until: float  # monotonic s


class Hub:
    """Everything here happens in the loop, but for file work and questions, which others do."""

    def __init__(self, site: Site) -> None:
        self._site = site
        cfg = site.config.highspeed
        self.sensor = cfg.name if cfg is not None and cfg.enabled else None
        self._nominal_hz = cfg.rate_hz if cfg is not None else None
        self.root: Path = Names(site.config.sink.csv.dir, site.folders.data).root / "readings"
        self.names: list[str] = []
        self.exports = 0  # under way
        self._reading = asyncio.Lock()  # of whole files: one at a time
        self._recent_text = (float("-inf"), "")
        self._told: set[str] = set()
        self._viewers: list[Callable[[Map], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._tickets: dict[str, Ticket] = {}
        self._total: tuple[float, int | None] = (float("-inf"), None)
        self._old: tuple[float, int, int] = (float("-inf"), 0, 0)  # monotonic s, wall ns, samples until then
        self._recent: Any = None

    # ---- viewers

    async def join(self, tell: Callable[[Map], None]) -> Map:
        """The status of now. tell(message) is called in the loop and never waits: with all that comes after it."""
        if not self._viewers:
            self.names = await self._site.work.run(lambda: sensor_files.names(self.root))
            self._told = set(self.names)
        status = await self.status()
        self._viewers.append(tell)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        return status

    def leave(self, tell: Callable[[Map], None]) -> None:
        if tell in self._viewers:
            self._viewers.remove(tell)

    def tell(self, message: Map) -> None:
        for viewer in list(self._viewers):
            viewer(message)

    def tell_others(self, but: Callable[[Map], None], message: Map) -> None:
        for viewer in list(self._viewers):
            if viewer != but:
                viewer(message)

    async def _watch(self) -> None:
        told = time.monotonic()
        while self._viewers:
            began = time.monotonic()
            try:
                await self.look()
                if began - told >= STATUS_S:
                    told = began
                    self.tell(await self.status())
            except Exception as e:  # one fault must not end what clients wait for
                self._site.log.seldom(
                    "sensor face", "the readings cannot be looked at", error=f"{type(e).__name__}: {e}"
                )
            took = time.monotonic() - began
            await asyncio.sleep(max(_SCAN_S - took, took * _SCAN_SHARE, 0.05))

    async def look(self) -> None:
        """Finds the files, and tells of new ones, oldest first."""
        self.names = await self._site.work.run(lambda: sensor_files.names(self.root))
        new = [name for name in reversed(self.names) if name not in self._told]
        self._told = set(self.names)
        for name in new[-_NEW_AT_ONCE:]:
            self.tell({"type": "new_file", "filename": name, "total_files": len(self.names)})

    # ---- answers

    async def status(self) -> Map:
        """`sampling_rate` Hz, fitted while it samples. `total_samples`: those in the record; null: not known."""
        known: Map = {}
        if self.sensor is not None:
            try:
                known = await self._site.daemons.ask("highspeed", "status", timeout_s=1.0)
            except RigbusError:
                known = {}
        sampling = known.get("state") in ("running", "paused")
        data = {
            "connected": sampling and not known.get("fault"),
            "sampling_rate": known["rate_hz"] if sampling else self._nominal_hz,
            "total_samples": await self._total_samples(),
            "csv_files": len(self.names),
            "latest_file": self.names[0] if self.names else None,
        }
        return {"type": "status", "data": data}

    async def _total_samples(self) -> int | None:
        """As the hours' sums have them, which are kept for ever, and what is not summed yet."""
        at, found = self._total
        if self.sensor is None:
            return None
        if time.monotonic() - at > _TOTAL_S:
            sensor, path = self.sensor, self._site.stored.path
            try:
                found = await self._site.stored.run(lambda _: self._summed(path, sensor))
            except RigbusError:
                found = None
            self._total = time.monotonic(), found
        return found

    def _summed(self, path: Path, sensor: str) -> int:
        series = f"samples/{sensor}/magnitude"
        if time.monotonic() - self._old[0] > _OLD_S:
            before_ns = clock.wall_ns() - _OLD_NS
            self._old = time.monotonic(), before_ns, tables.ask(path, _OLD, [series, before_ns])[0]["n"]
        _, before_ns, old = self._old
        return int(old + tables.ask(path, _TOTAL, [series, before_ns, sensor])[0]["n"])

    async def recent(self) -> str:
        """The answer to get_recent_data, as JSON. Made once a second at most, however many ask."""
        async with self._reading:
            at, text = self._recent_text
            if time.monotonic() - at > _RECENT_S:
                text = await self._site.work.run(lambda: self._read_recent(list(self.names)))
                self._recent_text = time.monotonic(), text
        return text

    def _read_recent(self, names: list[str]) -> str:
        if self._recent is None:
            from common.gateway.sensor_recent import Recent  # here: numpy is for those who ask

            self._recent = Recent(self.root)
        data, files = self._recent.points(names)
        return json.dumps({"type": "recent_data", "data": data, "file_count": files})

    async def collect(self, op: str) -> Map:
        """start, stop, pause or resume. Raises RigbusError."""
        reply: Map = await self._site.daemons.ask("highspeed", op, timeout_s=3.0)
        return reply

    # ---- exports

    def ticket(self, filename: str) -> str:
        """A word that lets somebody download what is there now, for ten minutes: a browser sends no token."""
        now = time.monotonic()
        self._tickets = {word: t for word, t in self._tickets.items() if t.until > now}
        while len(self._tickets) >= _TICKETS:
            del self._tickets[next(iter(self._tickets))]
        word = secrets.token_urlsafe(24)
        self._tickets[word] = Ticket(filename, list(self.names), now + _TICKET_S)
        return word

    def redeem(self, word: str) -> Ticket | None:
        """The ticket, if it still counts."""
        found = self._tickets.get(word)
        return found if found is not None and found.until > time.monotonic() else None
