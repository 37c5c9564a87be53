"""The file `rigbus.db`: made at once or not at all, opened for the one writer, set aside when it is corrupt."""

import contextlib
import glob
import os
import sqlite3
import time
from urllib.parse import quote

from common import clock
from common.store import schema
from common.store.rows import INSERT

# Measured at 800 Hz, 3 axes of incompressible int16, frames of 80: page size, then bytes written per sample (log and
# checkpoint) with commits of 10 s and of 1 s, then bytes on the disk: 512 14.2, 18.0, 6.50 · 1024 14.4, 21.7, 6.47 ·
# 2048 15.0, 29.2, 6.44 · 4096 16.7, 44.6, 6.43. A commit dirties seven pages beside its data: small ones win. Only at a
# million samples a second they cost CPU (3.3 µs per 64 samples, not 2.7). A log of 4 MB is within 1 % of an endless.
PAGE_SIZE = 1024
WAL_PAGES = 4000
# Up to this size every page is looked at when the file is opened; beyond, that would take too long on a card, and
# damage in old pages is found by readers and by `audit --deep`.
CHECK_BYTES = 64 << 20
CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BESIDE = ("-wal", "-shm")


class Damaged(sqlite3.DatabaseError):
    """Damage that SQLite by itself would only meet when it reads the page in question."""


class EmptyFile(Damaged):
    """A file of no bytes where a database should be: ours come into being whole, so this one was cut."""


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether the file itself is damaged (the opposite: locked, full, not permitted, a failing disk)."""
    return isinstance(error, Damaged) or primary_code(error) in CORRUPT


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for errors that the Python module raises by itself."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def connect(path: str, synchronous: str, busy_ms: int, reason: str = "") -> sqlite3.Connection:
    """Open for writing, migrated; a missing database is made, with a ledger row per file that was set aside before it.

    reason: why the newest of these was. sqlite3.Error where it cannot be (see is_corrupt); StoreError if it is newer.
    """
    if not os.path.exists(path):
        if os.path.exists(f"{path}-wal"):  # a move aside that was cut short: its log must not meet a new database
            set_aside(path)
        _create(path, reason)
    elif os.path.getsize(path) == 0:
        raise EmptyFile(f"{path} is empty")
    conn = sqlite3.connect(
        f"file:{quote(path)}?mode=rw", uri=True, isolation_level=None, timeout=busy_ms / 1000, cached_statements=64
    )
    try:
        conn.execute(f"PRAGMA synchronous = {synchronous}")
        conn.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        conn.execute("PRAGMA temp_store = MEMORY")
        # a log that readers made grow gives its room back when it begins anew
        conn.execute(f"PRAGMA journal_size_limit = {4 * WAL_PAGES * PAGE_SIZE}").fetchall()
        schema.migrate(conn)
        conn.execute("PRAGMA journal_mode = WAL")  # after migrate, which refuses what is not ours
        if os.path.getsize(path) <= CHECK_BYTES:
            found = conn.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise Damaged(found)
        # A writer killed between write and fsync left commits that can be read but are not yet on the disk. Whoever
        # reads a cursor from here acknowledges it, so they must be.
        _fsync(f"{path}-wal")
    except BaseException:
        conn.close()
        raise
    return conn


def rewrite(conn: sqlite3.Connection) -> None:
    """Copy the whole log into the database file and sync that. For after a sync that failed: the kernel then takes the
    log's pages for clean, whatever the disk has, and another sync of them would succeed without writing.

    sqlite3.OperationalError where readers hold it up.
    """
    busy, _, _ = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("readers hold up the checkpoint that an I/O error calls for")


def set_aside(path: str) -> str:
    """Rename database, log and index to `<path>.corrupt-<utc time>…`, on the disk when this returns; the new path.

    The database first: a connection that sees it gone neither checkpoints into it nor deletes its log when it closes.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside, n = f"{path}.corrupt-{stamp}", 1
    while glob.glob(f"{glob.escape(aside)}*"):
        n += 1
        aside = f"{path}.corrupt-{stamp}.{n}"
    for suffix in ("", *_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            os.rename(path + suffix, aside + suffix)
    _fsync(os.path.dirname(path) or ".")
    return aside


def _create(path: str, reason: str) -> None:
    """Made under another name and renamed: whatever interrupts this, `path` is a whole database or none."""
    new = f"{path}.new"
    for leftover in glob.glob(f"{glob.escape(new)}*"):
        os.unlink(leftover)
    conn = sqlite3.connect(new, isolation_level=None)
    try:
        conn.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        conn.execute("PRAGMA auto_vacuum = INCREMENTAL")
        conn.execute("PRAGMA journal_mode = WAL")
        schema.migrate(conn)
        now = clock.wall_ns()
        asides = _asides(path)
        for aside in asides:
            detail = f"{aside}: {reason}" if reason and aside == asides[-1] else aside
            row = (now, None, "*", "row", None, "store_corrupt", None, None, None, None, detail, None)
            conn.execute(INSERT["ledger"], row)
    finally:
        conn.close()
    _fsync(new)
    os.rename(new, path)
    _fsync(os.path.dirname(path) or ".")


def _asides(path: str) -> list[str]:
    """What was set aside, oldest first, by the name of the database (its log may be all that was found)."""
    found = glob.glob(f"{glob.escape(path)}.corrupt-*")
    return sorted({name.removesuffix("-wal").removesuffix("-shm") for name in found})


def _fsync(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
