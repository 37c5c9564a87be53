"""Every verb of the seed's command line runs: on a database of the seed's with rows, and on an empty one."""

import csv
import io
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import seed_file

from common.cli.main import main
from common.store.verbs import VERBS

ROOT = Path(__file__).parents[3]
T = seed_file.T

# Typed from the seed's usage text: each verb with each of its options. `tail --follow` never ends: tests below.
USAGE = [
    ["summary"],
    ["commands"],
    ["commands", "--last", "10"],
    ["commands", "--funcode", "1"],
    ["commands", "--last", "10", "--funcode", "1"],
    ["joints"],
    ["joints", "--joint", "2"],
    ["joints", "--joint", "2", "--last", "10s"],
    ["gripper"],
    ["gripper", "--last", "10s"],
    ["tracking"],
    ["tracking", "--joint", "2"],
    ["smoother"],
    ["smoother", "--joint", "2"],
    ["smoother", "--last", "10s"],
    ["requests"],
    ["requests", "--endpoint", "/api/state"],
    ["latency"],
    ["cameras"],
    ["cameras", "--cam", "front"],
    ["events"],
    ["events", "--type", "error"],
    ["events", "--level", "error"],
    ["rate"],
    ["tail"],
    ["dbstats"],
]
Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return seed_file.fill(seed_file.make(tmp_path / "telemetry.db"))


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    def run(*argv: str) -> tuple[int, str, str]:
        code = main(["query", *argv])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("is_filled", [True, False], ids=["filled", "empty"])
@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_every_verb_of_the_seed(ask: Ask, tmp_path: Path, words: list[str], is_filled: bool) -> None:
    db = seed_file.make(tmp_path / "telemetry.db")
    if is_filled:
        seed_file.fill(db)
    before = db.read_bytes()
    code, out, err = ask("--db", str(db), *words)
    assert (code, err) == (0, "")
    assert out
    code, out, err = ask("--db", str(db), "--format", "json", *words)
    assert (code, err) == (0, "")
    for document in out.splitlines() if words[0] == "tail" else [out]:
        json.loads(document)
    assert db.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["telemetry.db"]


def test_the_seeds_verbs_are_all_there() -> None:
    assert {words[0] for words in USAGE} - {"tail"} <= set(VERBS)


FORMS = [
    ["--db", "DB", "--format", "json", "commands"],
    ["--db", "DB", "commands", "--format", "json"],
    ["commands", "--db", "DB", "--json"],
    ["--json", "commands", "--db", "DB"],
    ["--format", "table", "commands", "--format", "json", "--db", "DB"],
]


@pytest.mark.parametrize("words", FORMS, ids=" ".join)
def test_options_before_the_verb_and_after_it(ask: Ask, db: Path, words: list[str]) -> None:
    _, out, _ = ask(*[str(db) if word == "DB" else word for word in words])
    assert [row["seq"] for row in json.loads(out)] == [1, 3, 2]


def test_last_is_rows_or_a_time(ask: Ask, db: Path) -> None:
    _, out, _ = ask("--db", str(db), "--json", "commands", "--last", "2")
    assert [row["seq"] for row in json.loads(out)] == [3, 2]
    _, out, _ = ask("--db", str(db), "--json", "commands", "--last", "1.5s", "--to", str(T + 3.25))
    assert [row["seq"] for row in json.loads(out)] == [3, 2]
    _, out, _ = ask("--db", str(db), "--json", "commands", "--from", str(T + 2), "--to", str(T + 3))
    assert [row["seq"] for row in json.loads(out)] == [3]  # up to, not including


def test_a_table_has_its_numbers_on_the_right(ask: Ask, db: Path) -> None:
    _, out, _ = ask("--db", str(db), "latency")
    lines = out.splitlines()
    assert len({len(line.rstrip()) for line in lines}) == 1
    assert lines[0].split() == ["endpoint", "count", "mean_ms", "p50_ms", "p95_ms", "p99_ms"]
    assert lines[-1].split() == ["all", "100", "50.5", "50", "95", "99"]


def test_tracking_is_summed_up_for_people(ask: Ask, db: Path) -> None:
    _, out, _ = ask("--db", str(db), "tracking", "--joint", "2")
    assert out.splitlines()[-1] == "joint 2: 2 samples, mean 2, max 3 degrees"
    _, out, _ = ask("--db", str(db), "tracking", "--json")
    assert [(row["joint"], row["samples"]) for row in json.loads(out)] == [
        (n, 2 if n in (2, 6) else 1) for n in range(7)
    ]


def test_the_rate_of_now(ask: Ask, db: Path) -> None:
    now = time.time()
    with closing(sqlite3.connect(db)) as conn:
        rows = [(now - i / 10, 3) for i in range(20)]
        conn.executemany("INSERT INTO dds_feedback (ts, ts_mono, funcode) VALUES (?, 0, ?)", rows)
        conn.commit()
    _, out, _ = ask("--db", str(db), "rate", "--window", "1000", "--json")
    found = json.loads(out)
    assert (found["feedback"]["total_feedback"], found["commands"]["total_commands"]) == (20, 0)
    assert found["feedback"]["by_funcode"] == {"3": 0.02}


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {words[0] for words in USAGE} - {"samples", "power"}))
def test_a_rigs_own_verbs_say_in_one_line_that_it_is_none(ask: Ask, db: Path, verb: str) -> None:
    code, out, err = ask("--db", str(db), verb)
    assert (code, out) == (1, "")
    assert "no such table here: " in err
    assert err.count("\n") == 1


