"""What verbs share: the configuration and folders that the command line means, durations, JSON."""

import argparse
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from common.config.load import load
from common.config.locate import folders_at_any_rate
from common.config.schema import Config
from common.errors import ConfigError
from common.paths import Folders

if TYPE_CHECKING:
    from rich.console import Console

_UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "m": 60.0, "h": 3600.0, "d": 86400.0}


def open_config(args: argparse.Namespace) -> tuple[Config, Folders]:
    """Raises ConfigError, UsageError."""
    loaded = load(args.config)
    return loaded.config, loaded.folders(args.data, args.run_dir)


def open_folders(args: argparse.Namespace) -> Folders:
    """For what must reach a rig that runs, a stop above all: a configuration that is wrong is told, and passed over."""
    try:
        return open_config(args)[1]
    except ConfigError as e:
        folders = folders_at_any_rate(args.config, os.environ, args.data, args.run_dir)
        print(f"rigbus: {e}", file=sys.stderr)
        print(f"rigbus: going on without it, in {folders.run}", file=sys.stderr)
        return folders


def seconds(text: str) -> float:
    """`30`, `30s`, `5m`, `2h`, `1d`, `500ms` as seconds; for argparse's `type`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: 30, 30s, 5m, 2h, 1d")
    return float(match[1]) * _UNITS[match[2] or ""]


def add_format(parser: argparse.ArgumentParser) -> None:
    """--json and --format json are one."""
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")


def wide_console() -> "Console":
    """A terminal's width there; into a pipe or a file nothing is cut or wrapped."""
    from rich.console import Console  # here: not every verb draws tables

    return Console(highlight=False, width=None if sys.stdout.isatty() else 1000)


def print_json(document: Any) -> None:
    print(json.dumps(document, separators=(",", ":"), ensure_ascii=False))


def names(text: str) -> list[str]:
    """A comma list; for argparse's `type`."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        raise argparse.ArgumentTypeError("an empty list of names")
    return found
