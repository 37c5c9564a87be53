"""One client of the sensor face: ten commands, answers in order, and what it is told unasked. Bounded all over."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from common.errors import RigbusError
from common.gateway import sensor_files
from common.gateway.sensor_hub import Hub, Map
from common.gateway.site import Site
from common.gateway.tokens import CONTROL, READ

_WAITING = 4  # messages for a client; who asks while so many wait is not read until it takes some
_SEND_S = 10.0
_AUTH_S = 10.0


class _Bye(Exception):
    """The connection is to be closed: code and reason."""


class Session:
    """`run` serves a WebSocket from its acceptance to its end."""

    def __init__(self, ws: WebSocket, site: Site, hub: Hub) -> None:
        self._ws, self._site, self._hub = ws, site, hub
        self._level: int = ws.scope["rigbus.level"]
        self._out: asyncio.Queue[str] = asyncio.Queue(_WAITING)
        self._left_out = 0  # messages it was not told unasked, as it took none
        self._commands: dict[str, Callable[[Map], Awaitable[None]]] = {
            "auth": self._auth,
            "get_status": self._status,
            "get_file_list": self._file_list,
            "get_folder_structure": self._folder_structure,
            "get_csv_data": self._csv_data,
            "get_recent_data": self._recent_data,
            "export_all_csv_zip": self._export,
            **{f"{op}_collection": self._collecting(op) for op in ("start", "stop", "pause", "resume")},
        }

    async def run(self) -> None:
        await self._ws.accept()
        sending = asyncio.create_task(self._send_all())
        reading = asyncio.create_task(self._read_all())
        try:
            done, _ = await asyncio.wait((sending, reading), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if isinstance(error := task.exception(), _Bye):
                    await self._close(*error.args)
                elif error is not None:
                    raise error
        finally:
            self._hub.leave(self.tell)
            sending.cancel()
            reading.cancel()

    def tell(self, message: Map) -> None:
        """Unasked; left out where the client takes nothing. The next status has the number."""
        if self._left_out and message["type"] == "status":
            message = {**message, "left_out": self._left_out}
        try:
            self._out.put_nowait(json.dumps(message))
        except asyncio.QueueFull:
            self._left_out += 1
        else:
            self._left_out = 0 if "left_out" in message else self._left_out

    async def _send_all(self) -> None:
        while True:
            text = await self._out.get()
            try:
                async with asyncio.timeout(_SEND_S):
                    await self._ws.send_text(text)
            except TimeoutError:
                raise _Bye(1013, "you took nothing for 10 s") from None
            except (WebSocketDisconnect, RuntimeError):
                return  # it has gone

    async def _close(self, code: int, reason: str) -> None:
        if code == 1013:
            # an ordinary close would wait behind what it does not take
            client = self._ws.client
            if client is not None:
                self._site.hang_up((client.host, client.port), code, reason)
            return
        with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(1.0):
                while not self._out.empty():
                    await asyncio.sleep(0.01)
                await self._ws.close(code, reason)

    # ---- what it says

    async def _read_all(self) -> None:
        if self._level >= READ:
            await self._enter()
        until = asyncio.get_running_loop().time() + _AUTH_S
        while True:
            try:
                async with asyncio.timeout_at(None if self._level >= READ else until):
                    message = await self._ws.receive()
            except TimeoutError:
                raise _Bye(1008, "a token is needed") from None
            if message["type"] != "websocket.receive":
                return
            text = message.get("text")
            await self._obey(text if text is not None else message.get("bytes") or b"")

    async def _enter(self) -> None:
        await self._say(await self._hub.join(self.tell))

    async def _obey(self, text: str | bytes) -> None:
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            await self._error("not JSON")
            return
        command = said.get("command") if isinstance(said, dict) else None
        obey = self._commands.get(command) if isinstance(command, str) else None
        if self._level < READ and command != "auth":
            await self._error('a token is needed: {"command": "auth", "token": …}')
        elif obey is None:
            await self._error(f"Unknown command: {str(command)[:64]}")
        else:
            try:
                await obey(said)
            except RigbusError as e:
                await self._error(str(e))

    async def _say(self, message: Map) -> None:
        await self._out.put(json.dumps(message))

    async def _error(self, message: str) -> None:
        await self._say({"type": "error", "message": message})

    # ---- commands

    async def _auth(self, said: Map) -> None:
        token, before = said.get("token"), self._level
        self._level = max(before, self._site.tokens.level(token if isinstance(token, str) else None))
        if self._level < READ:
            await self._error("not a token of this rig")
            raise _Bye(1008, "not a token of this rig")
        if before < READ:
            await self._enter()
        else:
            await self._status(said)

    async def _status(self, _: Map) -> None:
        await self._say(await self._hub.status())

    async def _file_list(self, _: Map) -> None:
        await self._say({"type": "file_list", "files": self._hub.names})

    async def _folder_structure(self, _: Map) -> None:
        tree = await self._site.work.run(partial(sensor_files.structure, self._hub.root, list(self._hub.names)))
        await self._say({"type": "folder_structure", "structure": tree})

    async def _csv_data(self, said: Map) -> None:
        asked = said.get("filename")
        if not isinstance(asked, str) or not asked:
            await self._error("CSV filename not provided")
            return
        name = sensor_files.pick(self._hub.names, asked)
        if name is None:
            await self._hub.look()
            name = sensor_files.pick(self._hub.names, asked)
        try:
            if name is None:
                raise FileNotFoundError
            data = await self._site.work.run(partial(sensor_files.tail, self._hub.root, name))
        except OSError:
            await self._error(f"Failed to load CSV file {asked[:128]}: it is not in the list of files")
            return
        await self._say({"type": "csv_data", "filename": asked, "data": data})

    async def _recent_data(self, _: Map) -> None:
        await self._out.put(await self._hub.recent())

    async def _export(self, _: Map) -> None:
        if not self._hub.names:
            await self._say({"type": "zip_export", "error": "there are no CSV files"})
            return
        filename = f"sensor_data_export_{datetime.now(UTC):%Y%m%d_%H%M%S}.zip"
        scheme = "https" if self._ws.url.scheme == "wss" else "http"
        url = f"{scheme}://{self._ws.url.netloc}/ws/export/{self._hub.ticket(filename)}/{filename}"
        count = len(self._hub.names)
        await self._say({"type": "zip_export", "download_url": url, "filename": filename, "file_count": count})

    def _collecting(self, op: str) -> Callable[[Map], Awaitable[None]]:
        async def obey(_: Map) -> None:
            if self._level < CONTROL:
                await self._error("not allowed: it needs the control token")
                return
            await self._hub.collect(op)
            status: dict[str, Any] = await self._hub.status()
            await self._say(status)
            self._hub.tell_others(self.tell, status)

        return obey
