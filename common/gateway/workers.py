"""A few threads for what blocks. Unlike concurrent.futures' they never hold up the end of the process."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from common.errors import RigbusError

T = TypeVar("T")


class Overrun(RigbusError):
    """More waits than is bearable."""


class Workers:
    """most: how many may wait behind those that are under way."""

    def __init__(self, threads: int, name: str, most: int = 64) -> None:
        self._most, self._closed = most, False
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._there = threading.Condition()
        for number in range(threads):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    async def run(self, fn: Callable[[], T]) -> T:
        """What fn returns or raises. Raises Overrun at once where too much waits."""
        future: Future[T] = Future()
        with self._there:
            if self._closed or len(self._jobs) >= self._most:
                raise Overrun("too many requests wait: ask again")
            self._jobs.append((fn, future))
            self._there.notify()
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while True:
            with self._there:
                while not self._jobs and not self._closed:
                    self._there.wait()
                if self._closed:
                    return
                fn, future = self._jobs.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(fn())
            except BaseException as e:
                future.set_exception(e)

    def close(self) -> None:
        """What is under way is left to itself."""
        with self._there:
            self._closed = True
            self._there.notify_all()
