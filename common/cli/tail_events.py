"""`rigbus query tail`: the newest system events and, with --follow, those that come."""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from common.cli import show
from common.cli.database import open_query
from common.errors import StoreError, UsageError
from common.store.answers import EVENT_COLUMNS, iso_s
from common.store.query import TelemetryQuery

_EVERY_S = 1.0
_PAGE = 1000
_SHOWN = ("time", "level", "event_type", "source", "detail")


def register(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> argparse.ArgumentParser:
    text = "the newest events; with --follow those that come, too"
    parser = verbs.add_parser("tail", help=text, description=text, parents=[common])
    parser.set_defaults(run=run)
    parser.add_argument("--follow", "-f", action="store_true", help="look once a second, until Ctrl-C")
    parser.add_argument("--last", metavar="N", default="20", help="events to begin with; default 20")
    return parser


def run(args: argparse.Namespace) -> int:
    if not (args.last.isascii() and args.last.isdecimal()):
        raise UsageError(f"--last {args.last}: not a number of events")
    show_rows = _objects if args.format == "json" else _lines()
    with open_query(args) as query:
        rows = query.get_events_after(None, int(args.last[:18]))
        show_rows(rows)
        if args.follow:
            try:
                _follow(query, rows[-1]["id"] if rows else query.last_event_id(), show_rows)
            except KeyboardInterrupt:
                pass
    return 0


def _follow(query: TelemetryQuery, last_id: int, show_rows: Callable[[list[dict[str, Any]]], None]) -> None:
    """Never returns. A database that is away for a while (it is being replaced, say) is told once, and waited for."""
    told, replaced = False, query.replaced
    while True:
        time.sleep(_EVERY_S)
        try:
            query.last_event_id()
            if query.replaced != replaced:
                last_id, replaced = 0, query.replaced  # ids of another database
            while rows := query.get_events_after(last_id, _PAGE):
                show_rows(rows)
                last_id, told = rows[-1]["id"], False
        except StoreError as e:
            if not told:
                print(f"rigbus: {e}; waiting", file=sys.stderr, flush=True)
            told = True


def _objects(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        show.line({name: iso_s(row["ts"]) if name == "time" else row[name] for name in EVENT_COLUMNS})


def _lines() -> Callable[[list[dict[str, Any]]], None]:
    """Prints rows as lines of one table, however they come: a column keeps its width, and grows where it must."""
    widths = {"time": 24, "level": 7, "event_type": 12, "source": 8, "detail": 0}
    print("  ".join(name.ljust(widths[name]) for name in _SHOWN).rstrip(), flush=True)

    def show_rows(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            cells = [show.cell({**row, "time": iso_s(row["ts"])}[name]) for name in _SHOWN]
            for name, text in zip(_SHOWN[:-1], cells, strict=False):
                widths[name] = max(widths[name], len(text))
            print("  ".join(text.ljust(widths[name]) for name, text in zip(_SHOWN, cells, strict=True)).rstrip())
        sys.stdout.flush()

    return show_rows
