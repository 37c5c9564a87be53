"""The stand-alone file: the seed's six tables, made where missing, completed where an older module made them."""

import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from .rows import INSERT, Row
from .schema import NAMES, TABLES

BUSY_S = 2.0  # how long another writer may hold the lock before a write fails, to be tried again
_STEP_ROWS = 5000  # retention goes in steps, so that nothing waits for it
DAY_S = 86_400
# What the data of a row can raise, as against the disk or another process: such a row fails for ever.
POISON = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    TypeError,
    ValueError,
)


def init_db(db_path: str | os.PathLike[str]) -> sqlite3.Connection:
    """Opens a telemetry file in WAL mode; its folder, the six tables and their indexes are made where missing.

    Columns that a file of the seed's own module lacks are added. Raises OSError, sqlite3.Error.
    """
    path = Path(db_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    conn = sqlite3.connect(path, timeout=BUSY_S)
    try:
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = NORMAL")
        _complete(conn)
    except BaseException:
        conn.close()
        raise
    return conn


def _complete(conn: sqlite3.Connection) -> None:
    script = TABLES.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ")
    statements = script.replace("CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ")
    present = {row[0] for row in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not present.issuperset(NAMES):
        conn.executescript(f"BEGIN IMMEDIATE;{statements}COMMIT;")
    model = sqlite3.connect(":memory:")
    try:
        model.executescript(TABLES)
        for table in NAMES:
            found = {row[1] for row in conn.execute(f"PRAGMA table_info({table})")}
            for _, name, kind, *_ in model.execute(f"PRAGMA table_info({table})").fetchall():
                if name not in found:
                    conn.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    finally:
        model.close()
    conn.commit()


class Database:
    """One connection, used by one thread at a time; opened anew after an error, and where the file was taken away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._conn: sqlite3.Connection | None = None
        self._file = (0, 0)

    def write(self, rows: Sequence[tuple[str, Row]]) -> list[tuple[str, str]]:
        """Stores rows in one transaction; returns (table, reason) of those that no table can ever take.

        Raises sqlite3.Error or OSError where nothing was stored.
        """
        conn = self._connection()
        by_table: dict[str, list[Row]] = {}
        for table, row in rows:
            by_table.setdefault(table, []).append(row)
        try:
            try:
                with conn:
                    for table, some in by_table.items():
                        conn.executemany(INSERT[table], some)
                return []
            except POISON:
                return self._write_each(conn, rows)
        except sqlite3.Error:
            self.close()
            raise

    def _write_each(self, conn: sqlite3.Connection, rows: Sequence[tuple[str, Row]]) -> list[tuple[str, str]]:
        refused = []
        with conn:
            conn.execute("BEGIN")
            for table, row in rows:
                try:
                    conn.execute(INSERT[table], row)
                except POISON as e:
                    refused.append((table, f"{type(e).__name__}: {e}"))
        return refused

    def delete_old(self, table: str, days: float) -> bool:
        """Deletes a step of the rows older than so many days; True where more may be left. Raises as write()."""
        conn = self._connection()
        try:
            with conn:
                query = f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE ts < ? LIMIT {_STEP_ROWS})"
                return conn.execute(query, (time.time() - days * DAY_S,)).rowcount == _STEP_ROWS
        except sqlite3.Error:
            self.close()
            raise

    def _connection(self) -> sqlite3.Connection:
        # rows written to a file that was deleted or moved away would be gone, and nobody would know
        if self._conn is not None and self._place() != self._file:
            self.close()
        if self._conn is None:
            try:
                self._conn = init_db(self.path)
            except sqlite3.DatabaseError as e:
                if getattr(e, "sqlite_errorcode", 0) not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                    raise
                self._set_aside()
                self._conn = init_db(self.path)
            self._file = self._place()
        return self._conn

    def _place(self) -> tuple[int, int]:
        try:
            found = os.stat(self.path)
        except OSError:
            return (-1, -1)
        return (found.st_dev, found.st_ino)

    def _set_aside(self) -> None:
        """A file that is no database makes room for one, and stays for whoever wants to look at it."""
        aside = f"{self.path}.corrupt-{time.time_ns()}"
        os.rename(self.path, aside)
        for suffix in ("-wal", "-shm"):
            if os.path.exists(f"{self.path}{suffix}"):
                os.rename(f"{self.path}{suffix}", aside + suffix)

    def close(self) -> None:
        if self._conn is not None:
            conn, self._conn = self._conn, None
            try:
                conn.close()
            except sqlite3.Error:
                pass
