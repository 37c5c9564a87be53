"""The options that every command and every daemon takes."""

import argparse


def add_common(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """The options that every command and every daemon takes. default: argparse.SUPPRESS where they may stand before."""
    for option, metavar, told in (
        ("--config", "FILE", "configuration (default: see docs/config.md)"),
        ("--data", "DIR", "data folder: the store, journals on disk, counters"),
        ("--run-dir", "DIR", "run folder: sockets, journals in memory"),
    ):
        parser.add_argument(option, metavar=metavar, help=told, default=default)
