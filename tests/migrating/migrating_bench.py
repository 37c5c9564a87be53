"""What a row is tried on: files of the old kind, a configuration, an InfluxDB's fixture, a rig that runs.

Each is made when the first row asks for it.
"""

import io
import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import seed_file
from migrating_rows import ROOT

from common.cli import main as cli
from common.config.dotenv import KEYS
from common.config.load import Loaded, load
from common.store.writer import Store
from common.telemetry import init_db

SHIPPED = ROOT / "config/rigbus.toml"


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Bench:
    """folder: the test's own. rig, influx: called for what takes its time (tests/migrating/conftest.py)."""

    def __init__(self, folder: Path, rig: Callable[[], Any], influx: Callable[[], Any]) -> None:
        self.folder, self._rig, self._influx = folder, rig, influx

    @property
    def rig(self) -> Any:
        return self._rig()

    @property
    def influx(self) -> Any:
        return self._influx()

    @cached_property
    def shipped(self) -> Loaded:
        """The configuration as shipped: its values are what a user has who says nothing."""
        return load(str(SHIPPED), {})

    @cached_property
    def telemetry(self) -> Path:
        """A file of th3cl4w's own program, with ten seconds of everything."""
        return seed_file.fill(seed_file.make(self.folder / "telemetry.db"))

    @cached_property
    def databases(self) -> list[Path]:
        """A fresh store of a rig, and a fresh telemetry file without one."""
        store, alone = self.folder / "rigbus.db", self.folder / "alone.db"
        Store.open(store).close()
        init_db(alone).close()
        return [store, alone]

    def asked(self, file: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(file)) as conn:
            return conn.execute(sql, values).fetchall()

    def rigbus(self, *arguments: str) -> Done:
        """A `rigbus` command, to its end, in this process: forty interpreters take a minute to start."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = cli.main(list(arguments))
            except SystemExit as e:  # of --help
                code = int(e.code or 0)
        return Done(code, out.getvalue(), err.getvalue())


def run(command: list[str], typed: str = "") -> Done:
    env = {name: value for name, value in os.environ.items() if not _is_setting(name)}
    done = subprocess.run(
        command, cwd=ROOT, env=env, input=typed, capture_output=True, text=True, timeout=60, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def _is_setting(name: str) -> bool:
    return (
        name in KEYS
        or name.startswith(("RIGBUS", "MAKE", "MFLAGS"))
        or "TOKEN" in name
        or name == "CREDENTIALS_DIRECTORY"
    )
