"""Room on the disk, and in the database file: how much there is, and how pages go back to the disk."""

import os
import sqlite3
import time
from pathlib import Path

_PAGES = 64  # given back at once, about a millisecond
SHARE_ABOVE, SHARE_DOWN_TO = 0.25, 0.125  # of the file that may be free pages: new rows use them without growing it
_NEVER_BELOW_BYTES = 8 << 20


def free_bytes(folder: Path) -> int:
    """What a file there may still grow by."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def floor_bytes(folder: Path, min_free_mb: float) -> int:
    """Free bytes below which rows are deleted early: 0 means 5 % of the disk, at most 256 MB. Never over half of it."""
    found = os.statvfs(folder)
    disk = found.f_blocks * found.f_frsize
    return int(min(min_free_mb * 1e6 if min_free_mb else min(disk * 0.05, 256e6), disk / 2))


def size(path: str) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def coming_bytes(conn: sqlite3.Connection, path: str) -> int:
    """What the disk gets back without further deletions: free pages, and what a checkpoint cuts off (or adds)."""
    pages, free, page = (conn.execute(f"PRAGMA {name}").fetchone()[0] for name in _PRAGMAS)
    return int(free * page + os.path.getsize(path) - pages * page)


def too_many_free(conn: sqlite3.Connection, share: float) -> bool:
    """Whether over that share of the file is free pages."""
    pages, free, page = (conn.execute(f"PRAGMA {name}").fetchone()[0] for name in _PRAGMAS)
    return bool(free * page > _NEVER_BELOW_BYTES and free > share * pages)


def give_back(conn: sqlite3.Connection, end: float) -> bool:
    """Cut free pages off, until `end` (monotonic); whether there are more. The file shrinks at a checkpoint."""
    while conn.execute("PRAGMA freelist_count").fetchone()[0]:
        if time.monotonic() >= end:
            return True
        conn.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()  # it works by being read
    return False


_PRAGMAS = ("page_count", "freelist_count", "page_size")
