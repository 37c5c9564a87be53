"""What a kill, a power cut or another store leaves: each row of the store stands in exactly one file afterwards."""

import os
import shutil
from pathlib import Path
from typing import Any

import csv_oracle as oracle
import pytest

T = 1_772_366_400_000_000_000  # 2026-03-01T12:00:00Z
S = 10**9
DAY = "readings/2026/03/Week_1/01"
PULSES = "pulses/2026-03-01.csv"
AGGREGATE = "readings/aggregate_data.csv"


def whole(rig: Any) -> None:
    """Every row of the store stands exactly once."""
    assert oracle.differences(rig.root, rig.db, "pulses") == {}
    assert oracle.written_samples(rig.root) == oracle.stored_samples(rig.db)
    kept = [line for path in oracle.files(rig.root, "readings") for line in path.read_text().splitlines()[1:]]
    assert sorted(rig.text(AGGREGATE).splitlines()[1:]) == sorted(kept)


def orphans(rig: Any) -> list[str]:
    return [name for name in rig.names() if name.endswith(".orphan")]


def fill(rig: Any, *seconds: int) -> None:
    for second in seconds:
        rig.samples(T + second * S)
        rig.pulses(T + second * S)


def other_boot(rig: Any) -> None:
    rig.set("UPDATE output_files SET boot_id = 'another'")


@pytest.fixture
def rig(make_rig: Any) -> Any:
    """Two pages committed, in files of a second that are still open."""
    made = make_rig(file_s=1, gzip=False)
    for seconds in ((0, 1), (1, 2)):
        fill(made, *seconds)
        made.run()
    return made


def test_a_kill_before_the_commit(rig: Any) -> None:
    fill(rig, 2, 3)
    rig.write()
    before = rig.text(PULSES)
    rig.start()
    rig.write()
    assert rig.text(PULSES) == before
    assert len(before.splitlines()) == 61
    rig.run()
    whole(rig)
    assert orphans(rig) == []  # what had been set aside stands there again


def test_a_kill_in_the_middle_of_a_row(rig: Any) -> None:
    with (rig.root / PULSES).open("a") as f:
        f.write("2026-03-01T12:00")
    fill(rig, 2)
    rig.start()
    rig.run()
    whole(rig)


def test_a_kill_before_the_first_commit_of_all(make_rig: Any) -> None:
    rig = make_rig(file_s=1)
    seed = rig.root / "pulses/2026-02-28.csv"
    seed.parent.mkdir(parents=True)
    seed.write_text("time,t_ns,channel,total,frame_seq\n")
    fill(rig, 0, 1)
    for _ in range(3):
        rig.start()
        rig.write()
    rig.run()
    whole(rig)
    assert seed.exists()
    assert orphans(rig) == []
    assert not [name for name in rig.names() if "first-page" in name]


def test_a_kill_between_commit_and_next_page(rig: Any) -> None:
    rig.start()
    rig.run()
    whole(rig)
    assert orphans(rig) == []


