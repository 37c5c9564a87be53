"""Hours and days in virtual time, with nothing going wrong: no restart, no growth, no pulse too many or too few.

It watches a rig without its vibration sensor: that one costs as long on the host as it lasts.
"""

import json
import os
from pathlib import Path

import pytest

from .conftest import Report
from .rig import IMPORT
from .test_install import PATIENCE_S, START, configure
from .units import DB, RIGBUS
from .vm import Guest

HOURS = float(os.environ.get("RIGBUS_LAB_HOURS", "1"))
pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(24 * 3600)]
WATCHED = ("bus", "sink", "pulse", "thermostat", "gateway")
GROWTH = 1.2  # resident memory at the end, to that after the first quarter of an hour

# One call, as the clock runs on between calls. The day ends half an hour after it began. A line every 15 minutes, also
# on the machine's console (console.log in the lab's folder): time, pulses, resident kB of each daemon, processes.
DAYS = """
set -e
line=/run/lab/gpio/sim_gpio{line}/pull names="{names}"
date -s 23:30 >/dev/null
{start}
end=$(($(date +%s) + {seconds})) pulses=0 minute=0
while [ $(date +%s) -lt $end ]; do
    sleep 60
    for n in 1 2 3; do echo pull-down > $line; sleep 0.05; echo pull-up > $line; sleep 0.05; done
    pulses=$((pulses + 3)) minute=$((minute + 1))
    if [ $((minute % 15)) = 0 ]; then
        pids= kbs=
        for name in $names; do
            pid=$(systemctl show -P MainPID rigbus-$name)
            pids="$pids $pid" kbs="$kbs $(awk '/^VmRSS/ {{print $2}}' /proc/$pid/status)"
        done
        echo "$(date +%s) $pulses$kbs$pids" | tee -a /run/quarters > /dev/ttyS0
    fi
done
systemctl stop rigbus.target 'rigbus-*.service'
"""


def test_nothing_grows_and_nothing_is_lost_in_virtual_time(lab: Path, report: Report) -> None:
    with Guest(lab, "installed", "installed", virtual_time=True) as guest:
        configure(guest, "pulse", "thermostat", "gateway")
        guest.sh("printf '[sink.csv]\\nenabled = true\\n' >> /etc/rigbus/rigbus.toml", PATIENCE_S)
        names, seconds = " ".join(WATCHED), round(HOURS * 3600)
        guest.sh(DAYS.format(line=IMPORT.line, names=names, start=START, seconds=seconds), PATIENCE_S + 2 * seconds)
        quarters = [[int(word) for word in row.split()] for row in guest.get("/run/quarters").decode().splitlines()]
        pulses, sizes = quarters[-1][1], len(WATCHED)
        first, last = quarters[0][2 : 2 + sizes], quarters[-1][2 : 2 + sizes]
        code = int(guest.sh(f"cd / && {RIGBUS} audit --json > /run/audit.json 2>&1; echo $?", PATIENCE_S))
        audit = json.loads(guest.get("/run/audit.json"))
        query = "select total, date(t_ns / 1000000000, 'unixepoch') from pulses order by total"
        rows = [row.split("|") for row in guest.sh(f'sqlite3 {DB} "{query}"', PATIENCE_S).splitlines()]
        copied = int(guest.sh("zcat -f /var/lib/rigbus/csv/pulses/* | grep -c import", PATIENCE_S))
        frames = sum(row["published"] for row in audit["streams"])
        grown = {name: f"{a / 1024:.1f} to {b / 1024:.1f} MB" for name, a, b in zip(WATCHED, first, last, strict=True)}
        report(
            hours=HOURS, pulses=pulses, stored=len(rows), frames=frames, days=len({d for _, d in rows}), audit_exit=code
        )
        report(**grown)
        assert [int(total) for total, _ in rows] == list(range(1, len(rows) + 1))
        assert copied == len(rows), "in the CSV files"
        assert len(rows) - pulses in range(45)  # those after the last quarter
        assert len({tuple(row[2 + sizes :]) for row in quarters}) == 1, "a daemon was restarted"
        assert all(b < a * GROWTH for a, b in zip(first, last, strict=True)), grown
        assert code == 0, audit
