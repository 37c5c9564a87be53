"""`rigbus export`, and `rigbus query export`: tables as CSV, JSON or Parquet files."""

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.cli.database import path_of
from common.errors import RigbusError, UsageError
from common.export.pages import Progress
from common.export.run import Order, export, tables_of
from common.export.writers import FORMATS, check_format
from common.store.asked import WrongOption, range_of
from common.store.readonly import StoreFile
from common.store.results import ALL, Range
from common.store.verbs import OPTIONS

_RANGE = ("last", "from", "to")


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    """Add the verb `export`."""
    parser = add(sub, common)
    parser.add_argument("--db", metavar="F", help="the database; default: rigbus.db in the data folder")
    parser.add_argument("--format", choices=FORMATS, help="default: as --out ends, else csv")


def add(
    sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """All of it but --db and --format."""
    text = "tables as files: CSV, JSON or Parquet"
    parser = sub.add_parser("export", help=text, description=text, parents=[common])
    parser.set_defaults(run=run)
    parser.add_argument("table", nargs="*", metavar="TABLE", help="default: all; samples: as rows, a file a sensor")
    parser.add_argument("--out", metavar="DIR|FILE", help="default: the folder `export` beside the database")
    for option in _RANGE:
        metavar, told = OPTIONS[option]
        parser.add_argument(f"--{option}", dest=f"option_{option}", metavar=metavar, help=told)
    parser.add_argument(
        "--decode", action=argparse.BooleanOptionalAction, default=True, help="samples as rows; else as stored"
    )
    parser.add_argument("--force", action="store_true", help="write over files that are there")
    return parser


def run(args: argparse.Namespace) -> int:
    span = _span(args)
    form = _format(args)
    check_format(form)
    db = path_of(args)
    try:
        file = StoreFile(db, foreign=True)
    except FileNotFoundError as e:
        raise RigbusError(str(e)) from None
    try:
        tables = tables_of(file, args.table, args.decode)
        out = Path(args.out) if args.out is not None else Path(db).parent / "export"
        _check_name(out, form, len(args.table))
        is_file = len(args.table) == 1 and args.out is not None and out.suffix == f".{form}" and not out.is_dir()
        order = Order(tables, form, out, is_file, span, args.decode, args.force)
        with _stopped_cleanly(), _progress() as begin:
            for table in tables:
                for written in export(file, order, table, begin(table)):
                    unit = f", in {written.unit}" if written.unit else ""
                    print(f"{written.path}  {written.rows:,} rows{unit}", flush=True)
    finally:
        file.close()
    return 0


def _format(args: argparse.Namespace) -> str:
    if args.format in FORMATS:
        return str(args.format)
    by_name = Path(args.out or "").suffix.lstrip(".")
    return by_name if by_name in FORMATS else "csv"


def _check_name(out: Path, form: str, tables: int) -> None:
    """A folder called data.txt, or x.csv of JSON files, is hardly what was meant."""
    suffix = out.suffix.lstrip(".")
    if suffix and not out.is_dir() and (suffix != form or tables != 1):
        why = f"{form} files end in .{form}" if suffix != form else "one table alone can be one file: name a folder"
        raise UsageError(f"--out {out}: {why}")


def _span(args: argparse.Namespace) -> Range:
    given = {option: getattr(args, f"option_{option}") for option in _RANGE}
    options = {option: text for option, text in given.items() if text is not None}
    try:
        return range_of(options, None, time.time_ns()) if options else ALL
    except WrongOption as e:
        raise UsageError(f"--{e}") from None


@contextmanager
def _stopped_cleanly() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: no part of a file is left."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Bars:
    """begin(table) → how far that one is, told on a terminal's stderr; elsewhere nowhere."""

    def __init__(self, bars: Any) -> None:
        self._bars = bars

    def __call__(self, table: str) -> Progress:
        if self._bars is None:
            return lambda done, of: None
        for before in self._bars.task_ids:
            self._bars.remove_task(before)
        task = self._bars.add_task(table, total=None)
        return lambda done, of: self._bars.update(task, completed=done, total=of)


@contextmanager
def _progress() -> Iterator[_Bars]:
    if not sys.stderr.isatty():
        yield _Bars(None)
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    # rich would take all of stdout to the terminal, also what goes to a pipe
    with Bars(console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()) as bars:
        yield _Bars(bars)
