"""The emergency stop, by HTTP and by `/live`: pumps and arm at once; it may be said again and again."""

import asyncio
from collections.abc import Callable
from typing import Any

from common import clock
from common.errors import RigbusError
from common.gateway.daemons import Daemons
from common.gateway.workers import Workers
from common.latch import Latch
from common.log import Log
from common.log_events import LogEvent
from common.paths import Folders

_MAX_ID, _MAX_REASON = 64, 200
# the page says "use the switch on the rig" after one second without an answer
_ANSWER_S = 0.8  # of a daemon
_WITHIN_S = 0.9  # of ours


class EmergencyStop:
    """srcs: the daemons that move something."""

    def __init__(self, daemons: Daemons, folders: Folders, srcs: list[str], log: Log) -> None:
        self._daemons, self._folders, self._srcs, self._log = daemons, folders, srcs, log
        self._under_way = {src: asyncio.Lock() for src in srcs}
        # of its own: a stop waits behind nothing else that is asked
        self._workers = Workers(2 * len(srcs), "estop")
        self._next: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self.done: Callable[[], None] = lambda: None  # called when something was latched or unlocked

    async def stop(self, command_id: Any, reason: Any, by: str = "") -> dict[str, Any]:
        """The answer of docs/http.md. `ok` false: no daemon could be reached. What was said may be anything.

        by: the address that it was said from.
        """
        command_id, reason = _text(command_id, _MAX_ID), _text(reason, _MAX_REASON)
        began = clock.boot_ns()
        replies = await asyncio.gather(*(self._ask(src, reason) for src in self._srcs))
        self.done()
        by_src = dict(zip(self._srcs, replies, strict=True))
        failed = {src: reply["failed"] for src, reply in by_src.items() if "failed" in reply}
        reached = [reply for reply in replies if "failed" not in reply]
        self._log.seldom(
            f"estop {by}", "emergency stop", every_s=1.0, event=LogEvent.ESTOP, by=by, reason=reason,
            command_id=command_id, failed=", ".join(failed) or "none", took_ms=round((clock.boot_ns() - began) / 1e6),
        )  # fmt: skip
        arm = by_src.get("dds", {})
        return {
            "ok": bool(reached),
            "command_id": command_id,
            "locked": bool(replies) and all(reply.get("locked") for reply in replies),
            "stopped": by_src.get("pump", {}).get("stopped", []),
            "arm": {key: arm[key] for key in ("locked", "saved") if key in arm} or None,
            "not_stopped": arm.get("detail", "") if "failed" not in arm else "",
            "saved": bool(replies) and all(reply.get("saved", False) for reply in replies),
            "failed": failed,
        }

    async def unlock(self) -> dict[str, Any]:
        """Takes it back, pumps and arm. `failed`: src → why."""
        replies = await asyncio.gather(
            *(self._daemons.ask(src, "unlock", confirm="unlock", urgent=True) for src in self._srcs),
            return_exceptions=True,
        )
        self.done()
        failed = {
            src: str(reply).removeprefix(f"{src}: ")
            for src, reply in zip(self._srcs, replies, strict=True)
            if isinstance(reply, BaseException)
        }
        return {"locked": bool(failed), "failed": failed}

    async def _ask(self, src: str, reason: str) -> dict[str, Any]:
        """Who comes while one is under way shares the next: a daemon that hangs never fills the queue of the others."""
        if src not in self._next:
            self._next[src] = asyncio.create_task(self._after(src, reason))
        try:
            async with asyncio.timeout(_WITHIN_S):
                return await asyncio.shield(self._next[src])
        except TimeoutError:
            return {"failed": "no answer yet; it is still being asked", "locked": False, "saved": False}

    async def _after(self, src: str, reason: str) -> dict[str, Any]:
        async with self._under_way[src]:
            del self._next[src]  # what is asked from here on needs one of its own
            try:
                reply = await self._workers.run(
                    lambda: self._daemons.ask_now(src, "estop", timeout_s=_ANSWER_S, reason=reason)
                )
                return {"locked": reply.get("locked"), "saved": reply.get("saved", True), **reply}
            except RigbusError as e:
                latched = await self._workers.run(lambda: self._latch(src, reason))
                why = str(e).removeprefix(f"{src}: ")
                then = "; its latch is set on the disk: nothing moves when it comes back" if latched else ""
                return {"failed": f"{why}{then}", "locked": latched, "saved": latched}

    def _latch(self, src: str, reason: str) -> bool:
        """A daemon that cannot be reached finds the latch when it comes back."""
        folder = self._folders.data / src
        try:
            if not folder.is_dir():
                return False
            Latch(folder).set(reason)
            return True
        except OSError as e:
            self._log.warning("the latch of a daemon that does not answer cannot be set", daemon=src, reason=e.strerror)
            return False

    def close(self) -> None:
        self._workers.close()


def _text(said: Any, most: int) -> str:
    """As a message to a daemon can carry it: a stop is not refused for what comes with it."""
    try:
        return str(said)[:most].encode("utf-8", "replace").decode()
    except (ValueError, RecursionError):  # a number of thousands of digits
        return "?"
