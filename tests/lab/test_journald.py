"""What the daemons say to a real journald, and that the lines of docs/logs.md find it there."""

import json
import re
from pathlib import Path

import pytest

from .conftest import Report
from .rig import CONFIG, PYTHON, RIGBUS, RUN, START_S
from .vm import Guest

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

DATA = "/var/lib/rig"
OPTIONS = f"--config {CONFIG} --data {DATA} --run-dir {RUN}"
DAEMONS = ("bus", "sink", "pulse", "thermostat", "pump")
UNIT = f"""[Service]
Type=notify
ExecStart={PYTHON} -m daemons.DAEMON {OPTIONS}
ExecReload=/bin/kill -HUP $MAINPID
TimeoutStartSec=300
TimeoutStopSec=60
"""
TEXT = """node = "lab"
[pulse]
[[pulse.channel]]
name = "import"
line = 20
min_interval_ms = 5
[thermostat]
[[thermostat.device]]
name = "bench"
host = "sim"
[pump]
[[pump.pump]]
name = "water"
step = 16
dir = 6
en = 17
hz = 500
[sink.influx]
enabled = true
"""
LINES = re.findall(r"^journalctl .+$", (Path(__file__).parents[2] / "docs/logs.md").read_text(), re.MULTILINE)
QUIET = "disk_full"  # there was room all the time


def found(guest: Guest, *matches: str) -> list[dict[str, str]]:
    """Entries of the journal, as maps."""
    out = guest.sh(f"journalctl -q --no-pager -o json {' '.join(matches)}")
    return [json.loads(line) for line in out.splitlines()]


def until_said(guest: Guest, daemon: str, event: str, n: int = 1, timeout_s: float = 120) -> None:
    query = f"journalctl -q --no-pager -o cat -t rigbus-{daemon} RIGBUS_EVENT={event} | wc -l"
    guest.until(f'[ "$({query})" -ge {n} ]', timeout_s, f"{daemon} says {event} {n} times")


def live(guest: Guest) -> None:
    """A day in the life of a rig, in a minute."""
    guest.put(CONFIG, TEXT)
    for daemon in DAEMONS:
        guest.put(f"/etc/systemd/system/rigbus-{daemon}.service", UNIT.replace("DAEMON", daemon))
    guest.sh(f"mkdir -p {RUN} {DATA} && systemctl daemon-reload")
    guest.sh("systemctl start " + " ".join(f"rigbus-{daemon}" for daemon in DAEMONS), 3 * START_S)
    until_said(guest, "thermostat", "device_lost")
    guest.sh(f"systemd-run -q --unit=sim-thermostat {PYTHON} -m common.sims.thermostat {OPTIONS}")
    until_said(guest, "thermostat", "device_back")
    guest.sh("systemctl kill -s KILL rigbus-pulse && sleep 2 && systemctl start rigbus-pulse", START_S)
    until_said(guest, "sink", "loss")
    guest.sh(f"{RIGBUS} pump prime water 1s {OPTIONS}", START_S, check=False)  # emulated, it may stall: an outcome, too
    guest.sh(f"{RIGBUS} pump estop --reason 'the hose is off' {OPTIONS}", START_S)
    guest.sh(f"{RIGBUS} pump prime water 1s {OPTIONS}", START_S, check=False)
    guest.sh(f"{RIGBUS} pump unlock --yes {OPTIONS}", START_S)
    guest.put(CONFIG, TEXT.replace("line = 20\nmin_interval_ms = 5", "line = 21\nmin_interval_ms = 7"))
    guest.sh("systemctl reload rigbus-pulse")
    until_said(guest, "pulse", "needs_restart")
    guest.put(CONFIG, TEXT + "x = 1\n")
    guest.sh("systemctl reload rigbus-pulse")
    until_said(guest, "pulse", "config_refused")
    guest.until("systemctl is-active -q rigbus-pulse", 60, "the reload is over")
    guest.sh("date -s '+10 seconds'")
    until_said(guest, "sink", "clock_step")
    guest.sh("systemctl stop rigbus-pump", 90)
    guest.sh("journalctl --sync")


def test_journald_answers_the_ten_questions(guest: Guest, report: Report) -> None:
    live(guest)
    assert len(LINES) >= 10
    entries = {}
    for line in LINES:
        out = guest.sh(f"{line} -q --no-pager")  # exit 0, else it raises
        entries[line] = len(out.splitlines())
        assert bool(out.strip()) == (QUIET not in line), f"{line}\n{out}"
    report(questions=len(LINES), entries=sum(entries.values()))

    (loss, *_) = found(guest, "RIGBUS_EVENT=loss", "RIGBUS_STREAM=pulse/import/", "RIGBUS_CAUSE=down")
    assert (loss["RIGBUS_UNIT"], loss["RIGBUS_COUNT"]) == ("edge", "unknown")
    assert (loss["SYSLOG_IDENTIFIER"], loss["_SYSTEMD_UNIT"]) == ("rigbus-sink", "rigbus-sink.service")
    assert loss["MESSAGE_ID"] == "7c638a9613b54416b485128035f4f81b"
    assert loss["PRIORITY"] == "4"
    assert "RIGBUS_FROM" in loss
    assert "RIGBUS_TO" in loss

    (stop,) = found(guest, "RIGBUS_EVENT=estop", "-t rigbus-pump")
    assert stop["RIGBUS_REASON"] == "the hose is off"
    (back,) = found(guest, "RIGBUS_EVENT=device_back", "RIGBUS_DEVICE=bench")
    assert back["_SYSTEMD_UNIT"] == "rigbus-thermostat.service"
    starts = found(guest, "RIGBUS_EVENT=start", "-u rigbus-pulse")
    stops = found(guest, "RIGBUS_EVENT=stop", "-u rigbus-pulse")
    assert (len(starts), len(stops)) == (2, 0)  # the first one was killed, the second one runs
    assert len({entry["_PID"] for entry in starts}) == 2
    (ended,) = found(guest, "RIGBUS_EVENT=stop", "-u rigbus-pump")
    assert ended["RIGBUS_CODE"] == "0"
    outcomes = found(guest, "RIGBUS_EVENT=pump_run", "RIGBUS_EVENT=pump_outcome", "RIGBUS_EVENT=pump_refused")
    assert [entry["RIGBUS_EVENT"] for entry in outcomes] == ["pump_run", "pump_outcome", "pump_refused"]
    assert outcomes[0]["RIGBUS_COMMAND_ID"] == outcomes[1]["RIGBUS_COMMAND_ID"]
    (taken,) = found(guest, "RIGBUS_EVENT=reloaded")
    assert taken["RIGBUS_TAKEN"] == "pulse.channel.import.min_interval_ms"
    (left,) = found(guest, "RIGBUS_EVENT=needs_restart")
    assert left["RIGBUS_KEYS"] == "pulse.channel.import.line"
    (refused,) = found(guest, "RIGBUS_EVENT=config_refused")
    assert f"{CONFIG}:" in refused["MESSAGE"]
    # nothing came by way of stderr, where fields would be missing
    assert found(guest, "-u 'rigbus-*'", "_TRANSPORT=stdout") == []
