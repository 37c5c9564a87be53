"""`rigbus quarantine`: rows that an output could not take: look at them, send them again, give them up."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from common.cli.context import add_format, open_config, print_json, wide_console
from common.config.schema import Config
from common.ctl import request
from common.errors import RigbusError, UsageError
from common.paths import Folders, Lock, is_alive
from common.sinks.quarantine import CHANGES, STEP, STORE, Entry, Which, count, entries
from common.store import readonly
from common.store.writer import Store

_ASK_S = 10.0
_SINK = "sink"
Change = Callable[[Which], dict[str, Any]]


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    text = "rows that an output could not take (docs/outputs.md)"
    parser = sub.add_parser("quarantine", help=text, description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, text: str, run: Any) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text, parents=[common])
        made.add_argument(
            "--output", default="", metavar="NAME", help="only those of one output: csv, influx, store, …"
        )
        made.set_defaults(run=run)
        return made

    listing = verb("list", "what is there, and why", _list)
    listing.add_argument("--limit", type=_number, default=100, metavar="N", help="the newest N; default 100")
    add_format(listing)
    again = verb("requeue", "send rows again, once what was wrong is mended", _requeue)
    again.add_argument("ids", nargs="+", metavar="ID", help="as `list` shows them, or ALL")
    drop = verb("drop", "give rows up: they are counted as lost", _drop)
    drop.add_argument("ids", nargs="+", metavar="ID", help="as `list` shows them, or ALL")
    drop.add_argument("--yes", action="store_true", help="do not ask")


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is no number over 0")
    return int(text)


def _list(args: argparse.Namespace) -> int:
    _, folders = open_config(args)
    found, total = _look(folders, args.output, args.limit)
    if args.format == "json":
        print_json([_document(entry) for entry in found])
        return 0
    if not found:
        print("the quarantine is empty" + (f" of rows of {args.output}" if args.output else ""))
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "output", "table", "row", "time", "reason", "line"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("id", "row") else "left")
    for entry in found:
        document = _document(entry)
        again = "(is to be sent again) " if entry.requeued else ""
        cells = [*(document[name] for name in ("id", "output", "table", "row", "time")), again + entry.reason]
        table.add_row(*(Text(_shown(cell)) for cell in (*cells, document["line"] or "")))
    wide_console().print(table)
    if total > len(found):
        print(f"and {total - len(found)} older: --limit {total} shows all")
    return 0


def _document(entry: Entry) -> dict[str, Any]:
    seconds, ns = divmod(entry.t_ns, 10**9)
    try:
        at = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns // 10**6:03d}Z"
    except (OverflowError, ValueError, OSError):
        at = str(entry.t_ns)
    document = {**entry._asdict(), "time": at, "line": _text(entry.line)}
    return {name: document[name] for name in ("id", "output", "table", "row", "reason", "time", "requeued", "line")}


def _shown(cell: Any) -> str:
    """Without what would command the terminal: reasons come from servers."""
    return "".join(c if c.isprintable() else "·" for c in str(cell))


def _text(line: bytes | None) -> str | None:
    """As text where it is text that can be shown, else in hex: nothing foreign reaches the terminal."""
    if line is None:
        return None
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return line.hex()
    return text if text.isprintable() else line.hex()


def _requeue(args: argparse.Namespace) -> int:
    config, folders = open_config(args)
    with _writer(config, folders, "requeue") as change:
        done = _each(args, change, "sent again")
    stays = _look(folders, STORE, 1)[1] if "ALL" in args.ids and not args.output else 0
    stay = f"; {_rows(stays)} of store stay: no table could take these frames, they are counted as lost" * bool(stays)
    print(f"{_rows(done)} will be sent again{stay}")
    return 0


def _drop(args: argparse.Namespace) -> int:
    config, folders = open_config(args)
    if "ALL" in args.ids and not args.yes:
        n = _look(folders, args.output, 1)[1]
        of = f" of {args.output}" if args.output else ""
        if not sys.stdin.isatty():
            raise UsageError(f"drop ALL gives up {_rows(n)}{of}: add --yes")
        if input(f"Give up {_rows(n)}{of}, and count them as lost? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was dropped")
            return 1
    with _writer(config, folders, "drop") as change:
        done = _each(args, change, "dropped")
    print(f"{_rows(done)} dropped")
    return 0


def _rows(n: int) -> str:
    return f"{n} row{'s' * (n != 1)}"


def _each(args: argparse.Namespace, change: Change, what: str) -> int:
    """Step by step until nothing is left; how many it were."""
    if "ALL" not in args.ids:
        ids = [_id(word) for word in args.ids]
        parts = [Which(ids[i : i + STEP], output=args.output) for i in range(0, len(ids), STEP)]
        return sum([int(change(part)["done"]) for part in parts])
    if len(args.ids) > 1:
        raise UsageError("either ALL or ids")
    total = 0
    columns = (TextColumn(f"rows {what}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=None)
        while True:
            reply = change(Which(all=True, output=args.output))
            total += int(reply["done"])
            progress.update(bar, completed=total)
            if not reply["done"] or not reply["left"]:
                return total


def _id(word: str) -> int:
    if not word.isascii() or not word.isdigit() or int(word) >= 2**63:
        raise UsageError(f"{word}: neither an id of the quarantine nor ALL")
    return int(word)


def _look(folders: Folders, output: str, limit: int) -> tuple[list[Entry], int]:
    """The newest entries and the number of all. Raises RigbusError."""
    try:
        conn, _ = readonly.connect(str(folders.store))
    except FileNotFoundError as e:
        raise RigbusError(str(e)) from None
    with closing(conn):
        return entries(conn, output, limit), count(conn, output)


@contextmanager
def _writer(config: Config, folders: Folders, op: str) -> Iterator[Change]:
    """The running sink, or, where it is stopped, the store itself under the sink's lock."""
    if is_alive(folders, _SINK):
        yield lambda which: _ask(folders, op, which)
        return
    if not folders.store.exists():
        raise RigbusError(f"{folders.store}: no database there")
    locks = [Lock(folders.counters(_SINK) / "lock"), Lock(folders.run / f"{_SINK}.lock")]
    try:
        with closing(Store.open(folders.store, config.sink.synchronous)) as store:
            yield lambda which: store.work(lambda conn: CHANGES[op](conn, which))._asdict()
    finally:
        for lock in locks:
            lock.release()


def _ask(folders: Folders, op: str, which: Which) -> dict[str, Any]:
    fields = {"ids": which.ids, "all": which.all, "output": which.output}
    end = time.monotonic() + _ASK_S
    while True:
        try:
            return request(folders, _SINK, op, timeout_s=_ASK_S, **fields)
        except RigbusError as e:
            if not str(e).endswith("starting") or time.monotonic() > end:
                raise
            time.sleep(0.1)
