"""gzip of closed files: `X.csv` becomes `X.csv.gz`, whole and on the disk before the plain one goes."""

import gzip
import os
import shutil

from common import clock
from common.sinks.csv import disk
from common.sinks.csv.tree import Tree
from common.store.moves import FileState

_LEVEL = 6


def pack(tree: Tree, path: str) -> None:
    """A closed file of the tree, which the store knows to be closed. Raises OSError; it may be tried again then."""
    plain, packed = tree.root / path, tree.root / f"{path}.gz"
    made = packed.with_name(f"{packed.name}.tmp")
    try:
        with plain.open("rb") as source, made.open("wb") as out:
            with gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=_LEVEL, mtime=0) as zipped:
                shutil.copyfileobj(source, zipped, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
    except OSError:
        made.unlink(missing_ok=True)
        raise
    made.rename(packed)
    disk.sync(packed.parent)
    plain.unlink()
    tree.forget(path)
    name = f"{path}.gz"
    tree.kept[name] = packed.stat().st_size
    tree.news[name] = FileState(name, tree.shape.table, 0, tree.kept[name], True, clock.boot_id())
