"""Which database a command means: --db, else the store of the configured data folder."""

import argparse
from pathlib import Path

from common.config.load import load
from common.errors import RigbusError
from common.store.query import TelemetryQuery


def path_of(args: argparse.Namespace) -> Path:
    """Raises ConfigError, UsageError."""
    if args.db is not None:
        return Path(args.db)
    return load(args.config).folders(args.data, args.run_dir).store


def open_query(args: argparse.Namespace) -> TelemetryQuery:
    """Raises RigbusError where there is none."""
    try:
        return TelemetryQuery(path_of(args))
    except FileNotFoundError as error:
        raise RigbusError(str(error)) from None
