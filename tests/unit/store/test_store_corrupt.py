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


def damage_old_page(path: Path) -> None:
    """A page that a writer never touches: only a look at all of them finds it."""
    damage_table(path, "pulses")


@pytest.mark.parametrize(
    "damage", [damage_old_page, damage_header, damage_schema, damage_streams, cut_in_half, cut_to_nothing]
)
def test_a_corrupt_database_is_set_aside_at_open(path: Path, maker: Any, rows: Any, damage: Any) -> None:
    store = Store.open(path)
    store.commit([maker.pulse()])
    store.close()
    damage(path)
    damaged = path.read_bytes()
    store = Store.open(path)
    assert store.cursors() == {}
    (aside,) = asides(path)
    assert aside.read_bytes() == damaged
    ((stream_id, unit, count, cause, detail),) = rows("SELECT stream_id, unit, count, cause, detail FROM ledger")
    assert (stream_id, unit, count, cause) == (None, "row", None, "store_corrupt")
    assert str(aside) in detail
    store.commit([Lost(maker.key, 1, 1, "trimmed", 0, 0), maker.pulse()])
    store.close()
    Store.open(path).close()
    assert asides(path) == [aside]


def test_corruption_found_at_work(path: Path, maker: Any, rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a database too large to be looked through at each start."""
    monkeypatch.setattr(database, "CHECK_BYTES", 0)
    store = Store.open(path)
    store.commit([maker.pulse()])
    store.close()
    damage_table(path, "pulses")
    store = Store.open(path)
    assert store.cursors() == {maker.key: Cursor(1, 0)}
    with pytest.raises(StoreError, match=r"malformed.*corrupt-"):
        store.commit([maker.pulse()])
    assert store.cursors() == {}
    assert len([aside for aside in asides(path) if aside.suffix.endswith("Z")]) == 1
    assert rows("SELECT cause, count FROM ledger") == [("store_corrupt", None)]
    store.commit([Lost(maker.key, 1, 2, "trimmed", 0, 0)])
    assert store.cursors() == {maker.key: Cursor(2, 0)}
    store.close()


def test_the_log_goes_aside_with_its_database(path: Path, maker: Any) -> None:
    store = Store.open(path)
    store.commit([maker.pulse()])
    log = Path(f"{path}-wal").read_bytes()
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    assert "malformed" in str(store._failed(error))
    (aside,) = [found for found in asides(path) if found.name.endswith("-wal")]
    assert aside.read_bytes() == log
    old = sqlite3.connect(str(aside).removesuffix("-wal"))
    assert old.execute("SELECT count(*) FROM pulses").fetchone() == (1,)
    old.close()
    store.close()


def test_every_corrupt_database_is_kept_and_named(path: Path, rows: Any) -> None:
    for _ in range(3):
        Store.open(path).close()
        damage_header(path)
    Store.open(path).close()
    assert len(asides(path)) == 3
    details = [detail for (detail,) in rows("SELECT detail FROM ledger ORDER BY id")]
    assert [detail.split(":")[0] for detail in details] == [str(aside) for aside in asides(path)]
