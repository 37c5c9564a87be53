"""Rigs whose store outgrows its disk or its time: they go on, their size is bounded, and the account stays exact."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rig import MakeRig, Rig

SmallDisk = Callable[[Path, int], None]
FAST = ["--burst", "50", "--pad", "400"]  # 2,500 frames a second, some 1.5 MB of rows


def lost_rows(rig: Rig) -> dict[str, int]:
    return dict(rig.rows("SELECT stream, sum(count) FROM ledger WHERE cause = 'disk_full' GROUP BY stream"))


@pytest.mark.root
@pytest.mark.timeout(300)
def test_a_rig_on_a_disk_that_is_too_small(small_disk: SmallDisk, make_rig: MakeRig) -> None:
    rig = make_rig("sink.min_free_mb = 8\njournal.daemon.pulse.max_bytes = 1048576")
    small_disk(rig.data, 40_000)
    rig.numbered_args["numbered"] = FAST
    rig.start("bus", "sink", "pulse", "highspeed", "numbered")
    rig.ready("bus", "sink", "pulse", "highspeed", "numbered")
    rig.until(lambda: "disk is nearly full" in rig.log("sink").read_text(), "the disk is nearly full", timeout_s=120.0)
    offered, pulses = rig.offered(), rig.rows("SELECT max(id) FROM pulses")[0][0]
    least = 1 << 40
    end = time.monotonic() + 40
    while rig.offered() < offered + 25_000 and time.monotonic() < end:
        found = os.statvfs(rig.data)
        least = min(least, found.f_bavail * found.f_frsize)
        time.sleep(0.05)
    rig.caught_up()
    assert rig.offered() > offered + 5_000
    rig.end()
    assert least > 0, "it was full all the same"
    assert rig.log("sink").read_text().count("nearly full") == 1
    assert "the store refuses" not in rig.log("sink").read_text()
    account = rig.audit("--deep")
    assert account.code == 0, account.document
    stored = rig.rows("SELECT count(*), min(frame_seq), max(frame_seq) FROM system_events")[0]
    pruned = rig.rows("SELECT pruned, stored FROM streams WHERE src = 'numbered'")[0]
    assert pruned[0] + stored[0] == pruned[1]
    assert pruned[0] > 1000
    lost = lost_rows(rig)
    assert lost["system_events"] == pruned[0]
    assert "pulses" not in lost
    assert rig.rows("SELECT max(id), count(*) FROM pulses")[0] > (pulses, pulses)
    assert rig.rows("SELECT count(*) FROM rollups WHERE series LIKE 'pulse/%'")[0][0] > 0


@pytest.mark.root
def test_room_is_made_on_a_disk_that_something_else_has_filled(small_disk: SmallDisk, make_rig: MakeRig) -> None:
    rig = make_rig("sink.min_free_mb = 4")
    small_disk(rig.data, 40_000)
    rig.numbered_args["numbered"] = ["--burst", "10", "--pad", "400"]
    rig.start("bus", "sink", "numbered")
    rig.ready("bus", "sink", "numbered")
    rig.until(lambda: rig.offered() > 5000, "5,000 are offered")
    rig.caught_up()
    with (rig.data / "ballast").open("wb", buffering=0) as f, contextlib.suppress(OSError):  # it ends with the disk
        while f.write(bytes(100_000)) == 100_000:
            # faster than any log grows, and as slow as the sink must be able to see it come
            time.sleep(0.05 if os.statvfs(rig.data).f_bavail * 4096 < 8_000_000 else 0)
    offered = rig.offered()
    rig.until(lambda: rig.offered() > offered + 3000, "3,000 more are offered")
    rig.caught_up()
    rig.end()
    assert lost_rows(rig)["system_events"] > 0
    assert rig.audit("--deep").code == 0


def test_what_is_too_old_goes_while_the_rig_runs(rig: Rig) -> None:
    rig.merge("[sink]\nretention_days = 0.00005")  # 4.3 s
    rig.start("bus", "sink", "pulse", "highspeed", "numbered")
    rig.ready("bus", "sink", "pulse", "highspeed", "numbered")
    rig.until(lambda: rig.offered() > 300, "300 are offered")
    rig.caught_up()
    rig.end()
    samples = rig.rows("SELECT sum(n) FROM sample_chunks")[0][0]
    time.sleep(5)
    rig.start("bus", "sink", "pulse")
    rig.ready("bus", "sink", "pulse")
    rig.until(lambda: rig.stored() == 0, "the events are gone")
    rig.until(lambda: not rig.rows("SELECT 1 FROM sample_chunks LIMIT 1"), "the samples are gone")
    rig.end()
    assert rig.audit("--deep").code == 0
    assert rig.rows("SELECT count(*) FROM ledger WHERE cause = 'disk_full'") == [(0,)]
    sums = "SELECT series, sum(n) FROM rollups WHERE window_s = 60 GROUP BY series"
    assert dict(rig.rows(sums))["samples/vibration/x"] == samples > 0
