"""Read-only connections, and the one question the pulse daemon may ask. No numpy: daemons import this."""

import os
import sqlite3
from urllib.parse import quote

from common.errors import StoreError
from common.store import schema


def connect(path: str, busy_ms: int = 2000) -> tuple[sqlite3.Connection, bool]:
    """A read-only connection, and whether it takes the file as it stands (immutable).

    A stopped rig has no -wal file, and SQLite would want to make one: there nothing writes, and immutable needs none.
    FileNotFoundError: there is no database. StoreError: it cannot be read, or is none of ours.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no database there")
    immutable = not os.path.exists(f"{path}-wal")
    mode = "immutable=1" if immutable else "mode=ro"
    try:
        conn = sqlite3.connect(f"file:{quote(path)}?{mode}", uri=True, isolation_level=None, timeout=busy_ms / 1000)
    except sqlite3.Error as e:
        raise StoreError(f"{path}: {e}") from e
    try:
        found = schema.version(conn)
        if not 0 < found <= len(schema.MIGRATIONS):
            raise StoreError(f"{path}: schema version {found}, this rigbus reads 1 to {len(schema.MIGRATIONS)}")
    except sqlite3.Error as e:
        conn.close()
        raise StoreError(f"{path}: {e}") from e
    except StoreError:
        conn.close()
        raise
    return conn, immutable


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
