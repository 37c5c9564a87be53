"""Databases of every schema version there was (tests/data/schema), opened with the code of today."""

import lzma
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from common.cli import main as cli
from common.errors import StoreError
from common.store import readonly, schema
from common.store.recount import recount
from common.store.verbs import VERBS
from common.store.writer import Store

ROOT = Path(__file__).parents[3]
FILES = ROOT / "tests/data/schema"
NEWEST = len(schema.MIGRATIONS)
Content = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def of_version(path: Path) -> Callable[[int], Path]:
    """of_version(n) → the database of that version, where a store would lie."""

    def make(number: int) -> Path:
        path.write_bytes(lzma.decompress((FILES / f"v{number}.db.xz").read_bytes()))
        return path

    return make


def content(path: Path, like: Content | None = None) -> Content:
    """Table → its rows, whole; of the tables and columns that another content has."""
    with closing(sqlite3.connect(path)) as conn:
        names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
        tables = [t for (t,) in conn.execute(names)] if like is None else [t for t in like if "." not in t]
        found: Content = {}
        for table in tables:
            columns = [row[1] for row in conn.execute(f"PRAGMA table_xinfo({table})")]
            if like is not None:
                columns = [name for (name,) in like[f"{table}.columns"]]
            found[f"{table}.columns"] = [(name,) for name in columns]
            rows = conn.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
            found[table] = sorted(rows, key=repr)
    return found


def shape(path: Path) -> dict[str, Any]:
    """What the tables and indexes are, whatever words made them."""
    with closing(sqlite3.connect(path)) as conn:
        objects = conn.execute("SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'").fetchall()
        found: dict[str, Any] = {}
        for kind, name in objects:
            pragma = "table_xinfo" if kind == "table" else "index_xinfo"
            found[f"{kind} {name}"] = sorted(row[1:] for row in conn.execute(f"PRAGMA {pragma}({name})"))
    return found


def test_there_is_a_file_of_every_version() -> None:
    found = {path.name for path in FILES.glob("*.xz")}
    assert found == {f"v{number}.db.xz" for number in range(1, NEWEST + 1)}
    for number in range(1, NEWEST + 1):
        with lzma.open(FILES / f"v{number}.db.xz") as file:
            assert int.from_bytes(file.read(100)[60:64], "big") == number  # where SQLite keeps user_version


@pytest.mark.parametrize("number", range(1, NEWEST + 1))
def test_every_row_is_still_there(of_version: Callable[[int], Path], number: int) -> None:
    path = of_version(number)
    before = content(path)
    assert {t for t, rows in before.items() if rows} >= {
        "pulses",
        "ledger",
        "quarantine",
        "pump_events",
        "dds_commands",
    }
    Store.open(path).close()
    assert content(path, before) == before
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert conn.execute("PRAGMA user_version").fetchone() == (NEWEST,)


@pytest.mark.parametrize("number", range(1, NEWEST + 1))
def test_it_becomes_what_a_new_database_is(of_version: Callable[[int], Path], tmp_path: Path, number: int) -> None:
    path = of_version(number)
    Store.open(path).close()
    Store.open(tmp_path / "new.db").close()
    assert shape(path) == shape(tmp_path / "new.db")


@pytest.mark.parametrize("number", range(1, NEWEST + 1))
def test_it_goes_on(of_version: Callable[[int], Path], maker: Any, rows: Callable[..., Any], number: int) -> None:
    path = of_version(number)
    [(last, streams)] = rows("SELECT max(pulses.id), (SELECT count(*) FROM streams) FROM pulses")
    store = Store.open(path)
    assert len(store.cursors()) == streams
    store.commit([maker.pulse(), maker.samples()])
    store.close()
    assert rows("SELECT id FROM pulses WHERE id > ?", last) == [(last + 1,)]
    assert recount(path) == []


