"""Real servers on loopback, each with its data in a folder of the test: influxd 1.x and VictoriaMetrics.

They are not started as services; a test skips where the program is missing, but fails where that must not be: in CI, or
with RIGBUS_TEST_SERVERS=required. RIGBUS_TEST_SERVERS_PATH names folders to look in beside PATH.
"""

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import pytest

# read here: tests may change the environment
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", os.environ.get("RIGBUS_TEST_SERVERS_PATH", "")])
_REQUIRED = bool(os.environ.get("CI")) or os.environ.get("RIGBUS_TEST_SERVERS") == "required"
START_S = 60.0  # what takes under 1 s on an idle machine
_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
  logging-enabled = false
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
  max-values-per-tag = {max_values_per_tag}
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[continuous_queries]
  enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  max-body-size = {max_body}
"""


def need(program: str) -> str:
    """The path of a server's program; skips the test without it, or fails it where it has to be there."""
    found = shutil.which(program, path=_PATH)
    if found is not None:
        return found
    text = f"{program} is not installed (make test-deps)"
    if _REQUIRED:
        pytest.fail(text)
    pytest.skip(text)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class _Server:
    """A child process that answers HTTP on a port of its own."""

    def __init__(self, folder: Path, command: list[str], port: int, ready: str) -> None:
        self.folder, self.port, self._command, self._ready = folder, port, command, ready
        self.url = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + START_S
        while True:
            try:
                if self.ask("GET", self._ready)[0] < 300:
                    return
            except OSError:
                pass
            if time.monotonic() > end or self._process.poll() is not None:
                raise AssertionError(f"{self._command[0]} does not start\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """At once; `start` finds what it had on the disk."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, method: str, path: str, body: bytes | None = None, timeout_s: float = 60.0) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as e:
            raise ConnectionError(str(e)) from e
        finally:
            connection.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Influxd(_Server):
    """influxd 1.x: `with Influxd(folder) as server: server.url`. A bucket of version 2 is a database here."""

    def __init__(self, folder: Path, *, max_body: int = 0, max_values_per_tag: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        config = folder / "influxd.conf"
        numbers = {"max_body": max_body, "max_values_per_tag": max_values_per_tag}
        config.write_text(_CONFIG.format(folder=folder, port=port, rpc=free_port(), **numbers))
        super().__init__(folder, [need("influxd"), "run", "-config", str(config)], port, "/ping")

    def query(self, statement: str, db: str = "") -> list[dict[str, Any]]:
        """The series of the answer; times in ns. Many rows come in chunks, joined here."""
        params = urlencode({"db": db, "q": statement, "epoch": "ns", "chunked": "true", "chunk_size": "10000"})
        status, body = self.ask("POST", f"/query?{params}", b"")
        assert status == 200, body
        joined: dict[str, dict[str, Any]] = {}
        for line in body.splitlines():
            for result in json.loads(line)["results"]:
                assert "error" not in result, result
                for series in result.get("series", []):
                    key = json.dumps([series.get("name"), series.get("tags"), series["columns"]])
                    joined.setdefault(key, {**series, "values": []})["values"] += series["values"]
        return list(joined.values())

    def create(self, *buckets: str) -> None:
        for bucket in buckets:
            self.query(f'CREATE DATABASE "{bucket}"')

    def points(self, bucket: str, measurements: Iterable[str] = ()) -> set[tuple[Any, ...]]:
        """Of each point (measurement, tags as sorted pairs, time in ns)."""
        names = list(measurements) or [row[0] for s in self.query("SHOW MEASUREMENTS", bucket) for row in s["values"]]
        found: set[tuple[Any, ...]] = set()
        for name in names:
            for series in self.query(f'SELECT * FROM "{name}" GROUP BY *', bucket):
                tags = tuple(sorted((k, v) for k, v in series.get("tags", {}).items() if v))
                found.update((name, tags, row[0]) for row in series["values"])
        return found


class VictoriaMetrics(_Server):
    def __init__(self, folder: Path, *flags: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        options = [f"-storageDataPath={folder}/data", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y"]
        super().__init__(folder, [need("victoria-metrics"), *options, "-loggerLevel=ERROR", *flags], port, "/health")

    def export(self, match: str) -> list[dict[str, Any]]:
        """Series as /api/v1/export gives them: metric, values, timestamps (ms)."""
        self.ask("GET", "/internal/force_flush")
        status, body = self.ask("GET", f"/api/v1/export?{urlencode({'match[]': match})}")
        assert status == 200, body
        return [json.loads(line) for line in body.splitlines()]
