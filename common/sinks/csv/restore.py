"""At the start: what a kill, a power cut or another store left is put right, from what the store says of a table.

Nothing is ever cut that is not copied before (orphans.py), and no file is touched that this rigbus did not begin.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from common import clock
from common.sinks.csv import disk
from common.sinks.csv.file import File
from common.sinks.csv.orphans import NAME as ORPHAN
from common.sinks.csv.orphans import Orphans
from common.sinks.csv.redo import Redo
from common.sinks.csv.tree import Tree
from common.store.moves import FileState

FIRST_PAGE = ".first-page-{}"  # there while a table's first page is not committed: the files that stood there before it


def restore(
    tree: Tree, orphans: Orphans, cursor: int | None, states: Sequence[FileState], before: Mapping[str, int] | None
) -> int | None:
    """Puts the table's files right. Returns the id after which to read again, where some are to be written anew.

    cursor None: the store knows nothing of this table. before: path → bytes of the files that stood there before the
    first page, where that was begun and never committed. Raises OSError.
    """
    tree.reset()
    found = dict(_found(tree, orphans))
    known = {state.path: state for state in states}
    for path in [path for path in found if path not in known]:
        if path.endswith(".gz") and (plain := known.get(path.removesuffix(".gz"))) is not None and plain.closed:
            if plain.path in found:
                (tree.root / path).unlink()  # packing was cut short: the plain file is the one that counts
            else:
                known[path] = tree.news[path] = plain._replace(path=path, bytes=found[path])
            found.pop(path)
        elif cursor is None and (before is None or path in before):
            continue
        else:
            orphans.set_aside(path)
            found.pop(path)
    for path in sorted(path for path in found if path not in known):  # the seed's, or of an earlier life
        tree.kept[path] = found[path]
        tree.news[path] = FileState(path, tree.shape.table, 0, found[path], True, clock.boot_id())
    is_away = not found and bool(states)  # the folder as a whole: a disk that is not mounted, say
    anew = []
    for state in known.values():
        there = disk.size(tree.root / state.path)
        if state.closed:
            if there is None:
                if not is_away:
                    tree.forget(state.path)
            else:
                tree.kept[state.path] = there
        elif (file := _opened(tree, orphans, state, there, cursor or 0)) is not None:
            anew.append(file)
    if not anew:
        return None
    tree.redo = Redo(cursor or 0, anew)
    return tree.redo.from_id - 1


def _opened(tree: Tree, orphans: Orphans, state: FileState, there: int | None, cursor: int) -> File | None:
    """A file that was open: cut to what the store says of it, or returned where it is to be written anew."""
    match = tree.shape.name.fullmatch(state.path)
    if match is None or state.first_id > cursor:
        if there is not None:
            orphans.set_aside(state.path)
        tree.forget(state.path)
        return None
    path = tree.root / state.path
    file = File(match["base"], match["group"], state.path, state.first_id, state.bytes)
    tree.open[file.base] = file
    tree.kept[file.path] = state.bytes
    if there is not None and there > state.bytes:
        orphans.set_aside_tail(state.path, state.bytes)
        os.truncate(path, state.bytes)
    if there is None or there < state.bytes or state.boot_id != clock.boot_id():
        return file
    file.header = disk.first_line(path)
    return None


def _found(tree: Tree, orphans: Orphans) -> Iterator[tuple[str, int]]:
    """(path, bytes) of the tree's files; half-made ones are removed."""
    for top in tree.shape.tops:
        for folder, _, names in os.walk(tree.root / top):
            for name in names:
                full = Path(folder, name)
                path = str(full.relative_to(tree.root))
                if not path.isprintable():
                    continue  # none of ours, and no name that the store could hold
                if tree.shape.name.fullmatch(path):
                    yield path, full.stat().st_size
                elif path.endswith(".gz.tmp") and tree.shape.name.fullmatch(path.removesuffix(".tmp")):
                    full.unlink()
                elif (match := ORPHAN.fullmatch(path)) and tree.shape.name.fullmatch(match["path"]):
                    orphans.found(path)


class FirstPages:
    """Notes what stood in the folder before the first page of a table, until that page is committed.

    Without a cursor a file that the store does not know may be the user's, or was begun just before a kill: its rows
    come again then.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._fresh: set[str] = set()  # tables without a cursor, of which nothing is noted yet
        self._noted: set[str] = set()
        self._written: set[str] = set()

    def restore(self, table: str, *, has_cursor: bool) -> dict[str, int] | None:
        """What stood there before, if a first page was cut short. Raises OSError."""
        path = self._path(table)
        for known in (self._fresh, self._noted, self._written):
            known.discard(table)
        if has_cursor:
            path.unlink(missing_ok=True)
            return None
        try:
            lines = path.read_text().split("\n")
        except FileNotFoundError:
            self._fresh.add(table)
            return None
        self._noted.add(table)
        return {name: int(size) for size, _, name in (line.partition(" ") for line in lines if line)}

    def begin(self, table: str, files: Mapping[str, int]) -> None:
        """Before a page is written. Raises OSError."""
        if table in self._fresh:
            path = self._path(table)
            made = path.with_name(f"{path.name}.tmp")
            with made.open("w") as f:
                f.writelines(f"{size} {name}\n" for name, size in files.items())
                f.flush()
                os.fsync(f.fileno())
            made.rename(path)
            disk.sync(self._root)
            self._fresh.discard(table)
            self._noted.add(table)

    def written(self, table: str) -> None:
        """A page went to the store's mailbox."""
        if table in self._noted:
            self._written.add(table)

    def committed(self) -> None:
        """What was written is in the store. Raises OSError."""
        for table in list(self._written):
            self._path(table).unlink(missing_ok=True)
            self._written.discard(table)
            self._noted.discard(table)

    def _path(self, table: str) -> Path:
        return self._root / FIRST_PAGE.format(table)