@pytest.mark.parametrize("number", range(1, NEWEST + 1))
def test_every_question_is_answered(
    of_version: Callable[[int], Path], capsys: pytest.CaptureFixture[str], number: int
) -> None:
    """Before it is brought up to date, too: a stopped rig is not changed by looking. What it has not, it says."""
    path = of_version(number)
    before = path.read_bytes()
    for verb in VERBS:
        code = cli.main(["query", "--db", str(path), "--json", verb])
        err = capsys.readouterr().err
        assert (code, err) == (0, "") or ("no such table here" in err and err.count("\n") == 1), verb
    assert path.read_bytes() == before
    Store.open(path).close()
    for verb in VERBS:
        assert cli.main(["query", "--db", str(path), "--json", verb]) == 0, verb
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("number", range(1, NEWEST + 1))
@pytest.mark.parametrize("opened", [False, True], ids=["as it is", "up to date"])
def test_the_account_balances(
    of_version: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int, opened: bool
) -> None:
    path = of_version(number)
    if opened:
        Store.open(path).close()
    (tmp_path / "r.toml").write_text('node = "rig1"\n')
    words = ["audit", "--deep", "--config", str(tmp_path / "r.toml"), "--data", str(path.parent), "--run-dir", "/tmp/x"]
    assert cli.main([*words, "--allow-unknown"]) == 0
    assert cli.main(words) == 1  # a power cut is in it
    assert "unaccounted" not in capsys.readouterr().out


# ---- a migration that is disturbed

_KILLED = """
import os, signal, sqlite3, sys
from common.store import readonly, schema

steps, at = 0, int(sys.argv[2])

def step():
    global steps
    steps += 1
    if steps == at:
        os.kill(os.getpid(), signal.SIGKILL)

conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("PRAGMA journal_mode = WAL")
conn.set_progress_handler(step, 50)
schema.migrate(conn)
print(steps)
"""


def migrate_killed(path: Path, at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _KILLED, str(path), str(at)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("number", range(1, NEWEST))
def test_a_kill_leaves_the_old_version_or_the_new_one(of_version: Callable[[int], Path], number: int) -> None:
    path = of_version(number)
    with closing(sqlite3.connect(path)) as conn:  # enough rows for the steps that look at all of them
        names = ", ".join(row[1] for row in conn.execute("PRAGMA table_info(health)") if row[1] != "id")
        for _ in range(8):
            conn.execute(f"INSERT INTO health ({names}) SELECT {names} FROM health")
        conn.commit()
    before = content(path)
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    done = migrate_killed(copy, 0)
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout)
    assert steps > 100
    left = set()
    for at in [1, steps, *random.sample(range(1, steps + 1), 10)]:
        for name in path.parent.glob("copy.db*"):
            name.unlink()
        shutil.copy(path, copy)
        assert migrate_killed(copy, at).returncode == -signal.SIGKILL
        with closing(sqlite3.connect(copy)) as conn:
            [(version,)] = conn.execute("PRAGMA user_version").fetchall()
            assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        left.add(version)
        if version == number:
            assert content(copy) == before
        Store.open(copy).close()
        assert content(copy, before) == before
    assert left <= set(range(number, NEWEST + 1))
    assert number in left


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    path = tmp_path / "small"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can only be mounted by root")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("free_kb", [0, 40, 60])  # none for the log's index, which has 32 kB; some of the log
@pytest.mark.parametrize("number", range(1, NEWEST))
def test_a_full_disk_leaves_the_old_version(
    of_version: Callable[[int], Path], small: Path, number: int, free_kb: int
) -> None:
    path = small / "rigbus.db"
    shutil.copy(of_version(number), path)
    before = content(path)
    full = os.statvfs(small)
    (small / "fill").write_bytes(bytes(full.f_bavail * full.f_bsize - (free_kb << 10)))
    with pytest.raises(StoreError, match=r"full|disk I/O"):
        Store.open(path)
    (small / "fill").unlink()
    with closing(readonly.connect(str(path))[0]) as conn:
        assert schema.version(conn) == number
    assert content(path) == before
    Store.open(path).close()
    assert content(path, before) == before


# ---- newer than we are


@pytest.mark.parametrize("words", [["query", "pulses"], ["audit"], ["export", "pulses"], ["backup"]], ids=" ".join)
def test_a_newer_version_is_refused_in_one_line(
    of_version: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    path = of_version(NEWEST)
    with closing(sqlite3.connect(path)) as conn:
        conn.execute(f"PRAGMA user_version = {NEWEST + 1}")
    before = path.read_bytes()
    (tmp_path / "r.toml").write_text('node = "rig1"\n')
    options = ["--config", str(tmp_path / "r.toml"), "--data", str(path.parent), "--run-dir", "/tmp/x"]
    assert cli.main([*words, *options]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"schema version {NEWEST + 1}" in err
    assert err.count("\n") == 1
    assert path.read_bytes() == before
