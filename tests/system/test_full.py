"""Journals over their bound, and full disks: every frame is stored or in the ledger, and no daemon needs a restart."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from rig import Listener, MakeRig, Rig

FAST = ["--burst", "50", "--pad", "200"]  # 2,500 frames a second, about 1 MB
SmallDisk = Callable[[Path, int], None]


def fill(path: Path, *, leave_kb: int) -> Path:
    """A ballast file that leaves so much of the file system."""
    ballast = path / "ballast"
    with ballast.open("wb", buffering=0) as f:
        try:
            while f.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
        f.truncate(max(0, f.tell() - leave_kb * 1024))
    return ballast


def says(rig: Rig, name: str, text: str) -> None:
    rig.until(lambda: text in rig.log(name).read_text(), f"{name} says: {text}")


def test_a_journal_over_its_bound_loses_the_oldest_and_says_which(rig: Rig, listener: Listener) -> None:
    rig.merge("journal.max_bytes = 262144")
    rig.numbered_args["numbered"] = FAST
    rig.start("bus", "numbered")
    rig.ready("numbered")
    rig.until(lambda: rig.offered() > 4000, "4,000 are offered")
    rig.start("sink")
    rig.caught_up()
    rig.end()
    found = rig.check("numbered")["numbered"]
    assert found.lost > 1000
    assert sum(row[2] for row in rig.ledger("journal_full")) >= found.lost
    # on the bus each is told once; more than are lost in the end, as the sink may hold what the journal gave up
    ranges = sorted((f["from_seq"], f["to_seq"]) for _, f in listener.frames() if f["k"] == "loss")
    assert all(b < c for (_, b), (c, _) in itertools.pairwise(ranges)), ranges
    assert sum(b - a + 1 for a, b in ranges) > found.lost - 200
    account = rig.audit()
    assert account.of("numbered", "published") == account.of("numbered", "stored") + account.of("numbered", "lost")


@pytest.mark.root
def test_a_full_disk_under_the_journal(small_disk: SmallDisk, make_rig: MakeRig) -> None:
    rig = make_rig("journal.max_bytes = 2097152")
    small_disk(rig.run, 5000)  # both journals, up to their bounds
    rig.numbered_args = {"numbered": FAST, "numbered2": FAST}
    rig.start("numbered", "numbered2")
    rig.ready("numbered", "numbered2")
    ballast = fill(rig.run, leave_kb=300)
    says(rig, "numbered", "journal has no room")
    says(rig, "numbered2", "journal has no room")
    blocked_at = rig.offered()
    rig.until(lambda: rig.offered() > blocked_at + 10_000, "more is offered than the queue takes")
    # a start on the full disk, after a kill on it
    rig.kill("numbered2")
    rig.start("numbered2")
    rig.ready("numbered2")
    ballast.unlink()
    says(rig, "numbered", "journal has room again")
    rig.start("bus", "sink")
    rig.caught_up("numbered", "numbered2")
    rig.end()
    found = rig.check("numbered", "numbered2")
    assert found["numbered"].lost > 0
    assert found["numbered"].stored > 1000
    assert rig.ledger("queue_full")
    assert rig.ledger("killed")


@pytest.mark.root
def test_a_full_disk_under_the_store(small_disk: SmallDisk, make_rig: MakeRig) -> None:
    rig = make_rig("journal.daemon.pulse.max_bytes = 1048576")  # on that disk too
    small_disk(rig.data, 48_000)
    rig.numbered_args["numbered"] = ["--burst", "10", "--pad", "300"]
    rig.start("bus", "sink", "pulse", "numbered")
    rig.ready("bus", "sink", "pulse", "numbered")
    rig.caught_up()
    ballast = fill(rig.data, leave_kb=200)
    says(rig, "sink", "the disk is nearly full")  # the oldest rows go; where even that fails, frames wait
    offered = rig.offered()
    rig.until(lambda: rig.offered() > offered + 1000, "1,000 more are offered")
    ballast.unlink()
    rig.caught_up()
    rig.end()
    account = rig.audit("--deep")
    assert account.code == 0, account.document
    assert account.of("numbered", "published") == account.of("numbered", "stored") > offered + 1000
    gone = sum(
        count for stream, unit, count, _ in rig.ledger("disk_full") if (stream, unit) == ("system_events", "row")
    )
    assert gone == account.of("numbered", "stored") - rig.stored() > 0
