"""Power cuts of an installed rig while pulses come and a pump runs: whatever is left on the disk, it starts unattended.

The guest runs the units that `make install` put there, with their state on a disk whose writes are logged. What a cut
could have left is started here, where the boot id differs, with simulated devices that go on counting.
"""

import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .conftest import Report
from .disk import MARK, Cut, DataDisk
from .images import CHECKOUT
from .rig import IMPORT, Store
from .units import ALL, DB, Units
from .vm import Guest

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(3000)]
IMAGES = 20
DATA = str(Path(DB).parent)
PYTHON = "/opt/rigbus/venv/bin/python"
PROMISE = f"{PYTHON} /opt/lab/promise.py /run/rigbus/out.sock {DB} /dev/vdb {MARK} {IMPORT.name}"
PUMP = '[[pump.pump]]\nname = "water"\nstep = 16\ndir = 6\nen = 17\nhz = 50.0\n'
READY_S = 120
PULSES_MORE = 5  # that the simulated meter adds

# what runs on an image, here: every daemon, on devices of the same names
HERE = f"""
node = "lab"
[bus]
[sink]
[journal]
place = "disk"
[pulse]
driver = "sim"
[[pulse.channel]]
name = "{IMPORT.name}"
line = {IMPORT.line}
[highspeed]
driver = "sim"
rate_hz = 100.0
[thermostat]
[[thermostat.device]]
name = "away"
host = "127.0.0.1"
port = 1
period_s = 5.0
[pump]
driver = "sim"
{PUMP}
[dds]
interface = "lo"
[gateway]
port = PORT
"""


class Outcome(NamedTuple):
    """The channel's totals as the cut left them, and after the rig ran again on what it left; runs of the pump."""

    found: list[int]
    recovered: list[int]
    unknown: int
    ready: set[str]
    pump: list[tuple[str, str]]
    audit_exit: int


@pytest.fixture
def guest(lab: Path) -> Iterator[Guest]:
    with Guest(lab, "installed", "installed") as guest:
        yield guest


def test_power_cuts(guest: Guest, tmp_path: Path, report: Report) -> None:
    disk = DataDisk(guest, tmp_path, DATA)
    units = Units(guest)
    units.configure("pulse", "highspeed", "thermostat", "dds", "gateway")
    guest.put("/etc/rigbus/conf.d/pump.toml", f'[pump]\ndriver = "gpiod"\n{PUMP}[journal]\nplace = "disk"\n')
    guest.sh(f"systemd-run -q --unit=promise {PROMISE}")
    units.systemctl("start rigbus.target")
    for name in ALL:
        units.until(name, "ActiveState", "active")
    units.toggle_meanwhile(4000)
    units.wait_pulses(60)
    guest.sh("systemd-run -q --unit=ask runuser -u rigbus -- /opt/rigbus/venv/bin/rigbus pump prime water 60s --id cut")
    guest.until(f"sqlite3 {DATA}/pump/pump.db 'select state from commands' | grep -q intent", 120, "the pump runs")
    guest.sh("sleep 15 && systemctl is-active promise toggle")
    toggled, writes = units.kernel_edges(), disk.cut()
    rng = random.Random(20261121)
    cuts = []
    for n in range(IMAGES):
        cut = disk.image(rng)
        outcome = start_again(disk, cut)
        where = f"image {n}, promised {cut.promised}, {outcome.audit_exit=}"
        assert whole(outcome.found), f"{where}: the cut left a store with holes or doubles: {outcome.found}"
        assert len(outcome.found) >= cut.promised["store"], f"{where}: committed rows are gone"
        assert outcome.ready == set(ALL), f"{where}: not started unattended: {set(ALL) - outcome.ready}"
        assert whole(outcome.recovered), f"{where}: the lifetime total fell or jumped: {outcome.recovered}"
        assert len(outcome.recovered) >= max(cut.promised.values()), f"{where}: pulses that had been sent are gone"
        assert outcome.unknown > 0, f"{where}: no ledger row says that the time without power is unknown"
        assert all(run == ("stopped", "crash") for run in outcome.pump), f"{where}: a run is open: {outcome.pump}"
        assert outcome.audit_exit == 0, where
        cuts.append((cut, outcome))
    # A promise on the bus that the store had not kept yet can only have been kept by the journal.
    from_journal = sum(cut.promised["bus"] > len(outcome.found) for cut, outcome in cuts)
    promised = [max(cut.promised.values()) for cut, _ in cuts]
    report(
        toggled=toggled,
        writes_logged=writes,
        images=len(cuts),
        promised_at_cuts=f"{min(promised)} to {max(promised)}",
        writes_dropped=sum(cut.dropped for cut, _ in cuts),
        kept_by_the_journal_alone=f"in {from_journal} images",
        pump_runs_closed=sum(len(outcome.pump) for _, outcome in cuts),
        lost=0,
    )
    assert sum(cut.dropped for cut, _ in cuts) > 0, "no cut took anything away, so this shows nothing"
    assert any(outcome.pump for _, outcome in cuts), "no image has the pump's run, so this shows nothing of it"


