"""A rig to back up, and empty ones to restore to."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from backup_place import CONFIG, Place, record

from common.config.load import load
from common.latch import Latch
from common.paths import Folders
from common.pumps.records import Records


@pytest.fixture
def make_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Place]:
    """make_place(name) → a rig's configuration and empty folders, of that name."""
    for name in [name for name in os.environ if name.startswith("RIGBUS")]:
        monkeypatch.delenv(name)

    def make_one(name: str, config: str = CONFIG) -> Place:
        here = tmp_path / name
        (here / "conf.d").mkdir(parents=True)
        (here / "rigbus.toml").write_text(config)
        return Place(load(str(here / "rigbus.toml")), Folders(here / "d", here / "r"))

    return make_one


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    """One with 10 pulses stored, 15 journaled, 16 offered, a pump's records and a set emergency stop."""
    made = make_place("rig")
    made.folders.make()
    record(made.folders, 15)
    made.store(1, 10)
    (made.folders.data / "pump").mkdir()
    Records(made.folders.data / "pump" / "pump.db").close()
    Latch(made.folders.data / "pump").set("by hand")
    (made.loaded.sources[0].parent / "conf.d" / "own.toml").write_text("[sink]\ncommit_s = 2\n")
    (made.loaded.sources[0].parent / ".env").write_text("INFLUX_TOKEN=geheim\n")
    return made._replace(loaded=load(str(made.loaded.sources[0])))


@pytest.fixture
def rows() -> Callable[..., list[Any]]:
    """rows(path, sql, …) → the answer."""

    def ask(path: Path, sql: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(path)) as conn:
            return conn.execute(sql, values).fetchall()

    return ask
