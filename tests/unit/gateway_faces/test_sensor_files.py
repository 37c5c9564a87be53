"""The readings tree as the sensor face sees it: names, ends of files, ZIPs. No rig, only folders."""

import io
import os
import zipfile

import pytest

from common.gateway import sensor_files

DAY = "2026/11/Week_4/22"


@pytest.fixture
def root(tmp_path):
    def add(name, text="Time (ms),Acceleration\n1.250,1.0001\n2.500,\n"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    for name in (f"{DAY}/120000.csv", f"{DAY}/120100.csv", f"{DAY}/120100-2.csv", "2025/12/Week_5/31/235959.csv"):
        add(name)
    for name in ("120000.csv.orphan", "x.csv", "1200.csv", "23/120000.csv"):
        add(f"{DAY}/{name}")
    for name in ("aggregate_data.csv", "2026/11/120000.csv", "2026/11/Week_44/22/120000.csv"):
        add(name)
    return tmp_path


def test_only_files_of_the_tree_newest_first(root):
    assert sensor_files.names(root) == [
        f"{DAY}/120100.csv", f"{DAY}/120100-2.csv", f"{DAY}/120000.csv", "2025/12/Week_5/31/235959.csv",
    ]  # fmt: skip


def test_a_folder_that_is_not_there_has_none(tmp_path):
    assert sensor_files.names(tmp_path / "nothing") == []


def test_links_and_other_things_are_no_files(root):
    os.symlink(root / f"{DAY}/120000.csv", root / f"{DAY}/130000.csv")
    os.symlink(root / "2026", root / "2027")
    os.mkfifo(root / f"{DAY}/140000.csv")
    (root / f"{DAY}/150000.csv").mkdir()
    assert len(sensor_files.names(root)) == 4


def test_a_link_in_place_of_a_file_is_not_opened(root):
    os.symlink(root / f"{DAY}/120000.csv", root / f"{DAY}/130000.csv")
    with pytest.raises(OSError, match="symbolic"):
        sensor_files.open_one(root, f"{DAY}/130000.csv")


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        (f"{DAY}/120000.csv", f"{DAY}/120000.csv"),
        ("120100.csv", f"{DAY}/120100.csv"),
        ("235959.csv", "2025/12/Week_5/31/235959.csv"),
        ("aggregate_data.csv", None),
        (f"../{DAY}/120000.csv", None),
        (f"{DAY}/../22/120000.csv", None),
        (f"/{DAY}/120000.csv", None),
        ("", None),
    ],
)
def test_a_name_is_one_of_the_list_or_none(root, asked, meant):
    assert sensor_files.pick(sensor_files.names(root), asked) == meant


def test_the_newest_of_a_name_that_many_days_have():
    known = ["2026/11/Week_4/22/120000.csv", "2026/11/Week_3/21/120000.csv"]
    assert sensor_files.pick(known, "120000.csv") == known[0]


def test_the_end_of_a_file_without_the_row_that_is_being_written(root):
    name = f"{DAY}/120000.csv"
    (root / name).write_text("Time (ms),Acceleration\n1.250,1.0001\n2.500,\n3.0ms,2\nx,y\n9999,3.14159\n5.0,1.")
    found = [(p["timestamp"], p["acceleration"]) for p in sensor_files.tail(root, name)]
    assert found == [
        ("2026-11-22T12:00:00.001250+00:00", 1.0001),
        ("2026-11-22T12:00:00.002500+00:00", None),
        ("2026-11-22T12:00:00.003000+00:00", 2.0),
        ("2026-11-22T12:00:09.999000+00:00", 3.1416),
    ]


@pytest.mark.parametrize("rows", [0, 1, 999, 1000, 1001, 100_000])
def test_the_last_thousand_points(root, rows):
    name = f"{DAY}/120000.csv"
    (root / name).write_text("Time (ms),Acceleration\n" + "".join(f"{i}.500,{i % 10}.0000\n" for i in range(rows)))
    found = sensor_files.tail(root, name)
    assert len(found) == min(rows, 1000)
    if rows:
        assert found[-1]["acceleration"] == (rows - 1) % 10
        assert found[0]["acceleration"] == max(0, rows - 1000) % 10


@pytest.mark.parametrize(
    "text", ["", "\n", "Time (ms),Acceleration", "\x00" * 100, "1e999,1\n2,3\n4,5\n", "a,b,c\n" * 9]
)
def test_a_file_that_is_none_has_no_points_that_are_none(root, text):
    name = f"{DAY}/120000.csv"
    (root / name).write_text(text)
    assert all(isinstance(p["acceleration"], float) for p in sensor_files.tail(root, name))


def test_the_zip_holds_the_files_as_they_are(root):
    known = sensor_files.names(root)
    big = os.urandom(700_000)
    (root / known[0]).write_bytes(big)
    os.unlink(root / known[1])  # retention was quicker
    pieces = list(sensor_files.zipped(root, known))
    assert len(pieces) > 2
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"sensor_data/{name}" for name in (known[0], *known[2:])]
        assert archive.read(f"sensor_data/{known[0]}") == big


def test_a_zip_of_nothing_is_a_zip(tmp_path):
    with zipfile.ZipFile(io.BytesIO(b"".join(sensor_files.zipped(tmp_path, [])))) as archive:
        assert archive.namelist() == []


def test_the_structure_is_year_month_week_day(root):
    known = sensor_files.names(root)
    found = sensor_files.structure(root, [*known, f"{DAY}/999999.csv"])
    assert list(found) == ["2026", "2025"]
    entries = found["2026"]["11"]["Week_4"]["22"]
    assert [entry["filename"] for entry in entries] == ["120100.csv", "120100-2.csv", "120000.csv"]
    assert entries[0]["size"] == (root / entries[0]["path"]).stat().st_size


@pytest.mark.parametrize("mtime_s", [120.0, 5e9])
def test_a_zip_of_files_from_before_the_clock_was_set(root, mtime_s):
    known = sensor_files.names(root)[:1]
    os.utime(root / known[0], (mtime_s, mtime_s))
    with zipfile.ZipFile(io.BytesIO(b"".join(sensor_files.zipped(root, known)))) as archive:
        assert archive.testzip() is None


def test_a_file_of_no_day_has_no_points(root):
    folder = root / "2026" / "13" / "Week_1" / "40"
    folder.mkdir(parents=True)
    (folder / "120000.csv").write_text("a,b\n1ms,0.5\n")
    assert sensor_files.tail(root, "2026/13/Week_1/40/120000.csv") == []
