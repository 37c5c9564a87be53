"""A rig with the old programs' devices, simulated, and a client of its gateway as their users wrote theirs."""

import csv
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from faces import Faces, running
from websockets.sync.client import ClientConnection, connect

CONFIG = """
[highspeed]
rate_hz = 200.0
[thermostat]
cpu = "none"
device = [{ name = "bench", host = "sim", period_s = 0.3 }]
[pump]
cpu = "none"
priority = 0
pump = [
  { name = "water", step = 16, dir = 6, en = 17, max_s_day = 100000.0 },
  { name = "food", step = 27, dir = 22, en = 24, max_s_day = 100000.0 },
]
[sink.csv]
enabled = true
file_s = 1
max_files = 5000
[sim]
thermostat = true
thermostat_dialect = "swap"
"""
WAIT_S = 40.0


class Rig(Faces):
    """get, post, http: the gateway. csv: the folder of the files."""

    @property
    def csv(self) -> Path:
        return self.rig.data / "csv"

    def until(self, condition: Any, what: str) -> None:
        self.rig.until(condition, what)

    def move(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A motion, to its end; the answer is that at its beginning."""
        answer: dict[str, Any] = self.post(path, body)
        came_to = f"/api/pumps/commands/{answer['command_id']}"
        self.until(lambda: self.get(came_to)["state"] == "done", "it is done")
        return answer

    @cached_property
    def ledger(self) -> list[dict[str, str]]:
        """pump_telemetry.csv after one run of each kind, backwards among them."""
        for path, body in (
            ("/pump/run-seconds", {"pump": "food_pump", "seconds": 0.2, "direction": "reverse"}),
            ("/pump/run-multi-seconds", {"pumps": ["water_pump", "food_pump"], "seconds": 0.2}),
            ("/pump/run-ml", {"pump": "water", "ml": 0.1}),
        ):
            self.move(path, body)
        self.until(lambda: {row["Action"] for row in self._ledger()} >= _ACTIONS, "the ledger has them")
        return self._ledger()

    def _ledger(self) -> list[dict[str, str]]:
        with (self.csv / "pump_telemetry.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    @contextmanager
    def socket(self) -> Iterator["Socket"]:
        with connect(f"{self.ws}/ws", max_size=None, proxy=None) as ws:
            yield Socket(ws)


_ACTIONS = {"Manual Prime", "Manual Prime (Multi)", "Dispense Volume"}


class Socket:
    """The WebSocket of the old vibration program: JSON text out, JSON text in."""

    def __init__(self, ws: ClientConnection) -> None:
        self._ws = ws

    def ask(self, kind: str, **said: Any) -> dict[str, Any]:
        self._ws.send(json.dumps(said))
        return self.next(kind)

    def next(self, kind: str) -> dict[str, Any]:
        """The next message of this type. An error is one at once."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            message: dict[str, Any] = json.loads(self._ws.recv(timeout=WAIT_S))
            assert message["type"] != "error" or kind == "error", message
            if message["type"] == kind:
                return message
        raise AssertionError(f"no {kind}")


@contextmanager
def running_rig() -> Iterator[Rig]:
    with running(CONFIG, "sim-thermostat", "thermostat", "highspeed", "pump") as faces:
        rig = Rig(faces.rig)
        rig.until(lambda: rig.get("/pump/status")["pumps"], "the pumps can be asked")
        rig.until(lambda: rig.get("/series"), "the thermostat is read")
        rig.until(lambda: len(list((rig.csv / "readings").glob("*/*/*/*/*.csv"))) >= 2, "files are written")
        yield rig
        rig.http.close()
