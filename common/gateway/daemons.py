"""Asking daemons over their ctl sockets without holding up the loop."""

from typing import Any

from common.ctl import request
from common.errors import RigbusError
from common.gateway.workers import Workers
from common.paths import Folders

_AT_ONCE = 4


class Daemons:
    """One request at a time a worker; what waits behind them is bounded."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._workers = Workers(_AT_ONCE, "ctl")
        # a stop never queues behind a thermostat that is slow to answer
        self._urgent = Workers(_AT_ONCE, "ctl-stop")

    async def ask(self, src: str, op: str, *, timeout_s: float = 2.0, urgent: bool = False, **fields: Any) -> Any:
        """The reply's map. Raises RigbusError where nobody answers in time or the daemon refuses: `src: detail`."""
        workers = self._urgent if urgent else self._workers
        return await workers.run(lambda: self.ask_now(src, op, timeout_s=timeout_s, **fields))

    def ask_now(self, src: str, op: str, *, timeout_s: float = 2.0, **fields: Any) -> dict[str, Any]:
        """As `ask`, for a thread that may wait."""
        return request(self._folders, src, op, timeout_s=timeout_s, **fields)

    def close(self) -> None:
        self._workers.close()
        self._urgent.close()


__all__ = ["Daemons", "RigbusError"]
