"""An HTTP connection that ends where its client asks nothing: file handles are few, and a stop needs one."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 700  # connections, WebSockets among them; a process has 1024 file handles
MOST_WAITING = 256  # of them with no request under way; one more ends the one that has waited longest
REQUEST_S = 10.0  # for a request to come whole


class HttpConnection(H11Protocol):
    """uvicorn's own waits for ever for the rest of a request."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._since = self.loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(REQUEST_S, self._look)
        waiting = [other for other in self.connections if isinstance(other, HttpConnection) and other._waits]
        if len(waiting) > MOST_WAITING:
            min(waiting, key=lambda other: other._since).transport.abort()
        elif len(self.connections) > MOST:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    @property
    def _waits(self) -> bool:
        """No request is under way, and its answer is taken."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not self.transport.is_closing() and self.transport.get_write_buffer_size() == 0

    def _look(self) -> None:
        if self not in self.connections:
            return  # it has ended, or is a WebSocket now
        # after an answer uvicorn waits for the beginning of the next request
        most_s = REQUEST_S if self.cycle is None else self.timeout_keep_alive + REQUEST_S
        if self._waits and self.loop.time() - self._since >= most_s:
            self.transport.abort()
        else:
            self._timer = self.loop.call_later(REQUEST_S / 2, self._look)
