"""Power cuts while pulses come: after each one the rig starts again and has all that it had acknowledged, once."""

import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from .conftest import Report
from .disk import MARK, Cut, DataDisk
from .images import CHECKOUT
from .rig import IMPORT, PYTHON, RUN, Rig, Store, config
from .vm import Guest

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]
IMAGES = 20
DATA = "/data"
RUN_S = 6  # how long the rig runs again on what a cut has left; the simulated meter goes on counting meanwhile


class Outcome(NamedTuple):
    """The channel's totals as the cut left them, and after the rig ran again on what it left."""

    found: list[int]
    recovered: list[int]
    unknown: int
    audit_exit: int


def test_power_cuts(guest: Guest, tmp_path: Path, report: Report) -> None:
    disk = DataDisk(guest, tmp_path, DATA)
    rig = Rig(guest, data=DATA, place="disk")
    promise = f"{PYTHON} /opt/lab/promise.py {RUN}/out.sock {DATA}/rigbus.db /dev/vdb {MARK} {IMPORT.name}"
    guest.sh(f"systemd-run -q --unit=promise {promise}")
    rig.start("bus", "sink", "pulse")
    rig.toggle_meanwhile(20, 2000)
    rig.wait_stored(60)
    guest.sh("sleep 15 && systemctl is-active promise toggle")
    toggled, writes = rig.kernel_edges(), disk.cut()
    rng = random.Random(20261121)
    cuts = []
    for n in range(IMAGES):
        cut = disk.image(rng)
        outcome = start_again(disk, cut)
        where = f"image {n}, promised {cut.promised}, {outcome.audit_exit=}"
        assert whole(outcome.found), f"{where}: the cut left a store with holes or doubles: {outcome.found}"
        assert len(outcome.found) >= cut.promised["store"], f"{where}: committed rows are gone"
        assert whole(outcome.recovered), f"{where}: the lifetime total fell or jumped: {outcome.recovered}"
        assert len(outcome.recovered) >= max(cut.promised.values()), f"{where}: pulses that had been sent are gone"
        assert outcome.unknown > 0, f"{where}: no ledger row says that the time without power is unknown"
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
        lost=0,
    )
    assert sum(cut.dropped for cut, _ in cuts) > 0, "no cut took anything away, so this shows nothing"


def whole(totals: list[int]) -> bool:
    return totals == list(range(1, len(totals) + 1))


def start_again(disk: DataDisk, cut: Cut) -> Outcome:
    """Copy the files out of the image and run bus, sink and pulse daemon on them here, where the boot id differs."""
    top = Path(tempfile.mkdtemp(prefix="rig-", dir="/tmp"))  # a short path: unix sockets lie in it
    try:
        data, run, file = top / "data", top / "run", top / "rigbus.toml"
        data.mkdir()
        run.mkdir()
        disk.files(cut, data)
        file.write_text(config([IMPORT], driver="sim", place="disk"))
        found = totals(data)
        paths = ["--config", str(file), "--data", str(data), "--run-dir", str(run)]
        command = [
            sys.executable,
            "-m",
            "common.cli.main",
            "run",
            *paths,
            "--for",
            str(RUN_S),
            "--only",
            "bus,sink,pulse",
        ]
        subprocess.run(command, cwd=CHECKOUT, check=True, timeout=RUN_S + 60, capture_output=True)
        audit = [sys.executable, "-m", "common.cli.main", "audit", *paths, "--json", "--allow-unknown"]
        code = subprocess.run(audit, cwd=CHECKOUT, check=False, timeout=60, capture_output=True).returncode
        store = Store(sqlite3.connect(data / "rigbus.db"))
        outcome = Outcome(found, store.totals(IMPORT.name), len(store.unknown_edges()), code)
        store.close()
        return outcome
    finally:
        shutil.rmtree(top)


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
