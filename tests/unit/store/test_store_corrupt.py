"""A damaged database goes aside, is kept, and is accounted for; a new one begins."""

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from common.errors import StoreError
from common.store import database
from common.store.items import Cursor, Lost
from common.store.writer import Store


def asides(path: Path) -> list[Path]:
    return sorted(path.parent.glob("rigbus.db.corrupt-*"))


def test_a_move_aside_is_on_the_disk(path: Path, synced: list[str]) -> None:
    Store.open(path).close()
    synced.clear()
    database.set_aside(str(path))
    assert synced == [str(path.parent)]


def damage_header(path: Path) -> None:
    with path.open("r+b") as f:
        f.write(b"not a database, at all")


def damage_schema(path: Path) -> None:
    with path.open("r+b") as f:
        f.seek(100)
        f.write(os.urandom(900))


def damage_streams(path: Path) -> None:
    damage_table(path, "streams")


def damage_table(path: Path, table: str) -> None:
    conn = sqlite3.connect(path)
    (page,) = conn.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    conn.close()
    with path.open("r+b") as f:
        f.seek((page - 1) * database.PAGE_SIZE)
        f.write(b"\xa5" * database.PAGE_SIZE)


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


def test_a_move_aside_that_was_cut_short_is_finished(path: Path, maker: Any, rows: Any) -> None:
    store = Store.open(path)
    store.commit([maker.pulse()])
    log = Path(f"{path}-wal")
    kept = log.read_bytes()
    store.close()
    log.write_bytes(kept)
    path.rename(f"{path}.corrupt-20200101T000000Z")
    Store.open(path).close()
    assert rows("SELECT count(*) FROM pulses") == [(0,)]
    (aside,) = [found for found in asides(path) if found.name.endswith("-wal")]
    assert aside.read_bytes() == kept
    assert rows("SELECT count(*) FROM ledger WHERE cause = 'store_corrupt'") == [(2,)]