def whole(totals: list[int]) -> bool:
    return totals == list(range(1, len(totals) + 1))


def start_again(disk: DataDisk, cut: Cut) -> Outcome:
    """Copies the files out of the image and runs every daemon on them here, until each has told that it is there."""
    top = Path(tempfile.mkdtemp(prefix="rig-", dir="/tmp"))  # a short path: unix sockets lie in it
    try:
        data, run, file = top / "data", top / "run", top / "rigbus.toml"
        data.mkdir()
        run.mkdir()
        disk.files(cut, data)
        file.write_text(HERE.replace("PORT", str(free_port())))
        found = totals(data)
        paths = ["--config", str(file), "--data", str(data), "--run-dir", str(run)]
        ready = run_until_all_are_there([sys.executable, "-m", "common.cli.main", "run", *paths], data, len(found))
        audit = [sys.executable, "-m", "common.cli.main", "audit", *paths, "--json", "--allow-unknown"]
        code = subprocess.run(audit, cwd=CHECKOUT, check=False, timeout=60, capture_output=True).returncode
        with Asked(data / "rigbus.db") as db:
            store = Store(db)
            recovered, unknown = store.totals(IMPORT.name), len(store.unknown_edges())
        with Asked(data / "pump/pump.db") as db:
            pump = db.execute("SELECT state, reason FROM commands").fetchall()
        return Outcome(found, recovered, unknown, ready, pump, code)
    finally:
        shutil.rmtree(top)


def run_until_all_are_there(command: list[str], data: Path, rows: int) -> set[str]:
    """The daemons whose health was stored; it ends the rig when these are all, and the meter has counted on."""
    began_ns, ready = time.time_ns(), set[str]()
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while time.time_ns() < began_ns + READY_S * 10**9 and process.poll() is None:
            time.sleep(0.5)
            with Asked(data / "rigbus.db") as db:
                ready, counted = there(db, began_ns)
            if ready == set(ALL) and counted >= rows + PULSES_MORE:
                break
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return ready


def there(db: sqlite3.Connection, since_ns: int) -> tuple[set[str], int]:
    query = "SELECT DISTINCT s.src FROM health AS h JOIN streams AS s ON s.id = h.stream_id WHERE h.t_ns > ?"
    try:
        sources = {src for (src,) in db.execute(query, (since_ns,))}
        return sources, int(db.execute("SELECT count(*) FROM pulses").fetchone()[0])
    except sqlite3.OperationalError:
        return set(), 0  # the tables are not made yet, or it is being opened


class Asked:
    """A database for as long as it is asked."""

    def __init__(self, path: Path) -> None:
        self._db = (
            sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) if path.exists() else sqlite3.connect("")
        )

    def __enter__(self) -> sqlite3.Connection:
        return self._db

    def __exit__(self, *_: Any) -> None:
        self._db.close()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def totals(data: Path) -> list[int]:
    """The rows in the store as it lies there, read from a copy: opening it would already recover it."""
    with tempfile.TemporaryDirectory() as copy:
        for file in data.glob("rigbus.db*"):
            shutil.copy(file, copy)
        if not (Path(copy) / "rigbus.db").exists():
            return []
        db = sqlite3.connect(Path(copy) / "rigbus.db")
        try:
            return Store(db).totals(IMPORT.name)
        except sqlite3.OperationalError as e:
            if "no such table" in str(e):
                return []
            raise
        finally:
            db.close()
