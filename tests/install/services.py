"""The rig's units on a booted machine: what systemd says of them, and what they record."""

import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from booted import Booted

RIGBUS = "cd / && /opt/rigbus/venv/bin/rigbus"
DB = "/var/lib/rigbus/rigbus.db"
ALL = ("bus", "sink", "pulse", "highspeed", "thermostat", "pump", "dds", "gateway")
START_S = 120.0


class Services:
    """upper: where the machine's files lie on this one."""

    def __init__(self, booted: Booted, upper: Path) -> None:
        self.booted, self._upper = booted, upper

    def systemctl(self, words: str) -> str:
        return self.booted.sh(f"systemctl {words}", START_S).strip()

    def show(self, daemon: str, key: str) -> str:
        return self.systemctl(f"show -P {key} rigbus-{daemon}")

    def pid(self, daemon: str) -> int:
        return int(self.show(daemon, "MainPID"))

    def until(self, daemon: str, key: str, value: str, timeout_s: float = START_S) -> None:
        """value: an extended regular expression for all of it."""
        condition = f"systemctl show -P {key} rigbus-{daemon} | grep -qxE '{value}'"
        self.booted.until(condition, timeout_s, f"{key} of {daemon} is {value}")

    def start(self) -> None:
        """Comes back when every unit that the target wants has told that it is ready."""
        self.systemctl("start rigbus.target")

    def stop(self) -> None:
        """Waiting for each: a stop of the target alone returns when it has asked them."""
        self.systemctl("stop rigbus.target 'rigbus-*.service'")

    def said(self, daemon: str) -> str:
        return self.booted.sh(f"journalctl -q --no-pager -o cat -u rigbus-{daemon}")

    def drop_in(self, daemon: str, *lines: str) -> None:
        text = "[Service]\n" + "\n".join(lines) + "\n"
        self.booted.put(f"/run/systemd/system/rigbus-{daemon}.service.d/test.conf", text)
        self.systemctl("daemon-reload")

    def rows(self, query: str) -> list[Any]:
        """Of a copy of the database, with what the sink has not moved out of its log yet."""
        with tempfile.TemporaryDirectory() as folder:
            for end in ("", "-wal"):
                file = self._upper / f"{DB.lstrip('/')}{end}"
                if file.exists():
                    Path(folder, f"rigbus.db{end}").write_bytes(file.read_bytes())
            db = sqlite3.connect(Path(folder, "rigbus.db"))
            try:
                return db.execute(query).fetchall()
            finally:
                db.close()

    def totals(self, channel: str) -> list[int]:
        return [total for (total,) in self.rows(f"SELECT total FROM pulses WHERE channel = '{channel}' ORDER BY total")]

    def audit(self) -> tuple[int, dict[str, Any]]:
        """Exit code and document of `rigbus audit`."""
        out = self.booted.sh(f"{RIGBUS} audit --json 2>/run/audit.err; echo $?")
        document, _, code = out.rstrip().rpartition("\n")
        return int(code), json.loads(document or "{}")
