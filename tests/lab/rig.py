"""rigbus in a guest: configuration, daemons as services, pulses on its lines, and what was counted, by whom."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .vm import Guest, GuestError

SCRIPTS = Path(__file__).parent / "scripts"
PYTHON = "/opt/venv/bin/python"
RIGBUS = "/opt/venv/bin/rigbus"
CONFIG = "/etc/rigbus/rigbus.toml"
RUN = "/run/rig"
RECORD = "/run/record.jsonl"
START_S = 120.0  # importing a daemon takes seconds under emulation

UNIT = f"""[Service]
Type=exec
Environment=RPI_LGPIO_CHIP=0 RPI_LGPIO_REVISION=c03114 LG_WD={RUN}
WorkingDirectory={RUN}
ExecStart={PYTHON} -m daemons.%i --config {CONFIG} --data DATA --run-dir {RUN}
TimeoutStopSec=60
"""
RECORDER = f"systemd-run -q --unit=record {PYTHON} /opt/lab/record.py {RUN}/out.sock {RECORD}"

LOG = "journalctl -q --no-pager -o short-monotonic -u 'rig*' -u record -u promise -u toggle | tail -n 100"

# The kernel's own counter: each hit of edge_irq_thread is one more in the line's line_seqno, whether it is read or not.
TRACING = "/sys/kernel/tracing"
COUNT_EDGES = (
    f"{{ [ -e {TRACING}/events/kprobes/edge ] || echo p:edge edge_irq_thread > {TRACING}/kprobe_events; }}"
    f" && echo 1 > {TRACING}/events/kprobes/edge/enable"
)
_MACHINES = 3


@dataclass(frozen=True)
class Channel:
    name: str
    line: int
    edge: str
    pull: str

    @property
    def spec(self) -> str:
        """The line and its level at rest, as scripts/toggle.py wants them."""
        return f"{self.line}:{int(self.pull == 'up')}"


IMPORT = Channel("import", 20, "rising", "up")
METERS = (IMPORT, Channel("export", 26, "falling", "up"), Channel("generate", 21, "rising", "down"))


@contextmanager
def counting(lab: Path, disk: str) -> Iterator[Guest]:
    """A fresh machine whose kernel counts edges.

    For that it patches its own code, and upon it an emulated machine has hung for good, once in some hundred times,
    before anything of rigbus was started in it: then it is another one. GuestError: each of three hung.
    """
    for n in range(1, _MACHINES + 1):
        with Guest(lab, disk, disk) as guest:
            try:
                guest.sh(COUNT_EDGES, 30)
            except GuestError:
                if n == _MACHINES:
                    raise
                continue
            yield guest
            return


class Frames(NamedTuple):
    """Sums over the pulse frames of the bus; `missed` None: some frame could not know."""

    accepted: int
    filtered: int
    missed: int | None


class Rig:
    """Bus, sink and pulse daemon of the checkout, each a service that nobody restarts."""

    def __init__(
        self,
        guest: Guest,
        channels: Sequence[Channel] = (IMPORT,),
        *,
        driver: str = "gpiod",
        data: str = "/var/lib/rig",
        place: str = "memory",
        min_interval_ms: float = 0,
    ) -> None:
        self.guest, self.channels, self.data = guest, channels, data
        guest.put(CONFIG, config(channels, driver=driver, place=place, min_interval_ms=min_interval_ms))
        guest.put("/etc/systemd/system/rig@.service", UNIT.replace("DATA", data))
        for script in SCRIPTS.glob("*.py"):
            guest.put(f"/opt/lab/{script.name}", script.read_bytes())
        guest.sh(f"mkdir -p {RUN} {data} && systemctl daemon-reload && {COUNT_EDGES} && {RECORDER}")

    # ---- the daemons

    def start(self, *daemons: str) -> None:
        """Start them in this order; with the pulse daemon, wait until it holds its lines and is on the bus."""
        since = self.records()
        self.guest.sh("systemctl start " + " ".join(f"rig@{d}" for d in daemons), START_S)
        if "pulse" in daemons:
            self.wait_counting(since)

    def wait_counting(self, since: int = 0) -> None:
        """Wait until all lines are in use, and the daemon has been round its loop: a line is used before it counts."""
        lines = f'[ "$(gpioinfo | grep -c "\\[used")" -eq {len(self.channels)} ]'
        heard = f"""tail -n +{since + 1} {RECORD} | grep -q '"k": "health", "src": "pulse".*"status": "[a-z]* [0-9]'"""
        self.guest.until(f"{lines} && {heard}", START_S, "the pulse daemon holds its lines and is heard")
        self.guest.sh("sleep 1")  # well beyond settle_ms

    def kill(self, daemon: str) -> None:
        self.guest.sh(
            f"systemctl kill -s KILL rig@{daemon} && while systemctl -q is-active rig@{daemon}; do sleep 0.1; done", 30
        )

    def signal(self, daemon: str, name: str) -> None:
        self.guest.sh(f"systemctl kill -s {name} rig@{daemon}")

    def stop(self) -> None:
        """The documented order: publishers, sink, forwarder."""
        for daemon in ("pulse", "sink", "bus"):
            self.guest.sh(f"systemctl stop rig@{daemon}", 90)

    # ---- pulses

    def toggle(self, hz: float, cycles: int) -> float:
        """Pulses on all lines, one of each a cycle; HZ 0: flat out.  Returns the rate that was reached."""
        out = self.guest.sh(self._toggling(hz, cycles), 120 + (cycles / hz * 4 if hz else 0))
        return float(json.loads(out)["hz"])

    def burst(self, least: int) -> None:
        """Pulses flat out until the kernel has numbered `least` more edges; the busier this machine, the more merge."""
        end = self.kernel_edges() + least
        for _ in range(50):
            self.toggle(0, 4000)
            if self.kernel_edges() >= end:
                return
        raise GuestError(f"50 bursts of 4000 pulses did not make {least} edges")

    def toggle_meanwhile(self, hz: float, cycles: int) -> None:
        """The same in the background; `toggled` waits for its end."""
        self.guest.sh(f"systemd-run -q --unit=toggle -p RemainAfterExit=yes {self._toggling(hz, cycles)}")

    def toggled(self) -> None:
        self.guest.until("systemctl show -P SubState toggle | grep -q exited", 180, "the pulses in the background end")

    def _toggling(self, hz: float, cycles: int) -> str:
        return f"/usr/bin/python3 -SE /opt/lab/toggle.py {hz} {cycles} {','.join(c.spec for c in self.channels)}"

    # ---- what was counted

    def kernel_edges(self) -> int:
        """Edges that the kernel has numbered for whoever held the lines, by its own code, not by any reader's."""
        hits, missed = self.guest.sh(f"awk '$1 == \"edge\" {{print $2, $3}}' {TRACING}/kprobe_profile").split()
        assert missed == "0", "the kernel's own count is not whole"
        return int(hits)

    def kernel_saw(self, toggled: int) -> int:
        """kernel_edges(), which must be `toggled`: else the simulated lines merged pulses, and not rigbus."""
        kernel = self.kernel_edges()
        assert kernel == toggled, f"the lab made {toggled} pulses, of which the kernel numbered {kernel}"
        return kernel

    def records(self) -> int:
        """Frames that the recorder has heard so far."""
        return int(self.guest.sh(f"touch {RECORD}; wc -l < {RECORD}"))

    def _recorded(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.guest.get(RECORD).decode().splitlines()]

    def pid(self, src: str) -> int:
        """The process of a daemon, as its newest health frame says."""
        return int([r["pid"] for r in self._recorded() if (r["k"], r["src"]) == ("health", src)][-1])

    def frames(self) -> Frames:
        """What the recorder heard on the bus."""
        pulses = [r for r in self._recorded() if r["k"] == "pulse"]
        missed = None if any("missed" not in r for r in pulses) else sum(r["missed"] for r in pulses)
        return Frames(sum(r["accepted"] for r in pulses), sum(r["filtered"] for r in pulses), missed)

    def stored(self) -> int:
        """Rows in the live store, as another reader sees them: committed ones."""
        return int(self.guest.sh(self._count_rows()))

    def wait_stored(self, n: int) -> None:
        """Wait for that many rows, 60 s at most: a test that goes on with fewer can say what is missing."""
        self.guest.sh(f'until [ "$({self._count_rows()})" -ge {n} ] || [ $SECONDS -ge 60 ]; do sleep 0.2; done', 90)

    def wait_quiet(self) -> None:
        """Wait until no row has come for 4 s, which is more than a commit and a health period."""
        last = f"last=-1; until n=$({self._count_rows()}); [ $n = $last ]; do last=$n; sleep 4; done"
        self.guest.sh(last, 120)

    def _count_rows(self) -> str:
        return f"sqlite3 -cmd '.timeout 5000' {self.data}/rigbus.db 'select count(*) from pulses'"

    def now_ns(self) -> int:
        return int(self.guest.sh("date +%s%N"))

    def store(self, folder: Path) -> Store:
        return Store(self.guest.get_sqlite(f"{self.data}/rigbus.db", folder / "rigbus.db"))

    def audit(self, *options: str) -> tuple[int, dict[str, Any]]:
        """Exit code and document of `rigbus audit`."""
        paths = f"--config {CONFIG} --data {self.data} --run-dir {RUN}"
        out = self.guest.sh(f"{RIGBUS} audit --json {' '.join(options)} {paths} 2>/run/audit.err; echo $?", 120)
        document, _, code = out.rstrip().rpartition("\n")
        return int(code), json.loads(document or "{}")


