"""The readings tree: names and bytes as the seed's users know them, periods, late data, retention, the aggregate."""

import struct
from typing import Any

import csv_oracle as oracle

T = 1_772_366_400_000_000_000  # 2026-03-01T12:00:00Z
S = 10**9
DAY = "readings/2026/03/Week_1/01"
AGGREGATE = "readings/aggregate_data.csv"


def same(rig: Any) -> None:
    assert oracle.written_samples(rig.root) == oracle.stored_samples(rig.db)


def aggregate_is_all(rig: Any) -> None:
    bodies = sorted(
        line for path in oracle.files(rig.root, "readings") for line in path.read_text().splitlines(keepends=True)[1:]
    )
    head, *body = rig.text(AGGREGATE).splitlines(keepends=True)
    assert head == "Time (ms),Acceleration\n"
    assert sorted(body) == bodies


def test_name_header_and_rows_are_the_seeds(rig: Any) -> None:
    values = struct.pack("<9h", 3, 4, 0, 0, 0, 16384, -16384, 0, 0)
    rig.samples(T + 61 * S + 5_000_000, n=3, axes=["x", "y", "z"], scale=1 / 16384, values=values, dt_ns=1_250_400)
    rig.run()
    assert rig.names("readings") == [f"{DAY}/120100.csv", AGGREGATE]
    rows = "1005.000,0.0003\n1006.250,1.0000\n1007.500,1.0000\n"
    assert rig.text(f"{DAY}/120100.csv") == f"Time (ms),Acceleration\n{rows}"
    assert rig.text(AGGREGATE) == f"Time (ms),Acceleration\n{rows}"


def test_metres_per_second_squared_become_g(rig: Any) -> None:
    rig.samples(n=1, unit="m/s²", scale=9.80665, values=struct.pack("<h", 2), dt_ns=[])
    rig.run()
    assert rig.text(f"{DAY}/120000.csv").splitlines()[1:] == ["0.000,2.0000"]


def test_weeks_of_a_month_count_from_its_first_day(rig: Any) -> None:
    for day in (0, 6, 7, 27, 30):
        rig.samples(T + day * 86_400 * S)
    rig.run()
    folders = [name.split("/")[3:5] for name in rig.names("readings") if "aggregate" not in name]
    assert folders == [["Week_1", "01"], ["Week_1", "07"], ["Week_2", "08"], ["Week_4", "28"], ["Week_5", "31"]]


def test_other_sensors_and_other_units_have_trees_of_their_own(rig: Any) -> None:
    rig.samples(sensor="frame")
    rig.samples(unit="V")
    rig.samples()
    rig.run()
    names = [name for name in rig.names() if name.endswith(".csv")]
    assert names == [
        f"{DAY}/120000.csv", AGGREGATE,
        "samples/frame/2026/03/Week_1/01/120000.csv", "samples/vibration_V/2026/03/Week_1/01/120000.csv",
    ]  # fmt: skip
    assert rig.text(names[2]).startswith("Time (ms),Acceleration\n")
    assert rig.text(names[3]).startswith("Time (ms),Magnitude\n")
    aggregate_is_all(rig)


def test_a_chunk_that_straddles_periods_is_split(make_rig: Any) -> None:
    rig = make_rig(file_s=1)
    rig.samples(T + 950_000_000)  # 100 ms: 40 rows in each
    rig.run()
    assert rig.names(DAY) == [f"{DAY}/120000.csv", f"{DAY}/120001.csv"]
    assert [len(list(oracle.records(rig.root / name))) for name in rig.names(DAY)] == [40, 40]
    same(rig)
    aggregate_is_all(rig)


def test_a_frame_slower_than_its_periods_goes_to_all_of_them(make_rig: Any) -> None:
    rig = make_rig(file_s=1)
    rig.samples(n=9, dt_ns=[S] * 6 + [-3 * S, S], nominal_hz=1.0)
    rig.run()
    assert len(rig.names(DAY)) == 7
    same(rig)


def test_late_data_of_a_closed_file_goes_to_another(make_rig: Any) -> None:
    rig = make_rig(file_s=1)
    for second in range(6):
        rig.samples(T + second * S)
        rig.run()
    rig.samples(T + 500_000_000)
    rig.samples(T + 5 * S + 500_000_000)
    rig.run()
    assert rig.names(DAY) == sorted([f"{DAY}/12000{i}.csv" for i in range(6)] + [f"{DAY}/120000-2.csv"])
    same(rig)
    aggregate_is_all(rig)


