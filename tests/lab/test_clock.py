"""A machine without a clock battery: it comes up years behind, counts pulses, and is told the time later."""

import csv
import io
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from .conftest import Report
from .rig import Rig
from .vm import Guest

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]
PULSES = 60
TIMESYNC = "/run/systemd/timesync"
EXTRA = "[clock]\nhold_s = 86400\n[sink.csv]\nenabled = true\n"


@pytest.mark.parametrize("shown", ["1970-01-01 00:02", pytest.param("2025-06-01 12:00", marks=pytest.mark.slow)])
def test_rows_of_before_the_clock_was_set(guest: Guest, tmp_path: Path, report: Report, shown: str) -> None:
    take_the_clock_away(guest, shown)
    rig = Rig(guest)
    guest.sh("mkdir -p /etc/rigbus/conf.d")
    guest.put("/etc/rigbus/conf.d/clock.toml", EXTRA)
    rig.start("bus", "sink", "pulse")
    rig.toggle(20, PULSES)
    rig.wait_stored(PULSES)
    guest.sh("sleep 5")
    assert csv_rows(guest, rig) == []
    rig.kill("sink")
    rig.start("sink")
    rig.toggle(20, PULSES)
    rig.wait_stored(2 * PULSES)
    before_ns = rig.now_ns()
    guest.sh(
        f"date -s @{time.time():.3f} && mkdir -p /run/systemd/timesync && touch /run/systemd/timesync/synchronized"
    )
    after_ns = rig.now_ns()
    rig.toggle(20, PULSES)
    rig.wait_stored(3 * PULSES)
    lines = f"cat $(find {rig.data}/csv/pulses -name '*.csv') | grep -vc channel"
    guest.until(f"[ $({lines}) -ge {3 * PULSES} ]", 60, "the files have all pulses")
    rig.stop()
    code, document = rig.audit()
    assert code == 0, document
    toggled = rig.kernel_saw(3 * PULSES)
    db = guest.get_sqlite(f"{rig.data}/rigbus.db", tmp_path / "rigbus.db")
    rows = db.execute("SELECT total, t_ns, t_orig_ns FROM pulses ORDER BY total").fetchall()
    steps = db.execute("SELECT step_ns, detail FROM clock_steps ORDER BY id").fetchall()
    stamped = {
        table: db.execute(f"SELECT count(*) FROM {table} WHERE t_ns < ?", (after_ns - 3600 * 10**9,)).fetchone()[0]
        for table in ("pulses", "health", "ledger")
    }
    db.close()
    assert [total for total, _, _ in rows] == list(range(1, toggled + 1))
    early, late = rows[: 2 * PULSES], rows[2 * PULSES :]
    assert [before for _, _, before in late] == [None] * PULSES
    shift = steps[0][0]
    assert all(before is not None and before < before_ns and abs(t - before - shift) < 10**6 for _, t, before in early)
    times = [t for _, t, _ in rows]
    assert times == sorted(times)
    assert after_ns - 600 * 10**9 < times[0] < after_ns < times[2 * PULSES]
    assert stamped == dict.fromkeys(stamped, 0)
    assert sum("rows were moved" in detail for _, detail in steps) == 1
    assert not any("went out" in detail for _, detail in steps)
    written = csv_rows(guest, rig)
    assert sorted(int(row["total"]) for row in written) == list(range(1, toggled + 1))
    report(shown_at_first=shown, toggled=toggled, moved=len(early), in_csv=len(written), steps=len(steps) - 1)


def take_the_clock_away(guest: Guest, shown: str) -> None:
    guest.sh(f"systemctl stop systemd-timesyncd chrony ntp 2>/dev/null; rm -rf {TIMESYNC}; true")
    for name in guest.sh("ls /sys/class/rtc 2>/dev/null; true").split():
        driver = guest.sh(f"readlink -f /sys/class/rtc/{name}/device/driver").strip()
        device = guest.sh(f"basename $(readlink -f /sys/class/rtc/{name}/device)").strip()
        guest.sh(f"echo {device} > {driver}/unbind")
    guest.sh(f"date -u -s '{shown}'")
    assert datetime.fromtimestamp(int(guest.sh("date +%s")), UTC).year < 2026


def csv_rows(guest: Guest, rig: Rig) -> list[dict[str, str]]:
    """All rows of pulses in all files of the outputs."""
    found: list[dict[str, str]] = []
    for name in guest.sh(f"find {rig.data}/csv/pulses -name '*.csv' 2>/dev/null; true").split():
        found += csv.DictReader(io.StringIO(guest.get(name).decode()))
    return found
