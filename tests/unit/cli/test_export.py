"""`rigbus export`: what the files hold, and that a file is whole or not there."""

import base64
import csv
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import seed_file

from common.cli.main import main
from common.errors import RigbusError, StoreError
from common.export import pages, writers
from common.export.run import Order, export
from common.frames import Event, Pulse, Samples
from common.store.items import Item, StreamKey, Taken
from common.store.readonly import StoreFile
from common.store.results import ALL, Range
from common.store.writer import Store

ROOT = Path(__file__).parents[3]
T, S, STEP = 1_760_000_000 * 10**9, 10**9, 1_250_000
KEY = StreamKey("rig1", "daemon", "0" * 16)
Ask = Callable[..., tuple[int, str, str]]


def frames_of(
    sensor: str, axes: list[str], count: int, unit: str = "g", seq: int = 0, values: Any = None
) -> list[Item]:
    """Sample i since T has the counts (i, i, …)."""
    out: list[Item] = []
    for k in range(count):
        i = np.arange(k * 80, (k + 1) * 80) if values is None else values
        raw = np.repeat(i[:, None], len(axes), 1).astype("<f4").tobytes()
        fields = {"rate_hz": 800.0, "nominal_hz": 800.0, "unit": unit, "scale": 0.5, "dtype": "<f4", "dt_ns": STEP}
        at = {"seq": seq + k + 1, "t": T + k * 80 * STEP, "mono": 1 + k * 80 * STEP}
        identity = {"node": KEY.node, "src": KEY.src, "run": KEY.run}
        frame = Samples(**identity, **at, **fields, sensor=sensor, n=80, axes=axes, values=raw)
        out.append(Taken(KEY, f"samples/{sensor}/", frame))
    return out


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "rigbus.db"
    store = Store.open(path)
    identity = {"node": KEY.node, "src": KEY.src, "run": KEY.run}
    items = frames_of("vibration", ["x", "y", "z"], 20)
    items += [
        Taken(
            KEY, "pulse/import/", Pulse(**identity, seq=21 + i, t=T + i * S, channel="import", edges=[0], total=i + 1)
        )
        for i in range(5)
    ]
    event = Event(**identity, seq=26, t=T, event_type="e", source="s", detail='a "quoted", line\nand another')
    store.commit([*items, Taken(KEY, "app/event/", event)])
    store.close()
    with closing(sqlite3.connect(path)) as conn:
        conn.execute(
            "INSERT INTO quarantine (output, table_name, row_id, reason, line, t_ns) VALUES ('o','t',1,'r',x'00ff',1)"
        )
        conn.commit()
    return path


