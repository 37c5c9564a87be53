"""A store that is deleted, or set back to an older copy: the journals make it whole, as they keep what was stored."""

import shutil

import pytest
from rig import ALL, Rig


def recording(rig: Rig) -> None:
    rig.start(*ALL)
    rig.ready(*ALL)
    rig.until(lambda: rig.offered() > 100, "100 are offered")
    rig.caught_up()


def whole(rig: Rig) -> None:
    """Some time later nothing is missing."""
    before = rig.offered()
    rig.until(lambda: rig.offered() > before + 200, "200 more are offered")
    rig.caught_up()
    rig.end()
    assert rig.check("numbered")["numbered"].lost == 0


def test_the_store_is_deleted_while_the_sink_runs(rig: Rig) -> None:
    recording(rig)
    for path in rig.data.glob("rigbus.db*"):
        path.unlink()
    whole(rig)


@pytest.mark.slow
def test_the_data_folder_is_deleted_while_all_run(rig: Rig) -> None:
    """Counters and locks go with it, and the pulses' journal, which is on that disk."""
    recording(rig)
    shutil.rmtree(rig.data, ignore_errors=True)
    before = rig.offered()
    rig.until(lambda: rig.offered() > before + 200, "200 more are offered")
    rig.end()
    rig.start(*ALL)
    rig.ready(*ALL)
    rig.caught_up()
    rig.end()
    assert rig.check("numbered", totals=False)["numbered"].lost == 0


def test_an_older_copy_of_the_store_is_put_back(rig: Rig) -> None:
    recording(rig)
    rig.stop("sink")
    shutil.copy(rig.db, rig.folder / "copy.db")
    rig.start("sink")
    rig.ready("sink")
    before = rig.offered()
    rig.until(lambda: rig.offered() > before + 200, "200 more are offered")
    rig.caught_up()
    rig.stop("sink")
    shutil.copy(rig.folder / "copy.db", rig.db)
    rig.start("sink")
    rig.ready("sink")
    whole(rig)


def test_journals_in_memory_vanish_while_their_publisher_is_down(rig: Rig) -> None:
    """What the store did not have yet is lost, exactly that, and the ledger says so."""
    recording(rig)
    rig.kill("sink")
    before = rig.offered()
    rig.until(lambda: rig.offered() > before + 200, "200 more are offered")
    rig.kill("numbered", "highspeed")
    shutil.rmtree(rig.run / "journal")
    rig.start("sink", "numbered", "highspeed")
    rig.ready("sink", "numbered", "highspeed")
    rig.caught_up()
    rig.end()
    assert rig.check("numbered")["numbered"].lost > 100
    assert rig.ledger("journal_gone")
