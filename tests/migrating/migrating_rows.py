"""The rows of the tables of docs/migrating.md: what became of each name of the five old programs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/migrating.md"
HEAD = "| old name | kind | here | what it is now, or why it changed |"
HERE = ("kept", "alias", "changed")


class Row(NamedTuple):
    """One line of a table. program: the heading of its section. old, now: the cells as they are written."""

    program: str
    old: str
    kind: str
    here: str
    now: str
    line: int

    @property
    def name(self) -> str:
        """The old name: what stands in the first back-ticks, or the cell where there are none."""
        return next(iter(quoted(self.old)), self.old)

    @property
    def key(self) -> str:
        """What the last cell has in its first back-ticks: for most kinds the name that it has here."""
        return next(iter(quoted(self.now)), "")

    def __str__(self) -> str:
        return f"{self.program}: {self.kind} {self.old}"


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def rows(text: str) -> list[Row]:
    """Every row of every table under HEAD."""
    found, program, inside = [], "", False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("## "):
            program = line.removeprefix("## ")
        inside = line == HEAD or (inside and line.startswith("|"))
        if inside and line != HEAD and not line.startswith("|---"):
            cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found.append(Row(program, *cells, number))
    return found


def lacks(answer: Any, shape: str) -> list[str]:
    """What an answer has not, of a shape as the old texts write it: `{a, b: [{c, d}]}`. A list must not be empty."""
    names = re.sub(r"(\w+)(:?)", lambda found: f'"{found[1]}":' if found[2] else f'"{found[1]}": null', shape)
    return list(_lacks(answer, json.loads(names), ""))


def _lacks(answer: Any, shape: Any, at: str) -> Iterator[str]:
    if isinstance(shape, list):
        if not isinstance(answer, list) or not answer:
            yield f"{at}: no list with something in it"
        else:
            yield from _lacks(answer[0], shape[0], at)
    elif isinstance(shape, dict):
        for name, inner in shape.items():
            if not isinstance(answer, dict) or name not in answer:
                yield f"{at}.{name}"
            else:
                yield from _lacks(answer[name], inner, f"{at}.{name}")


TEXT = DOCUMENT.read_text()
ROWS = rows(TEXT)
