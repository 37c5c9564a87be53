"""A rig for the browser: `rigbus run` with all simulated devices and a gateway, seen over HTTP and in its store."""

import http.client
import json
import os
import random
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rig import WAIT_S, Rig

# water: 10 mL take 10.2 s, long enough to be stopped on the way
DEVICES = """
[pulse]
channel = [
  { name = "import", line = 20, imp_per_kwh = 4000.0 },
  { name = "export", line = 26, imp_per_kwh = 4000.0 },
  { name = "generate", line = 21, imp_per_kwh = 4000.0 },
]
[highspeed]
rate_hz = 800.0
frame_ms = 100.0
[thermostat]
cpu = "none"
device = [{ name = "bench", host = "sim" }]
[pump]
cpu = "none"
priority = 0
pump = [
  { name = "water", step = 16, dir = 6, en = 17, steps_per_ml = 10000.0 },
  { name = "food", step = 27, dir = 22, en = 24, steps_per_ml = 10000.0 },
]
[sink.csv]
enabled = true
[sim]
thermostat = true
"""
ARM = """
[dds]
domain = {domain}
cpu = "none"
"""
GATEWAY = """
[gateway]
port = {port}
cpu = "none"
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def has_dds() -> bool:
    try:
        import cyclonedds  # noqa: F401
    except ImportError:
        return False
    return True


class PageRig(Rig):
    """`url` is the page's; daemons are called by their names, and `rigbus run` starts again what is ended."""

    def __init__(self, folder: Path, devices: str = DEVICES, *, arm: bool = True, env: str = "") -> None:
        """env: the text of its `.env`."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        extra = devices + GATEWAY.format(port=self.port)
        self.has_arm = arm and has_dds()
        if self.has_arm:
            domain = random.SystemRandom().randint(1, 200)  # of this rig alone: others share the loopback
            extra = extra.replace("[sim]\n", "[sim]\narm = true\n") + ARM.format(domain=domain)
        super().__init__(folder, extra)
        (folder / ".env").write_text(env)

    def begin(self, *awaited: str) -> "PageRig":
        """Starts everything; returns when the gateway answers and these sections of the status say something."""
        self.start("run")
        self.until(lambda: self.http("/healthz")[0] == 200, "the gateway answers")
        if awaited:
            self.until(lambda: all(_says(name, self.status_of(name)) for name in awaited), f"{awaited} are known")
        return self

    # ---- processes of `rigbus run`

    def pid(self, name: str) -> int:
        """Of a living daemon."""
        found = [p.pid for p in self.descendants() if f"daemons.{name}" in p.cmdline()]
        assert len(found) == 1, f"{name}: {found}\n{self.tail()}"
        return found[0]

    def pause(self, name: str) -> None:
        os.kill(self.pid(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        os.kill(self.pid(name), signal.SIGCONT)

    # ---- its faces

    def http(self, path: str, method: str = "GET", body: Any = None, token: str = "") -> tuple[int, Any]:
        """Status and the JSON (or the bytes) of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(raw)
        except ValueError:
            return answer.status, raw

    def status_of(self, section: str) -> Any:
        """A section of /api/status."""
        code, sections = self.http("/api/status")
        assert code == 200, sections
        return sections[section]

    # ---- its record

    def motions(self) -> list[str]:
        """Command ids of what moved a pump, in the order of the record."""
        return [row[0] for row in self.rows("SELECT command_id FROM pump_events WHERE event = 'started' ORDER BY id")]

    def events(self, command_id: str) -> list[tuple[Any, ...]]:
        """(event, reason, steps) of a command."""
        query = "SELECT event, reason, steps FROM pump_events WHERE command_id = ? ORDER BY id"
        return [tuple(row) for row in self.rows(query, command_id)]

    def unlock(self) -> None:
        """As a test leaves it: nothing latched, nothing running."""
        if self.http("/api/status")[0] != 200:
            return
        if self.status_of("pumps") and self.status_of("pumps")["locked"]:
            self.http("/api/unlock", "POST", {"confirm": "unlock"})
        for pump in (self.status_of("pumps") or {"pumps": ()})["pumps"]:
            self.http("/api/pumps/stop", "POST", {"pump": pump["pump"]})
        self.until(lambda: not self.busy(), "the pumps are free")

    def busy(self) -> bool:
        pumps = self.status_of("pumps")
        return bool(pumps) and (pumps["locked"] or any(pump["run"] for pump in pumps["pumps"]))

    def fresh(self, names: Sequence[str], timeout_s: float = WAIT_S) -> None:
        """Until these daemons run and no stream of theirs is stale."""

        def all_fresh() -> bool:
            daemons, streams = self.status_of("daemons"), self.status_of("streams").values()
            running = all(daemons[name]["state"] == "running" for name in names)
            return running and not any(s["src"] in names and s["state"] == "stale" for s in streams)

        self.until(all_fresh, f"{names} run", timeout_s)


def _says(section: str, value: Any) -> bool:
    if section == "pulse":
        return all(channel["watts"] is not None for channel in value["channels"])
    if section == "vibration":
        return all(sensor["rate_hz"] for sensor in value["sensors"])
    if section == "thermostat":
        return all(len(device["channels"]) == 2 for device in value["devices"])
    if section == "arm":
        return bool(value["angles"])
    if section == "pumps":
        return bool(value["pumps"])
    if section == "account":
        return value["published"] is not None
    return value is not None
