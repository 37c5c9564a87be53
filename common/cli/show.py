"""Answers on stdout: as a table for people, as JSON or CSV for programs."""

import csv
import sys
from collections.abc import Callable
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.store.answers import Answer

_FOR_PROGRAMS = ("t_ns", "ts")  # people read `time`


def table(answer: Answer) -> None:
    names = [name for name in answer.columns if not (name in _FOR_PROGRAMS and "time" in answer.columns)]
    shown = Table(box=None, pad_edge=False, header_style="bold")
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    for name in names:
        numbers = any(isinstance(row[name], int | float) for row in rows)
        shown.add_column(name, justify="right" if numbers else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*[Text(cell(row[name])) for name in names])
    # A row is a line, however narrow the terminal: what is cut off cannot be searched for.
    Console(file=sys.stdout, width=10**6, highlight=False).print(shown)
    if answer.note:
        print(answer.note)


def cell(value: Any) -> str:
    """One line, and nothing that a terminal obeys."""
    if value is None:
        return "-"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def document(answer: Answer) -> None:
    line(answer.document)


def line(what: Any) -> None:
    """As JSON, at once."""
    print(msgspec.json.encode(what).decode(), flush=True)


def comma_separated(answer: Answer) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)


FORMATS: dict[str, Callable[[Answer], None]] = {"table": table, "json": document, "csv": comma_separated}
