"""Backup and restore of a real rig: no row is lost without an account, none stands twice, no id comes again."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import csv_oracle as oracle
import pytest
from numbers_check import check_rows
from rig import ALL, ROOT, WAIT_S, Rig

CSV = "[sink.csv]\nenabled = true\nfile_s = 1\nmax_mb = 0.05\nmax_files = 100000\n"
# small segments that go as soon as they are acknowledged: the journals do not have what the lost database had
SHORT = "[journal]\nkeep_s = 1.0\nmax_bytes = 1048576\n"
PUMP = '[pump]\npump = [{ name = "feed", step = 17, dir = 27, en = 22, steps_per_ml = 100.0 }]\n'
TABLES = ("pulses", "system_events", "ledger", "health")


def run_on(rig: Rig, numbers: int = 200) -> None:
    before = rig.offered()
    rig.until(lambda: rig.offered() >= before + numbers, f"{numbers} more are offered")
    rig.caught_up()


def delivered(rig: Rig) -> bool:
    """Whether the files have all that is stored, as the store says itself."""
    cursors = dict(rig.rows("SELECT table_name, last_id FROM output_cursors WHERE output = 'csv'"))
    return all(
        cursors.get(t, 0) >= (rig.rows(f"SELECT max(id) FROM {t}")[0][0] or 0) for t in (*TABLES, "sample_chunks")
    )


def finish(rig: Rig) -> None:
    rig.stop(*(name for name in rig.processes if name not in ("bus", "sink")))
    if "csv" in (rig.folder / "conf.d" / "test.toml").read_text():
        rig.until(lambda: delivered(rig), "all is in the files")
    rig.end()


def done(rig: Rig, *words: str, code: int = 0) -> Any:
    """The JSON that a command says; its one line on stderr where it fails."""
    found = rig.command(*words, *(["--json"] if code == 0 else []))
    assert found.returncode == code, found.stderr
    if code == 0:
        return json.loads(found.stdout)
    assert found.stderr.count("\n") == 1, found.stderr
    assert "Traceback" not in found.stderr
    return found.stderr


def backup(rig: Rig, *words: str) -> str:
    return str(done(rig, "backup", str(rig.folder / "backups"), *words)["path"])


def lose_the_database(rig: Rig) -> None:
    for path in rig.data.glob("rigbus.db*"):
        path.unlink()


def each_row_once_in_the_files(rig: Rig) -> None:
    root = rig.data / "csv"
    for table in TABLES:
        assert oracle.differences(root, rig.db, table) == {}, rig.tail()
    assert oracle.written_samples(root) == oracle.stored_samples(rig.db)


def given(rig: Rig) -> dict[str, int]:
    return dict(rig.rows("SELECT name, seq FROM sqlite_sequence"))


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_after_a_restore_all_is_there_once(rig: Rig, end: str) -> None:
    """The journals still have what the lost database had."""
    rig.merge(CSV)
    rig.start(*ALL)
    rig.ready(*ALL)
    run_on(rig)
    made = backup(rig)
    run_on(rig)
    if end == "stopped":
        finish(rig)
    else:
        rig.kill(*ALL)
    before = given(rig)
    lose_the_database(rig)
    said = done(rig, "restore", made)
    assert "journal/pulse" in said["stayed"]
    assert (said["put"], said["aside"], said["latched"]) == ([], None, [])
    old = {table: rig.rows(f"SELECT coalesce(max(id), 0) FROM {table}")[0][0] for table in TABLES}
    rig.start(*ALL)
    rig.ready(*ALL)
    run_on(rig)
    finish(rig)
    assert rig.check("numbered")["numbered"].lost == (0 if end == "stopped" else rig.audit().of("numbered", "lost"))
    each_row_once_in_the_files(rig)
    assert [row[:3] for row in rig.ledger("restored")] == [("*", "row", None)]
    assert not rig.ledger("pruned")  # the gap in the ids is no loss
    for table, last in old.items():
        new = rig.rows(f"SELECT min(id) FROM {table} WHERE id > ?", last)[0][0]
        assert new > before.get(table, 0), f"{table}: ids are given again"


def test_what_the_journals_have_let_go_of_is_accounted_for(rig: Rig) -> None:
    rig.merge(CSV + SHORT)
    rig.numbered_args["numbered"] = ["--pad", "4000"]
    rig.start(*ALL)
    rig.ready(*ALL)
    run_on(rig, 50)
    made = backup(rig)
    segments = rig.run / "journal" / "numbered" / "segments"
    first = {path.name for path in segments.glob("seg-*")}
    rig.until(lambda: not first & {path.name for path in segments.glob("seg-*")}, "the segments of then are gone")
    finish(rig)
    lose_the_database(rig)
    done(rig, "restore", made)
    rig.start(*ALL)
    rig.ready(*ALL)
    run_on(rig)
    finish(rig)
    assert rig.check("numbered")["numbered"].lost > 0
    assert rig.ledger("trimmed")
    each_row_once_in_the_files(rig)
    assert list((rig.data / "csv").rglob("*.orphan"))  # what came back from nowhere else is still to be had


def test_a_new_card_goes_on_from_the_backup_and_knows_what_it_does_not_know(rig: Rig) -> None:
    rig.merge(PUMP)
    daemons = (*ALL, "pump")
    rig.start(*daemons)
    rig.ready(*daemons)
    run_on(rig)
    rig.until(lambda: "pumps" in rig.status("pump"), "the pump can be asked")
    assert rig.command("pump", "prime", "feed", "0.2s").returncode == 0
    made = backup(rig)
    run_on(rig)
    finish(rig)
    shutil.rmtree(rig.data)
    shutil.rmtree(rig.run)
    said = done(rig, "restore", made)
    assert set(said["put"]) == {"journal/pulse", "journal/highspeed", "journal/numbered", "journal/pump", "pump"}
    assert said["latched"] == ["pump"]
    totals = dict(rig.rows("SELECT channel, max(total) FROM pulses GROUP BY channel"))
    account = rig.audit()
    assert account.code == 1  # the runs of then went on, nobody knows how far
    assert {s["src"] for s in account.document["streams"] if s["unknown"]} >= {"pulse", "highspeed", "numbered"}
    rig.start(*daemons)
    rig.ready(*daemons)
    rig.until(lambda: "pumps" in rig.status("pump"), "the pump can be asked")
    refused = rig.command("pump", "prime", "feed", "0.2s")
    assert refused.returncode == 1
    assert "restored" in refused.stdout + refused.stderr
    rig.until(
        lambda: rig.rows("SELECT 1 FROM pulses WHERE channel = 'import' AND total = ?", totals["import"] + 1),
        "counting goes on",
    )
    rig.stop(*(name for name in rig.processes if name not in ("bus", "sink")))
    rig.end()
    faults = check_rows(rig.db, totals=False)
    assert not faults
    assert rig.audit("--deep").code == 1
    account = rig.audit("--deep", "--allow-unknown")
    assert account.code == 0, account.document
    assert account.sum("published") == account.sum("stored") + account.sum("lost")


def test_a_card_on_which_rigbus_has_run_already(rig: Rig) -> None:
    """--all: its own beginnings are set aside, and nothing of them is lost."""
    rig.start(*ALL)
    rig.ready(*ALL)
    run_on(rig)
    made = backup(rig)
    finish(rig)
    shutil.rmtree(rig.data)
    shutil.rmtree(rig.run)
    rig.offers("numbered").unlink()
    rig.start(*ALL)
    rig.ready(*ALL)
    run_on(rig, 50)
    finish(rig)
    told = done(rig, "restore", made, "--all", code=1)
    assert "journal/pulse" in told
    assert "rigbus.db" in told
    said = done(rig, "restore", made, "--all", "--force")
    aside = Path(said["aside"])
    assert (aside / "rigbus.db").exists()
    assert (aside / "journal/pulse/counter").exists()
    assert list((aside / "run/journal/numbered/segments").iterdir())
    rig.offers("numbered").unlink()
    rig.start(*ALL)
    rig.ready(*ALL)
    run_on(rig)
    finish(rig)
    assert not check_rows(rig.db, totals=False)
    assert rig.audit("--deep", "--allow-unknown").code == 0


def test_a_restore_is_refused_while_the_rig_runs_and_where_data_is_in_the_way(rig: Rig) -> None:
    rig.start("bus", "sink", "pulse")
    rig.ready("bus", "sink", "pulse")
    made = backup(rig)
    assert "stop it first" in done(rig, "restore", made, "--force", code=1)
    rig.stop("sink")
    assert "pulse" in done(rig, "restore", made, "--force", code=1)
    rig.end()
    before = rig.db.read_bytes()
    assert "--force" in done(rig, "restore", made, code=1)
    assert rig.db.read_bytes() == before
    assert not (rig.data / "restoring").exists()
    said = done(rig, "restore", made, "--force")
    assert (Path(said["aside"]) / "rigbus.db").read_bytes() == before


def test_every_backup_of_a_busy_rig_is_consistent(rig: Rig) -> None:
    rig.start(*ALL)
    rig.ready(*ALL)
    run_on(rig, 50)
    for _ in range(5):
        db = Path(backup(rig, "--keep", "2")) / "rigbus.db"
        faults = check_rows(db)
        assert not faults
        assert not list(db.parent.glob("rigbus.db-*"))
    assert len(list((rig.folder / "backups").glob("rigbus-*"))) == 2
    finish(rig)
    rig.check("numbered")


def test_a_restore_that_is_killed_is_done_again(rig: Rig) -> None:
    """Wherever it is: nothing of what was there is lost, and no sink begins an empty database meanwhile."""
    rig.start(*ALL)
    rig.ready(*ALL)
    run_on(rig)
    made = backup(rig)
    run_on(rig)
    finish(rig)
    lost = rig.db.read_bytes()
    cut = 0
    for _ in range(60):  # a quick machine has often done it before the signal
        if cut > 3:
            break
        command = [sys.executable, "-m", "common.cli.main", "restore", made, "--force", *rig.options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        restoring = rig.data / "restoring"
        deadline = time.monotonic() + WAIT_S
        while not (restoring.exists() or process.poll() is not None):
            assert time.monotonic() < deadline, "it does not begin"
            time.sleep(0.0005)
        time.sleep(random.choice((0.0, random.uniform(0.0, 0.03), random.uniform(0.0, 0.15))))
        process.send_signal(signal.SIGKILL)
        cut += process.wait(WAIT_S) != 0
        kept = [rig.db, *rig.data.glob("before-restore-*/rigbus.db")]
        assert any(path.exists() and path.read_bytes() == lost for path in kept)
        assert rig.db.exists() or restoring.exists()
        if not rig.db.exists():
            rig.start("sink")
            assert rig.processes.pop("sink").wait(WAIT_S) == 1
            assert "cut short" in rig.tail()
    assert cut > 3
    done(rig, "restore", made, "--force")
    rig.start(*ALL)
    rig.ready(*ALL)
    run_on(rig)
    finish(rig)
    assert rig.check("numbered")["numbered"].lost == 0


def test_a_disk_without_room_for_it(rig: Rig, small_disk: Any) -> None:
    rig.start("bus", "sink", "pulse")
    rig.ready("bus", "sink", "pulse")
    rig.until(lambda: rig.rows("SELECT 1 FROM pulses"), "pulses are stored")
    rig.end()
    small = rig.folder / "small"
    small_disk(small, 2000)
    assert "are free" in done(rig, "backup", str(small), code=1)
    assert [path.name for path in small.iterdir()] == [".rigbus-backup.lock"]
