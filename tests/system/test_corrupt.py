"""Damaged files: the rig sets them aside, says so in the ledger, and goes on with an exact account of what is lost."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from numbers_check import read_offers
from rig import ALL, WAIT_S, MakeRig, Rig

from common.journal.folder import scan_folder

RNG_SEED = 20_240
Damage = Callable[[list[Path], list[Path]], None]


@pytest.mark.parametrize("start", [0, 4096], ids=["head", "middle"])
def test_a_corrupt_store_is_set_aside_and_made_whole_from_the_journals(rig: Rig, start: int) -> None:
    rig.start(*ALL)
    rig.ready(*ALL)
    rig.until(lambda: rig.offered() > 100, "100 are offered")
    rig.caught_up()
    rig.stop("sink")
    size = rig.db.stat().st_size
    with rig.db.open("r+b") as f:
        f.seek(start)
        f.write(random.Random(RNG_SEED).randbytes(max(4096, size // 2)))
    rig.start("sink")
    rig.until(lambda: rig.ledger("store_corrupt"), "the ledger tells of the corrupt store")
    rig.caught_up()
    rig.end()
    # the journals keep what was acknowledged for a minute more: nothing is missing in the new one
    assert rig.check("numbered")["numbered"].lost == 0
    [(_, unit, count, detail)] = rig.ledger("store_corrupt")
    assert (unit, count) == ("row", None)
    assert (rig.data / detail.split(":")[0]).exists()


def flipped(own: list[Path], foreign: list[Path]) -> None:
    """Single bits, here and there, in a middle segment and in the last."""
    for path in (own[1], own[-1]):
        data = bytearray(path.read_bytes())
        rng = random.Random(RNG_SEED)
        for _ in range(10):
            data[rng.randrange(64, 60_000)] ^= 1 << rng.randrange(8)
        path.write_bytes(data)


def flipped_head(own: list[Path], foreign: list[Path]) -> None:
    """The heads of a middle segment and of the last."""
    for path in (own[1], own[-1]):
        with path.open("r+b") as f:
            f.write(random.Random(RNG_SEED).randbytes(64))


def truncated(own: list[Path], foreign: list[Path]) -> None:
    os.truncate(own[1], 40_000)
    os.truncate(own[-1], 1000)


def zeroed(own: list[Path], foreign: list[Path]) -> None:
    own[1].write_bytes(bytes(own[1].stat().st_size))
    with own[-1].open("r+b") as f:
        f.seek(8192)
        f.write(bytes(4096))


def deleted(own: list[Path], foreign: list[Path]) -> None:
    own[1].unlink()


def deleted_last(own: list[Path], foreign: list[Path]) -> None:
    own[-1].unlink()


def deleted_all(own: list[Path], foreign: list[Path]) -> None:
    shutil.rmtree(own[0].parent)


def strangers(own: list[Path], foreign: list[Path]) -> None:
    """Another journal's segment behind the last, one in place of a middle one, a copy of an own one, and junk."""
    shutil.copy(foreign[-1], own[-1].with_name(f"seg-{int(own[-1].name[4:]) + 1:010d}"))
    shutil.copy(foreign[0], own[1])
    shutil.copy(own[0], own[-1].with_name("seg-0000000099"))
    own[0].with_name("seg-0000000100").write_bytes(random.Random(RNG_SEED).randbytes(5000))
    own[0].with_name("notes.txt").write_text("not a segment")


DAMAGES: dict[str, Damage] = {
    f"numbered-{damage.__name__}": damage
    for damage in (flipped, flipped_head, truncated, zeroed, deleted, deleted_last, deleted_all, strangers)
}


def taken_by_kill(rig: Rig, src: str) -> int:
    """Numbers of a killed source that its journal, not yet damaged, does not have: they were in its queue."""
    held = scan_folder(rig.run / "journal" / src / "segments").held
    end = max(last for spans in held.values() for _, last in spans)
    return sum(seq > end for seq in read_offers(rig.offers(src))[-1].seqs.values())


def damaged_rig(rig: Rig, damages: dict[str, Damage]) -> dict[str, int]:
    """All sources at once, each with a part of its journal not yet stored; killed, damaged each in its way, and on.

    Returns what the kill itself took of each.
    """
    sources = [*damages, "numbered-foreign"]
    rig.numbered_args = {src: ["--pad", "400"] for src in sources}
    rig.start("bus", "sink", *sources)
    rig.ready(*sources)
    rig.caught_up(*sources)
    rig.stop("sink")

    def segments(src: str) -> list[Path]:
        return sorted((rig.run / "journal" / src / "segments").glob("seg-*"))

    stored = {src: segments(src)[-1] for src in sources}
    for src in sources:
        rig.until(lambda s=src: segments(s)[-4] >= stored[s], f"{src} has three new segments")
    rig.kill(*sources)
    killed = {src: taken_by_kill(rig, src) for src in damages}
    fresh = {src: [path for path in segments(src) if path > stored[src]] for src in sources}
    for src, damage in damages.items():
        damage(fresh[src], fresh["numbered-foreign"])
    rig.start("sink", *sources)
    rig.ready(*sources)
    query = "SELECT count(*), sum(closed > 0) FROM streams WHERE src = ?"
    for src in sources:
        rig.until(lambda s=src: rig.rows(query, s) == [(2, 1)], f"the first run of {src} is closed")
    rig.caught_up(*sources)
    rig.end()
    return killed


def test_damaged_journals_open_and_what_is_missing_is_named(make_rig: MakeRig) -> None:
    rig = make_rig("journal.max_bytes = 1048576")
    killed = damaged_rig(rig, DAMAGES)
    found = rig.check(*DAMAGES, "numbered-foreign")
    assert all(f.stored > 100 for f in found.values())
    lossy = {src for src in DAMAGES if found[src].lost - killed[src] > 5}
    assert lossy == set(DAMAGES) - {"numbered-flipped_head"}, (found, killed)


def test_a_garbled_counter_makes_the_end_unknown_and_nothing_else(rig: Rig) -> None:
    rig.start("bus", "sink", "numbered")
    rig.ready("numbered")
    rig.caught_up()
    rig.kill("numbered")
    counter = rig.data / "journal" / "numbered" / "counter"
    counter.write_bytes(random.Random(RNG_SEED).randbytes(4096))
    rig.start("numbered")
    rig.ready("numbered")
    rig.until(lambda: rig.ledger("power_cut"), "the ledger says that the end is unknown")
    rig.caught_up()
    rig.end()
    rig.check("numbered", unknown=True)
    assert rig.audit().code == 1
    assert [row[2] for row in rig.ledger("power_cut")] == [None]
    assert counter.with_suffix(".bad").exists()


def test_the_run_folder_is_removed_while_all_run(rig: Rig) -> None:
    """The bus ends, to be started again by whoever supervises it; the others find their way by themselves."""
    rig.start(*ALL)
    rig.ready(*ALL)
    rig.caught_up()
    shutil.rmtree(rig.run)
    assert rig.processes.pop("bus").wait(WAIT_S) == 1
    rig.start("bus")
    rig.ready(*ALL)
    before = rig.offered()
    rig.until(lambda: rig.offered() > before + 200, "200 more are offered")
    rig.caught_up()
    rig.end()
    rig.check("numbered")
