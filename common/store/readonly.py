"""Read-only connections, and the one question the pulse daemon may ask. No numpy: daemons import this."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from common.errors import StoreError
from common.store import schema
from common.telemetry import readonly
from common.telemetry.readonly import ReadOnly, Values


def connect(path: str, busy_ms: int = 2000) -> tuple[sqlite3.Connection, bool]:
    """A read-only connection, and whether it takes the file as it stands (immutable): common/telemetry/readonly.py.

    FileNotFoundError: there is no database. StoreError: it cannot be read, or is none of ours.
    """
    with _told(path):
        conn, immutable = readonly.connect(path, busy_ms / 1000)
    try:
        with _told(path):
            _check_ours(path, conn)
    except StoreError:
        conn.close()
        raise
    return conn, immutable


class StoreFile(ReadOnly):
    """A database to ask again and again. foreign: also one that is not a rig's, with the seed's six tables, say.

    FileNotFoundError: there is no file. Every method raises StoreError where the database refuses.
    """

    def __init__(self, path: str | os.PathLike[str], *, foreign: bool = False) -> None:
        check = _check_not_newer if foreign else _check_ours
        with _told(os.path.abspath(path)):
            super().__init__(path, lambda conn: check(self.path, conn))

    def all(self, sql: str, values: Values = ()) -> list[Any]:
        with _told(self.path, there=True):
            return super().all(sql, values)

    def dicts(self, sql: str, values: Values = ()) -> list[dict[str, Any]]:
        with _told(self.path, there=True):
            return super().dicts(sql, values)


def _check_ours(path: str, conn: sqlite3.Connection) -> None:
    found = schema.version(conn)
    if not 0 < found <= len(schema.MIGRATIONS):
        raise StoreError(f"{path}: schema version {found}, this rigbus reads 1 to {len(schema.MIGRATIONS)}")


def _check_not_newer(path: str, conn: sqlite3.Connection) -> None:
    if schema.version(conn):
        _check_ours(path, conn)


@contextmanager
def _told(path: str, there: bool = False) -> Iterator[None]:
    """sqlite3.Error as StoreError. there: the file was there before, so that it being gone is one, too."""
    try:
        yield
    except sqlite3.Error as e:
        missing = re.search(r"no such table: (?:\w+\.)?(\w+)", str(e))
        raise StoreError(f"{path}: {f'no such table here: {missing[1]}' if missing else e}") from e
    except FileNotFoundError as e:
        if not there:
            raise
        raise StoreError(str(e)) from e


def lifetime_total(path: str | os.PathLike[str], channel: str) -> int | None:
    """The highest lifetime count stored for a meter channel; None where there is no database or no such row.

    StoreError: there is one, and it cannot be read. It looks at every pulse there is: once at a start, never in a loop.
    """
    try:
        conn, _ = connect(os.path.abspath(path))
    except FileNotFoundError:
        return None
    try:
        total = conn.execute("SELECT max(total) FROM pulses WHERE channel = ?", (channel,)).fetchone()[0]
    except sqlite3.Error as e:
        raise StoreError(f"{os.fspath(path)}: {e}") from e
    finally:
        conn.close()
    return None if total is None else int(total)
