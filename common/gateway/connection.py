"""One viewer's WebSocket on `/live`: what it says, what it is sent. docs/http.md has the messages."""

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected

from common import clock
from common.gateway.guard import address_of
from common.gateway.site import Site
from common.gateway.tokens import READ
from common.gateway.viewers import Subscription, Viewer

VERSION = 1
_HELLO_S = 10.0  # for the first message, where a token is set
_STALLED_S = 10.0
_TOPICS = 64
_ID = msgspec.Meta(max_length=1024)  # it comes back with the reply: what waits is bounded


class Said(msgspec.Struct):
    """What a viewer says: one of the ops with its fields."""

    op: Literal["hello", "subscribe", "status", "estop", "ping"]
    token: str | None = None
    topics: list[str] = []
    samples_hz: float | None = None
    sections: list[str] | None = None
    command_id: Any = ""
    reason: Any = "asked for"
    id: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | float | Annotated[str, _ID] | None = None


class _Stop(msgspec.Struct):
    """Nothing else is looked at: a stop is not refused for what comes with it."""

    op: Literal["estop"]


_WRONG = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# what a send or a receive ends with when the viewer has gone
_GONE = (ClientDisconnected, WebSocketDisconnect, RuntimeError)


class _Refused(Exception):
    """code, reason: what the socket is closed with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Connection:
    def __init__(self, site: Site, socket: WebSocket) -> None:
        self._site, self._socket, self._viewer = site, socket, Viewer()
        self._stops: set[asyncio.Task[None]] = set()
        self._level: int = socket.scope["rigbus.level"]

    async def serve(self) -> None:
        """Until either side goes."""
        site, viewer = self._site, self._viewer
        try:
            if site.viewers.full:
                raise _Refused(1013, "too many viewers")
            if self._level < READ:
                await self._first()
            viewer.say(
                "hello", v=VERSION, node=site.config.node, page=site.page.version, t=clock.wall_ns(),
                sections=site.now.names,
            )  # fmt: skip
            site.viewers.add(viewer)
            both = [asyncio.create_task(self._send()), asyncio.create_task(self._receive())]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                site.viewers.remove(viewer)
                for task in both:
                    task.cancel()
                for found in await asyncio.gather(*both, return_exceptions=True):
                    if isinstance(found, Exception) and not isinstance(found, _GONE):
                        raise found
        except _Refused as e:
            await self._socket.close(e.code, str(e))

    async def _first(self) -> None:
        """A token, before anything else."""
        try:
            async with asyncio.timeout(_HELLO_S):
                said = self._read(await self._socket.receive())
        except TimeoutError:
            raise _Refused(1008, "no token came") from None
        except _WRONG:
            raise _Refused(1008, "a token is needed first: {op: hello, token: …}") from None
        if said.op == "hello":
            self._level = self._site.tokens.level(said.token)
        if self._level < READ:
            raise _Refused(1008, "not with this token")

    def _read(self, message: Any) -> Said:
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005), message.get("reason"))
        text = message.get("text") or message.get("bytes") or b""
        try:
            return msgspec.json.decode(text, type=Said)
        except _WRONG:
            try:
                return Said(op=msgspec.json.decode(text, type=_Stop).op)
            except _WRONG:
                pass
            raise

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            try:
                said = self._read(message)
            except _WRONG as e:
                self._viewer.reply(op=None, id=None, ok=False, error=str(e))
                continue
            await self._obey(said)

    async def _obey(self, said: Said) -> None:
        viewer = self._viewer
        if said.op == "subscribe":
            hz = said.samples_hz
            if len(said.topics) > _TOPICS or (hz is not None and not 1 <= hz <= 1e6):
                viewer.reply(op=said.op, id=said.id, ok=False, error=f"at most {_TOPICS} topics; samples_hz from 1")
                return
            viewer.subscription = Subscription(tuple(said.topics), hz)
        elif said.op == "status":
            unknown = set(said.sections or ()) - set(self._site.now.names)
            if unknown:
                viewer.reply(op=said.op, id=said.id, ok=False, error=f"no section {', '.join(sorted(unknown))}")
                return
            self._site.now.refresh()
            viewer.want_status(said.sections)
        elif said.op == "hello":
            self._level = max(self._level, self._site.tokens.level(said.token))
        elif said.op == "estop":
            # not awaited: who stops may go on talking
            task = asyncio.create_task(self._stop(said))
            self._stops.add(task)
            task.add_done_callback(self._stops.discard)
        elif said.op == "ping":
            viewer.reply(op="ping", id=said.id, ok=True, t=clock.wall_ns())

    async def _stop(self, said: Said) -> None:
        done = await self._site.estop.stop(said.command_id, said.reason, address_of(self._socket.scope))
        error = {} if done["ok"] else {"error": "nobody answers: use the switch on the rig"}
        self._viewer.reply(op="estop", id=said.id, **done, **error)

    async def _send(self) -> None:
        viewer, now = self._viewer, self._site.now
        while True:
            await viewer.wake.wait()
            viewer.wake.clear()
            while (message := viewer.next(now)) is not None:
                try:
                    async with asyncio.timeout(_STALLED_S):
                        await self._socket.send_bytes(message)
                except TimeoutError:
                    client = self._socket.client
                    if client is not None:
                        self._site.hang_up((client.host, client.port), 1013, "too slow: the record has it all")
                    return
