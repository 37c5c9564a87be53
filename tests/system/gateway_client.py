"""A rig's gateway as its users meet it: HTTP by httpx, `/live` by websockets."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgpack
from rig import Rig
from websockets.sync.client import ClientConnection, connect

GATEWAY = """
[gateway]
port = 0
cpu = "none"
"""
OPEN_S = 20.0


class Viewer:
    """A connection to `/live`."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def next(self, type: str, timeout_s: float = OPEN_S, **fields: Any) -> dict[str, Any]:
        """The next message of a type with these fields; others are passed over."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = msgpack.unpackb(self.socket.recv(timeout=max(0.01, deadline - time.monotonic())))
            if found["type"] == type and all(found.get(key) == value for key, value in fields.items()):
                return found

    def frames(self, prefix: str, timeout_s: float = OPEN_S) -> list[dict[str, Any]]:
        """Those of the next message that has some of that topic."""
        while True:
            found = [frame for topic, frame in self.next("frames", timeout_s)["frames"] if topic.startswith(prefix)]
            if found:
                return found


class Gateway:
    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.headers: dict[str, str] = {}

    def start(self) -> None:
        self.rig.start("gateway")
        self.rig.ready("gateway")
        self.rig.until(lambda: self.url, "the gateway says where it is")
        self.rig.until(lambda: self.get("/healthz").status_code == 200, "the gateway answers")

    @property
    def url(self) -> str:
        return str(self.rig.status("gateway")["url"])

    @property
    def place(self) -> tuple[str, int]:
        found = urlsplit(self.url)
        assert found.hostname
        assert found.port
        return found.hostname, found.port

    def get(self, path: str, **params: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", params=params or None, headers=self.headers, timeout=OPEN_S)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, headers={**self.headers, **headers}, timeout=OPEN_S)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/api/status").json()
        return found

    @contextmanager
    def live(self, **options: Any) -> Iterator[Viewer]:
        url = self.url.replace("http", "ws", 1) + "/live"
        with connect(
            url, open_timeout=OPEN_S, close_timeout=1.0, ping_interval=None, max_size=None, **options
        ) as socket:
            yield Viewer(socket)
