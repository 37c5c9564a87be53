"""Steady pulses: each one that a line makes is one row, and the books balance."""

from pathlib import Path

import pytest

from .conftest import Report
from .rig import METERS, Rig
from .vm import Guest

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("hz", "cycles"),
    [pytest.param(5, 40, marks=pytest.mark.slow), (20, 120), pytest.param(50, 300, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("driver", ["gpiod", "rpigpio"])
def test_three_meters(driver: str, hz: float, cycles: int, guest: Guest, tmp_path: Path, report: Report) -> None:
    rig = Rig(guest, METERS, driver=driver)
    rig.start("bus", "sink", "pulse")
    reached = rig.toggle(hz, cycles)
    rig.wait_stored(len(METERS) * cycles)
    rig.stop()
    code, audit = rig.audit()
    store, frames = rig.store(tmp_path), rig.frames()
    stored = {c.name: store.totals(c.name) for c in METERS}
    report(
        hz_reached=reached,
        toggled=len(METERS) * cycles,
        kernel=rig.kernel_saw(len(METERS) * cycles + frames.filtered),
        stored=sum(map(len, stored.values())),
        filtered=frames.filtered,
        missed="cannot be known" if frames.missed is None else frames.missed,
        audit_exit=code,
    )
    assert stored == {c.name: list(range(1, cycles + 1)) for c in METERS}
    assert frames.accepted == len(METERS) * cycles
    assert (code, audit.get("ok")) == (0, True), audit
    assert store.lost_edges() == 0
    store.close()
