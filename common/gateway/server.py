"""uvicorn in a thread of its own, with a loop of its own; no signals, no log of its own, a bounded end."""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from common.errors import ConfigError, DeviceMissing, RigbusError
from common.gateway.http_connection import HttpConnection
from common.log import Log
from common.notify import Rounds

_STALLED_MS = 30_000  # a client that takes nothing for so long is cut off by the kernel
_SEND_BUFFER = 131_072
_KEEP_ALIVE_S = 30
_GRACE_S = 1
_END_S = 2.0
_CUT_OFF_S = 10.0
_ROUND_S = 60.0


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises ConfigError for what is no host; DeviceMissing for one that is none of this machine's, which it may become
    (nothing waits for the network at the start); RigbusError for a busy port.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as e:
        raise DeviceMissing(f"gateway.host: {host!r}: {e.strerror or e}") from None
    except ValueError as e:
        raise ConfigError(f"gateway.host: {host!r}: {e}") from None
    made = socket.socket(family, kind)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
        # the kernel holds no more for a client that is slow: what it gets is not much older than now
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        made.bind(address)
        made.listen(128)
    except OSError as e:
        made.close()
        if e.errno in (98, 13):  # EADDRINUSE, EACCES
            raise RigbusError(f"{host}:{port}: {e.strerror} (gateway.port names another)") from None
        raise DeviceMissing(f"gateway.host: {host}:{port}: {e.strerror}") from None
    return made


def is_loopback(listening: socket.socket) -> bool:
    return ip_address(listening.getsockname()[0]).is_loopback


def url_of(listening: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    address, port = listening.getsockname()[:2]
    ip = ip_address(address)
    if ip.is_unspecified:
        address = "127.0.0.1" if ip.version == 4 else "::1"
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


class Server:
    """Serves from `start` to `stop`. began() is called in its loop before the first request."""

    def __init__(self, app: Any, listening: socket.socket, log: Log, began: Callable[[], None]) -> None:
        _log_to(log)
        self._listening, self._began = listening, began
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", http=HttpConnection, ws="websockets-sansio",
            loop="asyncio", ws_max_size=65_536, ws_per_message_deflate=False, server_header=False, proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S, timeout_graceful_shutdown=_GRACE_S, h11_max_incomplete_event_size=16_384,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self.rounds = Rounds(_ROUND_S)  # of the loop
        self._thread = threading.Thread(target=self._serve, name="server", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _serve(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._began()
        self._turning = asyncio.create_task(self._turn())
        await self._server.serve(sockets=[self._listening])

    async def _turn(self) -> None:
        while True:
            self.rounds.turn()
            await asyncio.sleep(1.0)

    def hang_up(self, client: tuple[str, int], code: int, reason: str) -> None:
        """Closes a WebSocket whose client takes nothing: `send` would wait for it. To be called in the loop.

        The close stands behind what the kernel holds; a client that still takes nothing is cut off a little later.
        """
        for connection in list(self._server.server_state.connections):
            if isinstance(connection, WebSocketsSansIOProtocol) and connection.client == client:
                connection.conn.send_close(code, reason)
                connection.transport.write(b"".join(connection.conn.data_to_send()))
                asyncio.get_running_loop().call_later(_CUT_OFF_S, connection.transport.abort)

    def stop(self) -> None:
        """Within 2 s whatever clients do; what is under way then is cut off."""
        self._server.should_exit = True
        self._thread.join(_END_S)
        self._server.force_exit = True
        self._thread.join(0.5)


def _log_to(log: Log) -> None:
    """What uvicorn and asyncio complain of, in the daemon's own lines."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            text = record.getMessage().strip().partition("\n")[0]
            log.seldom(text, f"{text}: {type(error).__name__}: {error}" if error else text)

    for name in ("uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate, logger.level = [Lines(logging.WARNING)], False, logging.WARNING