def test_a_cell_is_one_line_that_no_terminal_obeys(ask: Ask, db: Path) -> None:
    with closing(sqlite3.connect(db)) as conn:
        conn.execute("INSERT INTO system_events (ts, event_type, source, detail) VALUES (1, 'e', 's', 'a\n\x1b[2Jb')")
        conn.commit()
    for verb in ("events", "tail"):
        _, out, _ = ask("--db", str(db), verb)
        assert "a\\n\\x1b[2Jb" in out
        assert len(out.splitlines()) == 4


# ---- tail


def insert(db: Path, ts: float, kind: str) -> None:
    with closing(sqlite3.connect(db)) as conn:
        conn.execute("INSERT INTO system_events (ts, event_type, source) VALUES (?, ?, 'x')", (ts, kind))
        conn.commit()


class Tail:
    """`rigbus query tail --follow --json` as a process."""

    def __init__(self, db: Path) -> None:
        command = [sys.executable, "-m", "common.cli.main", "query", "--db", str(db), "tail", "--follow", "--json"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.found: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.found.extend(json.loads(line) for line in iter(self.process.stdout.readline, ""))

    def until(self, n: int) -> list[str]:
        deadline = time.monotonic() + 60
        while len(self.found) < n and time.monotonic() < deadline:
            time.sleep(0.05)
        return [row["event_type"] for row in self.found]

    def end(self) -> tuple[int, str]:
        self.process.send_signal(2)
        code = self.process.wait(60)
        self._reader.join(60)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        err = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return code, err


def test_tail_follows_by_id_whatever_the_time_does(db: Path) -> None:
    tail = Tail(db)
    assert tail.until(2) == ["connect", "error"]
    for i, ts in enumerate([T + 99, 1.0, T + 98, T + 99]):  # forth, back, and twice the same
        insert(db, ts, f"e{i}")
    tail.until(6)
    insert(db, 0.5, "last")
    assert tail.until(7) == ["connect", "error", "e0", "e1", "e2", "e3", "last"]
    assert tail.end() == (0, "")


def test_tail_follows_an_empty_database_and_one_that_takes_its_place(tmp_path: Path) -> None:
    db = seed_file.make(tmp_path / "telemetry.db")
    tail = Tail(db)
    insert(db, 1, "first")
    assert tail.until(1) == ["first"]
    insert(db, 2, "second")
    assert tail.until(2) == ["first", "second"]
    other = seed_file.make(tmp_path / "other.db")
    for i in range(3):
        insert(other, 3, f"of another {i}")
    other.replace(db)
    assert tail.until(5)[2:] == ["of another 0", "of another 1", "of another 2"]
    assert tail.end()[0] == 0


@pytest.mark.parametrize("words", [["tail", "--last", "1m"], ["tail", "--format", "csv"], ["tail", "--last", "-1"]])
def test_tails_mistakes(ask: Ask, db: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code, out, err = ask("--db", str(db), *words)
    except SystemExit as e:
        code, (out, err) = e.code, capsys.readouterr()  # type: ignore[assignment]
    assert (code, out) == (2, "")
    assert "--" in err


# ---- export


@pytest.mark.parametrize("is_filled", [True, False], ids=["filled", "empty"])
def test_query_export_writes_every_table(ask: Ask, tmp_path: Path, is_filled: bool) -> None:
    db = seed_file.make(tmp_path / "telemetry.db")
    if is_filled:
        seed_file.fill(db)
    assert ask("--db", str(db), "export")[0] == 0
    assert ask("--db", str(db), "--format", "json", "export", "--out", str(tmp_path / "j"))[0] == 0
    for table in ("camera_health", "dds_commands", "dds_feedback", "smoother_state", "system_events", "web_requests"):
        with (tmp_path / "export" / f"{table}.csv").open(newline="") as file:
            lines = list(csv.DictReader(file))
        documents = json.loads((tmp_path / "j" / f"{table}.json").read_text())
        assert len(lines) == len(documents)
        assert bool(documents) == is_filled
        for line, document in zip(lines, documents, strict=True):
            assert line == {name: "" if value is None else str(value) for name, value in document.items()}


def test_csv_is_read_back(ask: Ask, db: Path) -> None:
    _, out, _ = ask("--db", str(db), "commands", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["seq"] for row in rows] == ["1", "3", "2"]


@pytest.mark.parametrize("before", [True, False])
def test_the_configuration_may_be_named_on_either_side_of_the_verb(
    before: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "d").mkdir()
    seed_file.fill(seed_file.make(tmp_path / "d" / "rigbus.db"))
    (tmp_path / "r.toml").write_text('node = "rig1"\n')
    options = ["--config", str(tmp_path / "r.toml"), "--data", str(tmp_path / "d"), "--json"]
    assert main(["query", *options, "events"] if before else ["query", "events", *options]) == 0
    assert json.loads(capsys.readouterr().out)
