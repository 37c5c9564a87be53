"""docs/store.md is what programs of others rely on: its DDL is the schema, its decoder decodes, its queries run."""

import re
import runpy
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import common
from common.store import schema
from common.store.reader import open_reader
from common.store.writer import Store

TEXT = (Path(common.__file__).parent.parent / "docs" / "store.md").read_text()
SQL = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
DDL, QUERIES = SQL[-1], SQL[:-1]
(DECODER,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def objects(script: str) -> set[tuple[str, str]]:
    conn = sqlite3.connect(":memory:")
    conn.executescript(script)
    found = {tuple(row) for row in conn.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")}
    conn.close()
    return found


def columns(script: str) -> dict[str, set[tuple[Any, ...]]]:
    """Table → its columns; index → what it is over. Migrations add columns at the end, so their order says nothing."""
    conn = sqlite3.connect(":memory:")
    conn.executescript(script)
    found: dict[str, set[tuple[Any, ...]]] = {}
    for kind, name, sql in conn.execute("SELECT type, name, sql FROM sqlite_schema").fetchall():
        if kind == "table":
            found[name] = {row[1:] for row in conn.execute(f"PRAGMA table_xinfo({name})")}
            found[name] |= {("autoincrement",)} if "AUTOINCREMENT" in sql else set()
        else:
            found[name] = {(sql,), *conn.execute(f"SELECT name FROM pragma_index_info('{name}')").fetchall()}
    conn.close()
    return found


def test_the_published_ddl_is_the_schema() -> None:
    assert columns(DDL) == columns(";".join(schema.MIGRATIONS))


def test_every_table_is_described() -> None:
    described = TEXT[TEXT.index("## What is where") : TEXT.index("## Sample chunks")]
    tables = {name for name, sql in objects(DDL) if sql.startswith("CREATE TABLE") and name != "sqlite_sequence"}
    assert {name for name in tables if f"`{name}`" not in described} == set()


@pytest.fixture
def filled(path: Path, maker: Any) -> Path:
    rng = np.random.default_rng(7)
    store = Store.open(path)
    noise = rng.normal(0, 300, (3, 80, 3)).astype("<i2")
    even = [maker.samples(n=80, values=values.tobytes()) for values in noise]
    specials = np.array([np.nan, np.inf, -np.inf, -0.0, 1.5, 3e38], "<f4").tobytes()
    edges = [maker.pulse(), maker.pulse()]
    uneven = maker.samples(n=2, dtype="<f4", values=specials, dt_ns=[5])
    late = maker.samples(n=4, values=rng.bytes(24), dt_ns=[1, 2**40, 7])
    store.commit([*even, *edges, uneven, late, maker.samples(n=1, values=b"abcdef")])
    store.health(maker.health())
    store.commit([])
    store.close()
    return path


def test_the_decoder_decodes_a_real_database(filled: Path, tmp_path: Path) -> None:
    script = tmp_path / "decoder.py"
    script.write_text(DECODER)
    decode = runpy.run_path(str(script))["decode"]
    conn = sqlite3.connect(filled)
    rows = conn.execute("SELECT t_ns, n, axes, scale, dtype, dt_ns, data FROM sample_chunks ORDER BY t_ns").fetchall()
    conn.close()
    assert {type(row[5]) for row in rows} == {int, bytes}
    with open_reader(filled) as reader:
        expected = list(reader.blocks("v"))
    assert len(rows) == len(expected) > 3
    for row, block in zip(rows, expected, strict=True):
        times, values = decode(*row)
        assert times.tolist() == block.t_ns.tolist()
        np.testing.assert_array_equal(values, block.counts.astype(float) * block.scale)
    ran = subprocess.run([sys.executable, script, filled, "v"], capture_output=True, text=True, check=True)
    assert len(ran.stdout.splitlines()) == len(rows)


def test_the_decoder_is_short_and_needs_little() -> None:
    body = DECODER[: DECODER.index("if __name__")]
    assert len([line for line in body.splitlines() if line.strip()]) <= 20
    imported = re.findall(r"^import (.*)$", DECODER, re.MULTILINE)
    assert ", ".join(imported) == "json, sqlite3, sys, numpy as np, zstandard"


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.split("\n")[0][:40])
def test_the_queries_run(filled: Path, query: str) -> None:
    conn = sqlite3.connect(filled)
    conn.execute(query).fetchall()
    conn.close()


def test_there_are_queries() -> None:
    assert len(QUERIES) >= 8
