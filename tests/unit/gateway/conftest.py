"""What several modules of the gateway's tests need."""

import sqlite3
from pathlib import Path

import pytest

from common.store import schema


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database without rows."""
    path = tmp_path / "rigbus.db"
    conn = sqlite3.connect(path)
    schema.migrate(conn)
    conn.close()
    return path
