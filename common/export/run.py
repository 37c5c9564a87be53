"""Tables to files, one after the other; each file stands there when it is whole."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from common.errors import RigbusError, UsageError
from common.export import pages, writers
from common.store.readonly import StoreFile
from common.store.results import ALL, Range


class Order(NamedTuple):
    """out: a folder, or the one file. decode: samples as rows, else the chunks as they stand."""

    tables: Sequence[str]
    form: str
    out: Path
    is_file: bool = False
    range: Range = ALL
    decode: bool = True
    force: bool = False


class Written(NamedTuple):
    path: Path
    rows: int
    unit: str  # of samples


def tables_of(file: StoreFile, named: Sequence[str], decode: bool) -> list[str]:
    """The tables to write. UsageError where one is not there."""
    there = [pages.CHUNKS if not decode and name == pages.SAMPLES else name for name in pages.tables(file)]
    wanted = []
    for name in named:
        alias = {pages.CHUNKS: pages.SAMPLES} if decode else {pages.SAMPLES: pages.CHUNKS}
        if alias.get(name, name) not in there:
            raise UsageError(f"no such table here: {name}; there are {', '.join(there)}")
        wanted.append(alias.get(name, name))
    return list(dict.fromkeys(wanted)) or there


def export(file: StoreFile, order: Order, table: str, progress: pages.Progress) -> Iterator[Written]:
    """The files of one table, told when all of them are whole. Raises RigbusError: no part of a file is left then."""
    with ExitStack() as stack:
        outputs: dict[str, writers.Output] = {}
        for page in pages.pages(file, table, order.range, progress):
            if page.name not in outputs:
                if order.is_file and outputs:
                    raise RigbusError(
                        f"{order.out}: {', '.join([*outputs, page.name])} need a file each: name a folder"
                    )
                path = order.out if order.is_file else order.out / f"{_safe(page.name)}.{order.form}"
                if any(path == other.path for other in outputs.values()):
                    raise RigbusError(f"{path}: two sensors would be this file; name one by its own file")
                output = writers.Output(path, order.form, page.columns, force=order.force)
                stack.callback(output.discard)
                output.begin()
                outputs[page.name] = output
            outputs[page.name].rows(page.rows)
        for output in outputs.values():
            output.finish()
    for output in outputs.values():
        yield Written(output.path, output.count, output.columns[-1].unit or "")


def _safe(name: str) -> str:
    """A sensor may be called what a file may not."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