@pytest.mark.parametrize("harm", ["nothing", "cut", "zeros", "gone"])
def test_after_another_boot_open_files_are_written_anew(rig: Any, harm: str) -> None:
    for name in (PULSES, f"{DAY}/120001.csv", f"{DAY}/120002.csv", AGGREGATE):
        path = rig.root / name
        size = path.stat().st_size
        if harm == "cut":
            os.truncate(path, size // 2)
        elif harm == "zeros":
            path.write_bytes(path.read_bytes()[: size // 3] + bytes(size - size // 3))
        elif harm == "gone":
            path.unlink()
    other_boot(rig)
    fill(rig, 2)
    rig.start()
    rig.run()
    whole(rig)
    assert orphans(rig) == []
    assert rig.rows("SELECT count(*) FROM output_files WHERE boot_id = 'another' AND closed = 0") == [(0,)]


def test_rows_of_closed_files_are_not_read_into_others_meanwhile(make_rig: Any) -> None:
    rig = make_rig(file_s=1)
    for second in (0, 1, 2, 3, 4, 5, 0, 1):  # the first is closed, its late rows are in -2
        fill(rig, second)
        rig.run()
    other_boot(rig)
    rig.start()
    rig.run()
    whole(rig)
    assert f"{DAY}/120000-2.csv" in rig.names()


@pytest.mark.parametrize("page", [1, 3, 1000])
def test_a_kill_while_they_are_written_anew(rig: Any, page: int) -> None:
    other_boot(rig)
    fill(rig, 3)
    for pages in range(4):
        consumer = rig.start()
        consumer.feeds = [feed._replace(limit=page) for feed in consumer.feeds]
        for _ in range(pages):
            consumer._pass()
            rig.commit()
    rig.run()
    whole(rig)


def test_after_another_boot_and_a_cut_by_hand_in_this_one(rig: Any) -> None:
    """One file is to be written anew, the others are as they should be."""
    os.truncate(rig.root / PULSES, 10)
    fill(rig, 3)
    rig.start()
    rig.run()
    whole(rig)


def test_a_file_whose_first_rows_have_gone_from_the_store_stays_as_it_is(rig: Any) -> None:
    text = rig.text(PULSES)
    with (rig.root / PULSES).open("r+b") as f:
        f.seek(len(text) // 2)
        f.write(bytes(len(text) - len(text) // 2))
    rig.set("DELETE FROM pulses WHERE id <= 5")
    other_boot(rig)
    fill(rig, 3)
    rig.start()
    rig.run()
    kept = rig.text(PULSES)
    assert text.startswith(kept)
    assert kept.endswith("\n")
    assert len(kept) > len(text) // 2 - 100
    assert "kept as it is" in rig.said
    second = list(oracle.records(rig.root / "pulses/2026-03-01-2.csv"))
    assert [row["total"] for row in second] == [str(n) for n in range(41, 51)]


def test_a_store_that_was_replaced_by_an_older_one(rig: Any, tmp_path: Any) -> None:
    rig.kill()
    rig.store.close()
    shutil.copy(rig.db, tmp_path / "backup.db")
    rig.store = type(rig.store).open(rig.db)
    fill(rig, 2, 3, 4, 5, 6)
    rig.run()
    ahead = rig.text(f"{DAY}/120006.csv")
    tail = rig.text(PULSES)
    rig.kill()
    rig.store.close()
    shutil.copy(tmp_path / "backup.db", rig.db)
    rig.store = type(rig.store).open(rig.db)
    rig.seqs = {"highspeed": 4, "pulse": 4, "pulses": 40}
    fill(rig, 6)
    rig.start()
    rig.run()
    whole(rig)
    assert rig.text(f"{DAY}/120006.csv.orphan") == ahead
    (rest,) = [name for name in orphans(rig) if name.startswith("pulses")]
    assert rig.text(rest) == tail[int(rest.split("from-")[1].split(".")[0]) :]


def test_a_store_that_was_replaced_by_an_empty_one(rig: Any) -> None:
    before = {name: rig.text(name) for name in rig.names("readings/2026")} | {PULSES: rig.text(PULSES)}
    rig.kill()
    rig.store.close()
    for path in rig.data.glob("rigbus.db*"):
        path.unlink()
    rig.store = type(rig.store).open(rig.db)
    rig.seqs = {}
    fill(rig, 0, 9)
    rig.start()
    rig.run()
    assert {name: rig.text(name) for name in before} == before
    assert orphans(rig) == []
    assert [row["total"] for row in oracle.records(rig.root / "pulses/2026-03-01-2.csv")] == [
        str(n) for n in range(1, 21)
    ]
    rig.start()
    rig.run()
    assert orphans(rig) == []


def test_a_kill_between_deletion_and_commit(make_rig: Any) -> None:
    rig = make_rig(file_s=1, max_files=5)
    fill(rig, *range(9))
    rig.run()
    fill(rig, *range(9, 12))
    rig.write()
    rig.start()
    rig.run()
    assert rig.names(DAY) == [f"{DAY}/1200{i:02d}.csv" for i in range(7, 12)]
    known = rig.rows("SELECT path FROM output_files WHERE path LIKE 'readings/20%' ORDER BY path")
    assert [path for (path,) in known] == rig.names(DAY)
    assert orphans(rig) == []


def test_an_aggregate_that_was_made_anew_before_a_kill(make_rig: Any) -> None:
    rig = make_rig(file_s=1, max_files=4)
    fill(rig, *range(4))
    rig.run()
    while True:  # until it is made anew, and that is not committed
        inode = (rig.root / AGGREGATE).stat().st_ino
        fill(rig, rig.seqs["pulse"])
        rig.write()
        if (rig.root / AGGREGATE).stat().st_ino != inode:
            break
        rig.commit()
        rig.write()
    rig.start()
    rig.run()
    body = [line for path in oracle.files(rig.root, "readings") for line in path.read_text().splitlines()[1:]]
    assert set(body) <= set(rig.text(AGGREGATE).splitlines())
    lines = rig.text(AGGREGATE).splitlines()[1:]
    assert len(lines) == len(set(lines)) or len(lines) <= 2 * len(body)


def test_a_file_that_another_hand_deleted_or_changed_is_left_alone(rig: Any) -> None:
    (rig.root / f"{DAY}/120002.csv").unlink()
    with (rig.root / PULSES).open("a") as f:
        f.write("mine\n")
    fill(rig, 2)
    rig.run()
    assert len(list(oracle.records(rig.root / f"{DAY}/120002.csv"))) == 80
    assert len(list(oracle.records(rig.root / "pulses/2026-03-01-2.csv"))) == 10
    assert rig.said.count("another hand") == 2
    rig.start()
    rig.run()
    assert len(list(oracle.records(rig.root / f"{DAY}/120002.csv"))) == 80


def test_a_row_in_quarantine_waits_until_files_are_written_anew(rig: Any) -> None:
    rig.set("UPDATE sample_chunks SET data = x'00' WHERE id = 4")
    other_boot(rig)
    rig.start()
    rig.run()
    assert rig.rows("SELECT count(*) FROM quarantine") == [(0,)]  # it was delivered once


def test_a_file_of_another_boot_is_written_anew_though_the_gate_opens_late(rig: Any) -> None:
    rig.pulses(n=10)
    rig.run()
    rig.kill()
    rig.set("UPDATE output_files SET boot_id = 'another'")
    rig.pulses(t=T + 10**9, n=5)
    consumer = rig.start()
    consumer._gate.hold(dict.fromkeys(("pulses", "ledger", "health"), 0), "starting")
    rig.write()
    rig.write()
    consumer._gate.open()
    rig.run()
    assert rig.names("pulses") == ["pulses/2026-03-01.csv"]
    whole(rig)
    assert "kept as it is" not in rig.said


def test_another_folder_and_back(make_rig: Any, tmp_path: Path) -> None:
    rig = make_rig()
    other = tmp_path / "other"
    for n, folder in enumerate(("", str(other), "", "elsewhere", "")):
        rig.configure(dir=folder)
        rig.pulses(t=T + n * 10**9, n=10)
        rig.start()
        rig.run()
        rig.kill()
    assert not [name for name in rig.names() if "orphan" in name]
    assert "set aside" not in rig.said
    tops = (rig.root, other, rig.data / "elsewhere")
    lines = [line for top in tops for f in oracle.files(top, "pulses") for line in oracle.text(f).splitlines()[1:]]
    assert len(lines) == len(set(lines)) == rig.rows("SELECT count(*) FROM pulses")[0][0]
    assert all(oracle.files(top, "pulses") for top in tops)


def test_files_of_a_folder_that_was_not_there_for_once_are_still_known(rig: Any) -> None:
    for n in range(4):
        rig.samples(t=T + n * 60 * 10**9)
    rig.run()
    before = rig.names("readings")
    rig.kill()
    rig.root.rename(rig.root.with_suffix(".away"))
    rig.start()
    rig.run()
    rig.kill()
    shutil.rmtree(rig.root)
    rig.root.with_suffix(".away").rename(rig.root)
    rig.samples(t=T + 4 * 60 * 10**9)
    rig.start()
    rig.run()
    assert [name for name in rig.names("readings") if name.endswith(".csv")] >= before[:3]
    closed = {name for name in before if not name.endswith("aggregate_data.csv")}
    assert closed <= set(rig.names("readings"))


def test_files_that_were_there_stay_though_it_was_killed_before_its_first_page(make_rig: Any) -> None:
    rig = make_rig()
    old = rig.root / DAY / "110000.csv"
    old.parent.mkdir(parents=True)
    old.write_text("Time (ms),Acceleration\n0.000,1.0000\n")
    rig.start()
    rig.consumer._load()
    rig.commit()  # that it has begun, and nothing else
    rig.start()
    rig.samples()
    rig.run()
    assert old.read_text().endswith("0.000,1.0000\n")
    assert not [name for name in rig.names() if "orphan" in name]