class Store:
    """The tables of the contract, read by SQL and nothing of rigbus."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def totals(self, channel: str) -> list[int]:
        """The lifetime totals of the channel's rows, ascending."""
        return [r[0] for r in self._db.execute("select total from pulses where channel = ? order by total", (channel,))]

    def lost_edges(self) -> int:
        """Edges that the ledger names by number."""
        query = "select coalesce(sum(count), 0) from ledger where unit = 'edge' and count is not null"
        return int(self._db.execute(query).fetchone()[0])

    def unknown_edges(self) -> list[tuple[str, int, int]]:
        """(cause, from_t_ns, to_t_ns) of the ledger rows for edges whose count nobody can know."""
        query = "select cause, from_t_ns, to_t_ns from ledger where unit = 'edge' and count is null order by from_t_ns"
        return self._db.execute(query).fetchall()

    def close(self) -> None:
        self._db.close()


def config(channels: Sequence[Channel], *, driver: str, place: str, min_interval_ms: float = 0) -> str:
    head = f'node = "lab"\n[journal]\nplace = "{place}"\n[pulse]\ndriver = "{driver}"\nchip = "/dev/gpiochip0"\n'
    tables = [
        f'[[pulse.channel]]\nname = "{c.name}"\nline = {c.line}\nedge = "{c.edge}"\npull = "{c.pull}"\n'
        f"imp_per_kwh = 1000\nmin_interval_ms = {min_interval_ms}\nsettle_ms = 5\n"
        for c in channels
    ]
    return head + "".join(tables)
