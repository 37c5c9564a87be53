"""More edges than the kernel can keep: each is accepted, filtered, or named as lost, by the kernel's own count."""

from pathlib import Path

import pytest

from .conftest import Report
from .rig import IMPORT, PYTHON, Rig
from .vm import Guest

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
KERNEL_BUFFER = 1024  # GPIO_V2_LINES_MAX * 16: the kernel grants a request no more, whatever it asks for


def test_our_count_is_the_kernels_line_seqno(guest: Guest, report: Report) -> None:
    """What the other tests call the kernel's count, against the line_seqno that a reader got who fell behind."""
    rig = Rig(guest)
    ready, go, out = "/run/seqno.ready", "/run/seqno.go", "/run/seqno.out"
    reader = f"{PYTHON} /opt/lab/seqno.py {IMPORT.line} {ready} {go}"
    guest.sh(f"systemd-run -q --unit=seqno -p StandardOutput=file:{out} {reader}")
    guest.until(f"[ -e {ready} ]", 60, "the reader holds the line")
    rig.burst(200)
    guest.sh(f"touch {go}")
    guest.until(f"[ -s {out} ]", 60, "the reader is done")
    received, seqno = map(int, guest.get(out).split())
    report(received=received, line_seqno=seqno, kernel=rig.kernel_edges())
    assert received < seqno, "the buffer did not overflow, so this shows nothing"
    assert rig.kernel_edges() == seqno


@pytest.mark.parametrize(
    "stopped", [pytest.param(True, id="stopped"), pytest.param(False, id="running", marks=pytest.mark.slow)]
)
def test_burst_flat_out(stopped: bool, guest: Guest, tmp_path: Path, report: Report) -> None:
    """A burst while the daemon stands still (SIGSTOP) overflows the buffer for certain; one while it runs may."""
    rig = Rig(guest)
    rig.start("bus", "sink", "pulse")
    rig.toggle(20, 20)
    if stopped:
        rig.signal("pulse", "STOP")
    rig.burst(3 * KERNEL_BUFFER)
    if stopped:
        rig.signal("pulse", "CONT")
    rig.wait_quiet()
    rig.toggle(20, 20)
    rig.wait_quiet()
    rig.stop()
    code, audit = rig.audit()
    store, frames, kernel = rig.store(tmp_path), rig.frames(), rig.kernel_edges()
    totals, lost = store.totals(IMPORT.name), store.lost_edges()
    unknown = store.unknown_edges()
    store.close()
    report(
        kernel=kernel, stored=len(totals), filtered=frames.filtered, missed=frames.missed, ledger=lost, audit_exit=code
    )
    if stopped:
        assert lost >= 2 * KERNEL_BUFFER, "the burst fitted the kernel's buffer, so this shows nothing"
    assert frames.missed is not None
    assert frames.accepted + frames.filtered + frames.missed == kernel
    assert frames.accepted + frames.filtered + lost == kernel
    assert sum(d["count"] for d in audit["devices"] if d["unit"] == "edge") == lost
    assert totals == list(range(1, frames.accepted + 1))
    assert unknown == []
    assert (code, audit.get("ok")) == (0, True), audit


def test_minimum_interval(guest: Guest, tmp_path: Path, report: Report) -> None:
    """With the default of 30 ms at 50 Hz about every second edge is too early: filtered, counted, and not a row."""
    rig = Rig(guest, min_interval_ms=30)
    rig.start("bus", "sink", "pulse")
    rig.toggle(50, 200)
    rig.wait_quiet()
    rig.stop()
    code, _ = rig.audit()
    store, frames, kernel = rig.store(tmp_path), rig.frames(), rig.kernel_saw(200)
    totals = store.totals(IMPORT.name)
    store.close()
    report(
        toggled=200, kernel=kernel, stored=len(totals), filtered=frames.filtered, missed=frames.missed, audit_exit=code
    )
    assert 0 < frames.filtered < kernel
    assert frames.accepted + frames.filtered == kernel
    assert totals == list(range(1, frames.accepted + 1))
    assert code == 0