@pytest.fixture
def ask(db: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    def run(*argv: str) -> tuple[int, str, str]:
        code = main(["export", "--db", str(db), *argv])
        return code, *capsys.readouterr()

    return run


def numbers(n: int) -> str:
    """SQL: i from 1 to n."""
    return f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n})"


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_tables_beside_the_database(ask: Ask, db: Path) -> None:
    code, out, err = ask()
    assert (code, err) == (0, "")
    with closing(sqlite3.connect(db)) as conn:
        names = {name for (name,) in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    names = {name for name in names if not name.startswith("sqlite")} - {"sample_chunks"} | {"samples-vibration"}
    assert {path.name for path in (db.parent / "export").iterdir()} == {f"{name}.csv" for name in names}
    assert f"{db.parent}/export/samples-vibration.csv  1,600 rows, in g" in out.splitlines()


def test_samples_as_rows(ask: Ask, tmp_path: Path) -> None:
    ask("samples", "--out", str(tmp_path / "s.csv"))
    rows = lines(tmp_path / "s.csv")
    assert list(rows[0]) == ["t_ns", "x", "y", "z"]
    assert [(int(row["t_ns"]), float(row["x"])) for row in rows] == [(T + i * STEP, i * 0.5) for i in range(1600)]


def test_samples_as_they_are_stored(ask: Ask, db: Path, tmp_path: Path) -> None:
    ask("samples", "--no-decode", "--out", str(tmp_path))
    rows = lines(tmp_path / "sample_chunks.csv")
    with closing(sqlite3.connect(db)) as conn:
        stored = conn.execute("SELECT n, data FROM sample_chunks ORDER BY id").fetchall()
    assert [(int(row["n"]), base64.b64decode(row["data"])) for row in rows] == stored


def test_json_and_its_bytes(ask: Ask, tmp_path: Path) -> None:
    ask("quarantine", "system_events", "--format", "json", "--out", str(tmp_path))
    [row] = json.loads((tmp_path / "quarantine.json").read_text())
    assert base64.b64decode(row["line"]) == b"\x00\xff"
    [event] = json.loads((tmp_path / "system_events.json").read_text())
    assert event["detail"] == 'a "quoted", line\nand another'


def test_parquet(ask: Ask, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="no pyarrow here")
    code, _, err = ask("--out", str(tmp_path / "p"), "--format", "parquet")
    assert (code, err) == (0, "")
    table = parquet.read_table(tmp_path / "p/samples-vibration.parquet")
    assert table.column_names == ["t_ns", "x", "y", "z"]
    assert table.column("x").to_pylist() == [i * 0.5 for i in range(1600)]
    assert table.schema.field("x").metadata == {b"unit": b"g"}
    assert table.schema.field("t_ns").metadata == {b"unit": b"ns"}
    pulses = parquet.read_table(tmp_path / "p/pulses.parquet").to_pylist()
    assert [row["total"] for row in pulses] == [1, 2, 3, 4, 5]
    assert parquet.read_table(tmp_path / "p/quarantine.parquet").to_pylist()[0]["line"] == b"\x00\xff"
    assert parquet.read_table(tmp_path / "p/ledger.parquet").num_rows == 0


def test_the_ending_of_out_is_its_format(ask: Ask, tmp_path: Path) -> None:
    ask("pulses", "--out", str(tmp_path / "x.json"))
    assert [row["total"] for row in json.loads((tmp_path / "x.json").read_text())] == [1, 2, 3, 4, 5]


RANGES = [
    (["--last", "2"], [4, 5], 2),
    (["--from", str(T // S + 1), "--to", str(T // S + 3)], [2, 3], 800),
    (["--last", "1s", "--to", str(T // S + 1)], [1], 800),
    (["--last", "100"], [1, 2, 3, 4, 5], 100),
    (["--from", "1", "--to", "2"], [], 0),
]


@pytest.mark.parametrize(("words", "totals", "samples"), RANGES)
def test_ranges(ask: Ask, tmp_path: Path, words: list[str], totals: list[int], samples: int) -> None:
    code, _, _ = ask("pulses", "samples", "--out", str(tmp_path / "o"), *words)
    assert code == 0
    assert [int(row["total"]) for row in lines(tmp_path / "o/pulses.csv")] == totals
    path = tmp_path / "o/samples-vibration.csv"
    found = [int(row["t_ns"]) for row in lines(path)] if path.exists() else []
    if "--from" in words:
        assert found == [T + i * STEP for i in range(800, 1600)][:samples]
    else:
        assert len(found) == samples
        assert found == sorted(found)


def test_a_file_a_sensor_and_another_where_its_axes_or_unit_change(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "rigbus.db")
    items = frames_of("a/b", ["x"], 2) + frames_of("a/b", ["x"], 2, "m/s²", 2) + frames_of("c", ["p", "q"], 2, seq=4)
    store.commit(items)
    store.close()
    assert main(["export", "--db", str(tmp_path / "rigbus.db"), "samples", "--out", str(tmp_path / "o")]) == 0
    found = {path.name: len(lines(path)) for path in (tmp_path / "o").iterdir()}
    assert found == {"samples-a_b.csv": 160, "samples-a_b-2.csv": 160, "samples-c.csv": 160}


def test_what_is_not_a_number_is_empty(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "rigbus.db")
    store.commit(frames_of("v", ["x"], 1, values=np.array([np.nan] * 40 + [1.0] * 40)))
    store.close()
    for form in ("csv", "json"):
        main(["export", "--db", str(tmp_path / "rigbus.db"), "samples", "--out", str(tmp_path / f"s.{form}")])
    assert [row["x"] for row in lines(tmp_path / "s.csv")] == [""] * 40 + ["0.5"] * 40
    assert [row["x"] for row in json.loads((tmp_path / "s.json").read_text())] == [None] * 40 + [0.5] * 40


# ---- a file is whole or not there


def test_nothing_is_written_over_unasked(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "pulses.csv").write_text("mine")
    code, out, err = ask("pulses", "--out", str(tmp_path))
    assert (code, out, err) == (1, "", f"rigbus: {tmp_path}/pulses.csv: is there already; --force writes over it\n")
    assert (tmp_path / "pulses.csv").read_text() == "mine"
    assert ask("pulses", "--out", str(tmp_path), "--force")[0] == 0
    assert len(lines(tmp_path / "pulses.csv")) == 5


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """A process's limit on the size of a file fails as a full disk does, within a write."""
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="no pyarrow here")
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        code, out, err = ask("samples", "--out", str(tmp_path / "o"), "--format", form)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert f"samples-vibration.{form}: " in err
    assert os.listdir(tmp_path / "o") == []


class _Stop(Exception):
    pass


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_what_breaks_off_leaves_nothing(db: Path, tmp_path: Path, form: str) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="no pyarrow here")

    def progress(done: int, of: int) -> None:
        assert [path.name[0] for path in (tmp_path / "o").iterdir()] == ["."]  # under another name
        raise _Stop

    order = Order(["pulses"], form, tmp_path / "o")
    with pytest.raises(_Stop):
        list(export(StoreFile(db), order, "pulses", progress))
    assert os.listdir(tmp_path / "o") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    db = tmp_path / "big.db"
    with closing(sqlite3.connect(db)) as conn:
        conn.executescript(seed_file.TABLES)
        conn.execute(f"INSERT INTO system_events (ts, event_type, source) {numbers(300_000)} SELECT i, 'e', 's' FROM n")
        conn.commit()
    command = [sys.executable, "-m", "common.cli.main", "export", "--db", str(db), "system_events", "--out", "o"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "o").is_dir() or not os.listdir(tmp_path / "o"):
        assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")
    assert os.listdir(tmp_path / "o") == []


def test_a_terminal_shows_a_bar_and_a_pipe_gets_the_files(db: Path, tmp_path: Path) -> None:
    mine, its = pty.openpty()
    command = [sys.executable, "-m", "common.cli.main", "export", "--db", str(db), "pulses", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=its, text=True, timeout=60, check=True)
    os.close(its)
    told = os.read(mine, 65536).decode()
    os.close(mine)
    assert done.stdout == f"{tmp_path}/pulses.csv  5 rows\n"
    assert "pulses" in told
    assert "100%" in told


def test_a_value_that_parquet_cannot_hold_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow", reason="no pyarrow here")
    db = seed_file.make(tmp_path / "t.db")
    with closing(sqlite3.connect(db)) as conn:
        conn.execute("INSERT INTO dds_commands (ts, ts_mono, funcode, seq) VALUES (1, 1, 1, 'seven')")
        conn.commit()
    assert main(["export", "--db", str(db), "dds_commands", "--out", str(tmp_path / "x.parquet")]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "seq: a value is no int64" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.db"]


def test_parquet_without_pyarrow_names_the_extra(ask: Ask, monkeypatch: pytest.MonkeyPatch, db: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, out, err = ask("--format", "parquet")
    assert (code, out) == (1, "")
    assert err == "rigbus: parquet needs pyarrow: .venv/bin/pip install -e '.[export]'\n"
    assert not (db.parent / "export").exists()


MISTAKES = [
    (["nothing"], 2, "no such table here: nothing; there are "),
    (["--last", "soon"], 2, "--last soon"),
    (["--from", "2", "--to", "1"], 2, "--from 2: after to 1"),
    (["samples", "--last", "5", "--to", "99"], 1, "samples: the newest N of a time"),
    (["--db", "/nowhere/x.db"], 1, "/nowhere/x.db: no database there"),
]


@pytest.mark.parametrize(("words", "code", "told"), MISTAKES)
def test_a_mistake_of_an_export_is_one_line(ask: Ask, words: list[str], code: int, told: str) -> None:
    found, out, err = ask(*words)
    assert (found, out) == (code, "")
    assert told in err
    assert err.count("\n") == 1


# ---- while somebody writes


def test_it_reads_up_to_the_last_row_of_the_start_and_holds_nothing_in_between(db: Path) -> None:
    """Between two pages a writer may do all, the log's checkpoint and a change of the schema among it."""
    with closing(sqlite3.connect(db)) as conn:
        conn.execute("DELETE FROM pulses")
        many = f"{numbers(25_000)} SELECT i, 'c', i, 1, 1 FROM n"
        conn.execute(f"INSERT INTO pulses (t_ns, channel, total, stream_id, frame_seq) {many}")
        conn.commit()
    totals: list[int] = []
    with closing(sqlite3.connect(db)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        for i, page in enumerate(pages.pages(StoreFile(db), "pulses", ALL, lambda done, of: None)):
            totals += [row[page.columns.index(pages.Column("total", "INTEGER"))] for row in page.rows]
            writer.execute("INSERT INTO pulses (t_ns, channel, total, stream_id, frame_seq) VALUES (1, 'c', -1, 1, 1)")
            writer.execute(f"CREATE TABLE new_{i} (x)")
            writer.commit()
            busy, _, _ = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert busy == 0
    assert totals == list(range(1, 25001))


def test_another_database_in_its_place_ends_it(db: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    Store.open(other).close()
    found: Iterator[Any] = pages.pages(StoreFile(db), "pulses", ALL, lambda done, of: None)
    next(found)
    other.replace(db)
    with pytest.raises(StoreError, match="was replaced"):
        list(found)


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    """A fifth as many rows peak as high."""
    peaks = []
    for n in (20_000, 100_000):
        db = tmp_path / f"{n}.db"
        with closing(sqlite3.connect(db)) as conn:
            conn.executescript(seed_file.TABLES)
            conn.execute(f"INSERT INTO system_events (ts, event_type, source) {numbers(n)} SELECT i, 'e', 's' FROM n")
            conn.commit()
        tracemalloc.start()
        list(export(StoreFile(db, foreign=True), Order([], "csv", tmp_path / str(n)), "system_events", lambda *_: None))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_a_file_that_came_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    output = writers.Output(tmp_path / "x.csv", "csv", [pages.Column("a", "INTEGER")])
    output.begin()
    output.rows([[1]])
    (tmp_path / "x.csv").write_text("mine")
    with pytest.raises(RigbusError, match="is there already"):
        output.finish()
    output.discard()
    assert (tmp_path / "x.csv").read_text() == "mine"
    assert os.listdir(tmp_path) == ["x.csv"]


def test_the_newest_samples_of_each_sensor(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "rigbus.db")
    store.commit(frames_of("a", ["x"], 30) + frames_of("b", ["x"], 1, seq=30))
    store.close()
    found: dict[str, list[Any]] = {}
    for page in pages.pages(StoreFile(tmp_path / "rigbus.db"), "samples", Range(last=1000), lambda *_: None):
        found.setdefault(page.name, []).extend(page.rows)
    assert [row[0] for row in found["samples-a"]] == [T + i * STEP for i in range(1400, 2400)]
    assert len(found["samples-b"]) == 80


def test_what_a_killed_export_left_goes_with_the_next(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, other = tmp_path / f".a.csv.part-{ended.pid}", tmp_path / f".b.csv.part-{ended.pid}"
    living = tmp_path / f".a.csv.part-{os.getppid()}"
    for path in (left, other, living):
        path.write_text("x")
    with writers.Output(tmp_path / "a.csv", "csv", [pages.Column("n", "INTEGER", None)]) as output:
        output.rows([(1,)])
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", other.name, living.name}


@pytest.mark.parametrize(
    ("words", "out", "why"),
    [
        (["system_events"], "x.txt", "csv files end in .csv"),
        (["--format", "json", "pulses"], "x.csv", "json files end in .json"),
        (["pulses", "system_events"], "x.csv", "one table alone"),
    ],
)
def test_a_name_that_is_hardly_meant_for_a_folder(
    words: list[str], out: str, why: str, db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--db", str(db), *words, "--out", str(tmp_path / out)]) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / out).exists()
