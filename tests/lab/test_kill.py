"""SIGKILL of a daemon: what was acknowledged stays, what nobody could see is named as unknown and never invented."""

from pathlib import Path

import pytest

from .conftest import Report
from .rig import CONFIG, IMPORT, RIGBUS, RUN, Rig
from .vm import Guest

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
DRIVERS = pytest.mark.parametrize("driver", ["gpiod", pytest.param("rpigpio", marks=pytest.mark.slow)])


@DRIVERS
def test_pulse_killed_between_pulses(driver: str, guest: Guest, tmp_path: Path, report: Report) -> None:
    """Nothing moves while it is down: the total goes on where it was; the time is marked unknown all the same."""
    rig = Rig(guest, driver=driver)
    rig.start("bus", "sink", "pulse")
    rig.toggle(20, 60)
    rig.wait_stored(60)
    rig.kill("pulse")
    killed_ns = rig.now_ns()
    guest.sh("sleep 1")
    restarted_ns = rig.now_ns()
    rig.start("pulse")
    rig.toggle(20, 60)
    rig.wait_stored(120)
    rig.stop()
    code, audit = rig.audit("--allow-unknown")
    store, kernel = rig.store(tmp_path), rig.kernel_saw(120)
    totals, unknown = store.totals(IMPORT.name), store.unknown_edges()
    store.close()
    report(
        toggled=120,
        kernel=kernel,
        stored=len(totals),
        lifetime_total=max(totals),
        unknown_ranges=len(unknown),
        audit_exit=code,
    )
    assert totals == list(range(1, 121))
    assert covered(unknown, killed_ns, restarted_ns), unknown
    assert code == 0, audit


@DRIVERS
def test_pulse_killed_amid_pulses(driver: str, guest: Guest, tmp_path: Path, report: Report) -> None:
    rig = Rig(guest, driver=driver)
    rig.start("bus", "sink", "pulse")
    rig.toggle_meanwhile(20, 500)
    rig.wait_stored(40)
    acknowledged = rig.stored()
    rig.kill("pulse")
    killed_ns = rig.now_ns()
    before = rig.kernel_edges()
    guest.sh("sleep 2")
    restarted_ns = rig.now_ns()
    rig.start("pulse")
    rig.toggled()
    rig.toggle(20, 60)
    rig.wait_quiet()
    rig.stop()
    code, audit = rig.audit("--allow-unknown")
    store, kernel, frames = rig.store(tmp_path), rig.kernel_edges(), rig.frames()
    totals, unknown = store.totals(IMPORT.name), store.unknown_edges()
    store.close()
    report(
        toggled=560,
        kernel=kernel,
        acknowledged_at_kill=acknowledged,
        stored=len(totals),
        lifetime_total=max(totals),
        in_flight_at_kill=kernel - len(totals) - frames.filtered,
        unknown_ranges=len(unknown),
        audit_exit=code,
    )
    assert kernel < 560, "no pulse fell into the time while it was down, so this shows nothing"
    assert totals == list(range(1, len(totals) + 1)), "a row is twice there or missing"
    assert acknowledged <= before
    assert len(totals) >= acknowledged + (kernel - before) - frames.filtered, (
        "a pulse was lost that is not in flight at the kill"
    )
    assert len(totals) + frames.filtered <= kernel, "a pulse was invented"
    assert covered(unknown, killed_ns, restarted_ns), unknown
    assert code == 0, audit


def test_sink_killed_amid_pulses(guest: Guest, tmp_path: Path, report: Report) -> None:
    """The pulse daemon's journal holds what the sink did not store: no pulse is lost, none is stored twice."""
    rig = Rig(guest)
    rig.start("bus", "sink", "pulse")
    rig.toggle_meanwhile(20, 400)
    rig.wait_stored(40)
    acknowledged = rig.stored()
    rig.kill("sink")
    guest.sh("sleep 2")
    rig.start("sink")
    rig.toggled()
    rig.wait_quiet()
    rig.stop()
    code, audit = rig.audit()
    store, kernel = rig.store(tmp_path), rig.kernel_saw(400)
    totals, unknown, lost = store.totals(IMPORT.name), store.unknown_edges(), store.lost_edges()
    store.close()
    report(
        toggled=400, kernel=kernel, acknowledged_at_kill=acknowledged, stored=len(totals), ledger=lost, audit_exit=code
    )
    assert totals == list(range(1, 401))
    assert (lost, unknown) == (0, [])
    assert (code, audit.get("ok")) == (0, True), audit


@pytest.mark.slow
def test_supervised(guest: Guest, tmp_path: Path, report: Report) -> None:
    """`rigbus run` as users start it: it brings a killed pulse daemon back and stops with the sink drained."""
    rig = Rig(guest)
    run = f"{RIGBUS} run --config {CONFIG} --data {rig.data} --run-dir {RUN} --only bus,sink,pulse"
    guest.sh(f"systemd-run -q --unit=rig -p WorkingDirectory={RUN} -p RemainAfterExit=yes -p TimeoutStopSec=60 {run}")
    rig.wait_counting()
    rig.toggle(20, 60)
    rig.wait_stored(60)
    since = rig.records()
    guest.sh(f"kill -KILL {rig.pid('pulse')}")
    rig.wait_counting(since)
    rig.toggle(20, 60)
    rig.wait_stored(120)
    guest.sh("systemctl kill -s TERM --kill-who=main rig")
    guest.until("systemctl show -P SubState rig | grep -q exited", 60, "rigbus run ends")
    code, audit = rig.audit("--allow-unknown")
    store = rig.store(tmp_path)
    totals, unknown = store.totals(IMPORT.name), store.unknown_edges()
    store.close()
    report(toggled=120, kernel=rig.kernel_saw(120), stored=len(totals), unknown_ranges=len(unknown), audit_exit=code)
    assert guest.sh("systemctl show -P ExecMainStatus rig").strip() == "0"
    assert totals == list(range(1, 121))
    assert unknown
    assert code == 0, audit


def covered(unknown: list[tuple[str, int, int]], killed_ns: int, restarted_ns: int) -> bool:
    """Whether one row with a cause spans the whole time while the daemon was down."""
    return any(cause and start <= killed_ns and restarted_ns <= end for cause, start, end in unknown)
