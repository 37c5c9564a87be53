"""Asking daemons over their ctl sockets without holding up the loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from common.ctl import request
from common.errors import RigbusError
from common.paths import Folders

_AT_ONCE = 4


class Daemons:
    """One request at a time a worker; what waits behind them is bounded by the server's own limit of connections."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._workers = ThreadPoolExecutor(_AT_ONCE, "ctl")
        # a stop never queues behind a thermostat that is slow to answer
        self._urgent = ThreadPoolExecutor(2, "ctl-stop")

    async def ask(self, src: str, op: str, *, timeout_s: float = 2.0, urgent: bool = False, **fields: Any) -> Any:
        """The reply's map. Raises RigbusError where nobody answers in time or the daemon refuses: `src: detail`."""
        workers = self._urgent if urgent else self._workers
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(workers, lambda: self.ask_now(src, op, timeout_s=timeout_s, **fields))

    def ask_now(self, src: str, op: str, *, timeout_s: float = 2.0, **fields: Any) -> dict[str, Any]:
        """As `ask`, for a thread that may wait."""
        return request(self._folders, src, op, timeout_s=timeout_s, **fields)

    def close(self) -> None:
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._urgent.shutdown(wait=False, cancel_futures=True)


__all__ = ["Daemons", "RigbusError"]
