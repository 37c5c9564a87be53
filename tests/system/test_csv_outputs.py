"""CSV files of a real rig: the sink is killed and started, and every row of the store stands in one file, once."""

import random
import time

import csv_oracle as oracle
import pytest
from rig import ALL, Rig

CSV = "[sink.csv]\nenabled = true\nfile_s = 1\nmax_mb = 0.05\nmax_files = {}\n"


def delivered(rig: Rig) -> bool:
    """Whether the files have all that is stored, as the store says itself."""
    cursors = dict(rig.rows("SELECT table_name, last_id FROM output_cursors WHERE output = 'csv'"))
    tables = ("pulses", "sample_chunks", "system_events", "ledger")
    return all(cursors.get(t, 0) >= (rig.rows(f"SELECT max(id) FROM {t}")[0][0] or 0) for t in tables)


def finish(rig: Rig) -> None:
    """Stops the publishers, lets the sink write what there is, stops it too."""
    rig.stop("pulse", "highspeed", "numbered")
    rig.until(lambda: delivered(rig), "all is in the files")
    rig.end()


@pytest.mark.parametrize(
    "kills", [6, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])], ids="{}-kills".format
)
def test_every_row_once_though_the_sink_is_killed(rig: Rig, kills: int) -> None:
    rig.merge(CSV.format(100_000 if kills > 6 else 120))  # all of them are compared
    rig.start(*ALL)
    rig.ready(*ALL)
    for _ in range(kills):
        time.sleep(random.uniform(0.0, 1.5))  # not waiting for it to be ready: its start is killed too
        rig.kill("sink")
        rig.start("sink")
    rig.ready("sink")
    rig.caught_up()
    finish(rig)
    rig.check("numbered")
    root = rig.data / "csv"
    for table in ("pulses", "system_events", "ledger", "health"):
        assert oracle.differences(root, rig.db, table) == {}, rig.tail()
    assert oracle.written_samples(root) == oracle.stored_samples(rig.db)
    bodies = [line for path in oracle.files(root, "readings") for line in path.read_text().splitlines()[1:]]
    aggregate = (root / "readings/aggregate_data.csv").read_text().splitlines()
    assert sorted(aggregate[1:]) == sorted(bodies)
    assert len(bodies) > 500


def test_so_many_files_are_kept_after_a_restart_too(rig: Rig) -> None:
    rig.merge(CSV.format(4))
    rig.start("bus", "sink", "highspeed")
    rig.ready("bus", "sink", "highspeed")
    root = rig.data / "csv"
    for _ in range(2):
        rig.until(lambda: len(oracle.files(root, "readings")) == 4, "four files are there")
        first = oracle.files(root, "readings")[0]
        rig.until(lambda first=first: not first.exists(), "the oldest goes")
        assert len(oracle.files(root, "readings")) <= 4
        rig.stop("sink")
        rig.start("sink")
        rig.ready("sink")
    rig.end()
    written = oracle.written_samples(root)
    assert written
    assert written <= oracle.stored_samples(rig.db)
