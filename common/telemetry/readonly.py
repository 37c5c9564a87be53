"""A database file to read, whoever writes it, has left it behind or puts another in its place. Never writes or creates.

A file in WAL mode that nobody has open has no -wal beside it, and SQLite would want to make one: there nothing writes,
and immutable needs none. While somebody writes, immutable would show nonsense: so each question looks first.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

BUSY_S = 2.0
_WAL_MODE = 2  # byte 18 of a file in WAL mode
Values = Sequence[Any] | dict[str, Any]
Check = Callable[[sqlite3.Connection], None]


def connect(path: str, busy_s: float = BUSY_S) -> tuple[sqlite3.Connection, bool]:
    """A read-only connection, and whether it takes the file as it stands (immutable).

    FileNotFoundError: there is no file. sqlite3.Error: it cannot be opened; what it holds is not looked at.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no database there")
    if os.path.isdir(path):
        raise sqlite3.OperationalError("it is a folder, not a database")
    immutable = not os.path.exists(f"{path}-wal") and _in_wal_mode(path)
    mode = "immutable=1" if immutable else "mode=ro"
    uri = f"file:{quote(path)}?{mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_s), immutable


class ReadOnly:
    """One connection to such a file, made anew where that is needed; belongs to one thread.

    check: is told each new connection; what it raises goes to the caller. Each question is one statement, read to its
    end: nothing is held open between two. Methods raise sqlite3.Error, and FileNotFoundError where the file is gone.
    """

    def __init__(self, path: str | os.PathLike[str], check: Check | None = None) -> None:
        self.path = os.path.abspath(path)
        self.replaced = 0  # how often another file was found in its place
        self._check = check
        self._seen = self._look()
        self._connect()

    def _connect(self) -> None:
        conn, immutable = connect(self.path)
        try:
            conn.execute("PRAGMA user_version").fetchone()  # what is no database is told here
            if self._check is not None:
                self._check(conn)
        except BaseException:
            conn.close()
            raise
        self._conn, self._immutable = conn, immutable

    def close(self) -> None:
        self._conn.close()

    def interrupt(self) -> None:
        """From any thread: the question that is under way ends with a sqlite3.OperationalError."""
        try:
            self._conn.interrupt()
        except sqlite3.ProgrammingError:
            pass  # it is being closed, or made anew

    def all(self, sql: str, values: Values = ()) -> list[Any]:
        """All rows of a statement, as tuples."""
        return self._execute(sql, values).fetchall()

    def dicts(self, sql: str, values: Values = ()) -> list[dict[str, Any]]:
        """All rows of a statement, by the names of its columns."""
        cursor = self._execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _execute(self, sql: str, values: Values) -> sqlite3.Cursor:
        seen = self._look()
        is_other = seen.file != self._seen.file
        # A writer may be there now, or have been and gone since: immutable notices neither.
        if is_other or (self._immutable and (seen != self._seen or os.path.exists(f"{self.path}-wal"))):
            self._conn.close()
            self._immutable, self._seen = True, self._seen._replace(bytes=-1)  # where this fails, it is tried again
            self._connect()
            self.replaced += is_other
            self._seen = seen
        return self._conn.execute(sql, values)

    def _look(self) -> "_Seen":
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.path}: no database there") from None
        return _Seen((found.st_dev, found.st_ino), found.st_mtime_ns, found.st_size)


class _Seen(NamedTuple):
    file: tuple[int, int]  # device and inode
    changed_ns: int
    bytes: int


def _in_wal_mode(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(20)[18:19] == bytes([_WAL_MODE])
    except OSError:
        return False  # SQLite says what is wrong with it
