"""`rigbus backup`: a copy of the database and of what else it takes to bring a rig back, while it runs."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from common.backup.contents import Told
from common.backup.make import make
from common.cli.context import add_format, print_json
from common.config.load import load


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    text = "make a backup, while the rig runs (docs/backup.md)"
    parser = sub.add_parser("backup", help=text, description=__doc__, parents=[common])
    parser.add_argument("into", nargs="?", metavar="DIR", help="where backups go; default: backups in the data folder")
    parser.add_argument("--keep", type=_number, default=0, metavar="N", help="then delete all but the newest N there")
    parser.add_argument("--with-secrets", action="store_true", help="copy .env, too, to be read by you alone")
    add_format(parser)
    parser.set_defaults(run=run)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number over 0")
    return int(text)


def run(args: argparse.Namespace) -> int:
    loaded = load(args.config)
    folders = loaded.folders(args.data, args.run_dir)
    into = Path(args.into).absolute() if args.into else folders.data / "backups"
    with contextlib.suppress(OSError, psutil.Error):  # the rig comes first
        os.nice(19)
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
    with progress() as told:
        made = make(loaded, folders, into, secrets=args.with_secrets, keep=args.keep, told=told)
    if args.format == "json":
        document = {**made._asdict(), "path": str(made.path), "removed": [str(path) for path in made.removed]}
        print_json({**document, "seconds": round(made.seconds, 3)})
        return 0
    print(f"{made.path}  {made.bytes / 1e6:.1f} MB in {made.seconds:.1f} s")
    for path in made.removed:
        print(f"removed {path}")
    return 0


@contextlib.contextmanager
def progress() -> Iterator[Told]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda what, done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def told(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of or None)

        yield told