def test_live_and_late_data_interleaved_stay_in_few_files(make_rig: Any) -> None:
    """As after an outage: what was missed comes between what is new."""
    rig = make_rig()
    for i in range(200):
        rig.samples(T + i * 15 * S)
        rig.samples(T + 3600 * S + i * S // 10)
        rig.run()
    assert not [name for name in rig.names(DAY) if "-2" in name]
    same(rig)


def test_more_periods_at_once_than_files_may_be_open(make_rig: Any) -> None:
    rig = make_rig(file_s=1)
    for _ in range(3):
        for second in range(9):
            rig.samples(T + second * S)
        rig.run()
    assert len(rig.names(DAY)) == 27
    same(rig)
    aggregate_is_all(rig)
    assert len(rig.output._readings.tree.open) == 4


def test_each_commit_reaches_the_file_at_once(rig: Any) -> None:
    rig.samples()
    rig.start()
    rig.write()
    assert len(rig.text(f"{DAY}/120000.csv").splitlines()) == 81


def test_as_many_files_as_allowed_after_a_restart_too(make_rig: Any) -> None:
    rig = make_rig(file_s=1, max_files=12)
    for second in range(30):
        rig.samples(T + second * S)
        rig.run()
        if second == 20:
            rig.start()
    assert rig.names(DAY) == [f"{DAY}/1200{i:02d}.csv" for i in range(18, 30)]
    rig.start()
    for second in range(30, 60):
        rig.samples(T + second * S)
    rig.run()
    assert rig.names(DAY) == [f"{DAY}/1200{i:02d}.csv" for i in range(48, 60)]
    known = rig.rows("SELECT count(*) FROM output_files WHERE path LIKE 'readings/20%'")
    assert known == [(12,)]
    aggregate_is_all(rig)


def test_the_seeds_files_are_the_oldest(make_rig: Any) -> None:
    rig = make_rig(file_s=1, max_files=10)
    old = rig.root / "readings/2025/12/Week_5/31"
    old.mkdir(parents=True)
    for i in range(8):
        (old / f"23595{i}.csv").write_bytes(b"Time (ms),Acceleration\r\n1.250,0.9876\r\n")
    (rig.root / "readings/notes.csv").write_text("mine\n")
    for second in range(5):
        rig.samples(T + second * S)
    rig.run()
    left = [path.name for path in sorted(old.iterdir())]
    assert left == [f"23595{i}.csv" for i in range(3, 8)]
    rig.start()  # they are known now: neither set aside nor forgotten
    for second in range(5, 9):
        rig.samples(T + second * S)
    rig.run()
    assert [path.name for path in old.iterdir()] == ["235957.csv"]
    assert "1.250,0.9876" in rig.text(AGGREGATE)
    rig.samples(T + 9 * S)
    rig.run()
    assert not (rig.root / "readings/2025").exists()
    assert (rig.root / "readings/notes.csv").read_text() == "mine\n"


def test_the_aggregate_is_made_anew_when_more_of_it_is_stale_than_kept(make_rig: Any) -> None:
    rig = make_rig(file_s=1, max_files=6)
    inodes, sizes = set(), []
    for second in range(40):
        rig.samples(T + second * S)
        rig.run()
        inodes.add((rig.root / AGGREGATE).stat().st_ino)
        sizes.append((rig.root / AGGREGATE).stat().st_size)
        kept = {line for path in oracle.files(rig.root, "readings") for line in path.read_text().splitlines()[1:]}
        assert kept <= set(rig.text(AGGREGATE).splitlines())
    assert max(sizes) < 3 * sizes[5]
    assert sizes != sorted(sizes)


def test_no_aggregate_where_it_is_switched_off(make_rig: Any) -> None:
    rig = make_rig(aggregate=False)
    (rig.root / "readings").mkdir(parents=True)
    (rig.root / AGGREGATE).write_text("mine")
    rig.samples()
    rig.run()
    assert rig.text(AGGREGATE) == "mine"


def test_an_aggregate_that_was_off_for_a_while_is_made_anew(make_rig: Any) -> None:
    rig = make_rig(file_s=1)
    for i, on in enumerate((True, False, True)):
        rig.configure(file_s=1, aggregate=on)
        rig.start()
        rig.samples(T + i * S)
        rig.run()
    rig.run()
    aggregate_is_all(rig)


def test_a_chunk_that_cannot_be_read_is_refused_alone(rig: Any) -> None:
    rig.samples()
    rig.samples(T + S)
    rig.samples(T + 2 * S)
    rig.set("UPDATE sample_chunks SET data = x'00' WHERE id = 2")
    rig.run()
    assert rig.rows("SELECT table_name, row_id FROM quarantine") == [("sample_chunks", 2)]
    data = rig.rows("SELECT data FROM sample_chunks WHERE id = 1")[0][0]
    rig.set("UPDATE sample_chunks SET data = ? WHERE id = 2", data)
    assert len(list(oracle.records(rig.root / f"{DAY}/120000.csv"))) == 160
    rig.set("UPDATE quarantine SET requeued = 1")
    rig.run(2)
    assert rig.rows("SELECT count(*) FROM quarantine") == [(0,)]
    assert rig.names(DAY) == [f"{DAY}/120000-2.csv", f"{DAY}/120000.csv"]
    same(rig)
