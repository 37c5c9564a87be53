"""rigbus as `make install` leaves it in a guest: its units, started by the target, on the guest's lines and I2C bus."""

import json
from pathlib import Path
from typing import Any

from .rig import COUNT_EDGES, IMPORT, SCRIPTS, TRACING
from .vm import Guest

RIGBUS = "/opt/rigbus/venv/bin/rigbus"
DB = "/var/lib/rigbus/rigbus.db"
CHIP = "/sys/kernel/debug/i2c-pi/0x68"
ALL = ("bus", "sink", "pulse", "highspeed", "thermostat", "pump", "dds", "gateway")
START_S = 240.0  # Python's imports take seconds each under emulation, and all start at once

HEAD = 'node = "lab"\n[bus]\n[sink]\n'
TABLES = {
    "pulse": f'[pulse]\ndriver = "gpiod"\n[[pulse.channel]]\nname = "{IMPORT.name}"\nline = {IMPORT.line}\n'
    "min_interval_ms = 0.0\n",
    "highspeed": '[highspeed]\ndriver = "mpu6050"\nrate_hz = 100.0\n',
    "thermostat": '[thermostat]\n[[thermostat.device]]\nname = "away"\nhost = "127.0.0.1"\nport = 1\nperiod_s = 5.0\n',
    "pump": '[pump]\ndriver = "gpiod"\n[[pump.pump]]\nname = "water"\nstep = 16\ndir = 6\nen = 17\nhz = 500.0\n',
    "dds": '[dds]\ninterface = "lo"\n',
    "gateway": "[gateway]\n",
}


class Units:
    """The guest's rig: what systemd says of it, pulses on its meter, rows in its store."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        for script in SCRIPTS.glob("*.py"):
            guest.put(f"/opt/lab/{script.name}", script.read_bytes())
        guest.sh(f"{COUNT_EDGES} && echo 400000 > /sys/module/i2c_pi_sim/parameters/hz")
        self.plug_in()

    def plug_in(self) -> None:
        """The vibration sensor, as after power-on."""
        self.guest.sh(
            f"head -c 256 /dev/zero > {CHIP}/regs; echo 101 > {CHIP}/fifo_hz"
            f" && printf '\\x68' | dd of={CHIP}/regs bs=1 seek={0x75} conv=notrunc status=none"
            f" && printf '\\x40' | dd of={CHIP}/regs bs=1 seek={0x6B} conv=notrunc status=none"
            f" && echo Y > {CHIP}/present"
        )

    def configure(self, *daemons: str) -> None:
        """Bus, sink and these."""
        self.guest.sh("rm -f /etc/rigbus/conf.d/*.toml")
        self.write(HEAD + "".join(TABLES[name] for name in daemons))

    def write(self, text: str) -> None:
        self.guest.put("/etc/rigbus/rigbus.toml", text, 0o640)
        self.guest.sh("chown root:rigbus /etc/rigbus/rigbus.toml")

    def stop(self) -> None:
        """All of them, waiting: a stop of the target alone returns when it has asked them."""
        self.systemctl("stop rigbus.target 'rigbus-*.service'")

    def change(self, daemon: str, *lines: str) -> None:
        """A drop-in for the time of this test."""
        text = "[Service]\n" + "\n".join(lines) + "\n"
        self.guest.put(f"/run/systemd/system/rigbus-{daemon}.service.d/lab.conf", text)
        self.guest.sh("systemctl daemon-reload")

    # ---- what systemd says

    def systemctl(self, words: str, check: bool = True) -> str:
        return self.guest.sh(f"systemctl {words}", START_S, check).strip()

    def show(self, daemon: str, key: str) -> str:
        return self.systemctl(f"show -P {key} rigbus-{daemon}")

    def pid(self, daemon: str) -> int:
        return int(self.show(daemon, "MainPID"))

    def until(self, daemon: str, key: str, value: str, timeout_s: float = START_S) -> None:
        """value: an extended regular expression for all of it."""
        shown = f"systemctl show -P {key} rigbus-{daemon}"
        self.guest.until(f"{shown} | grep -qxE '{value}'", timeout_s, f"{key} of {daemon} is {value}")

    def said(self, daemon: str) -> str:
        return self.guest.sh(f"journalctl -q --no-pager -o cat -u rigbus-{daemon}")

    # ---- what it records

    def toggle(self, cycles: int, hz: float = 20) -> None:
        self.guest.sh(_toggling(cycles, hz), 300)

    def toggle_meanwhile(self, cycles: int, hz: float = 20) -> None:
        """The same in the background."""
        self.guest.sh(
            f"systemd-run -q --unit=toggle /usr/bin/python3 -SE /opt/lab/toggle.py {hz} {cycles} {IMPORT.spec}"
        )

    def kernel_edges(self) -> int:
        hits, missed = self.guest.sh(f"awk '$1 == \"edge\" {{print $2, $3}}' {TRACING}/kprobe_profile").split()
        assert missed == "0"
        return int(hits)

    def _count(self, query: str) -> str:
        return f"sqlite3 -cmd '.timeout 5000' {DB} \"{query}\" 2>/dev/null"

    def wait_rows(self, query: str, least: int, timeout_s: float = 120) -> None:
        self.guest.until(f'[ "$({self._count(query)} || echo 0)" -ge {least} ]', timeout_s, f"{least} from {query}")

    def wait_pulses(self, least: int) -> None:
        self.wait_rows("select count(*) from pulses", least)

    def totals(self, folder: Path) -> list[int]:
        db = self.guest.get_sqlite(DB, folder / "rigbus.db")
        found = [row[0] for row in db.execute("select total from pulses order by total")]
        db.close()
        return found

    def audit(self) -> tuple[int, dict[str, Any]]:
        """Exit code and document of `rigbus audit`."""
        out = self.guest.sh(f"{RIGBUS} audit --json 2>/run/audit.err; echo $?", 180)
        document, _, code = out.rstrip().rpartition("\n")
        return int(code), json.loads(document or "{}")


def _toggling(cycles: int, hz: float) -> str:
    return f"/usr/bin/python3 -SE /opt/lab/toggle.py {hz} {cycles} {IMPORT.spec}"
