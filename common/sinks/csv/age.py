"""Which files go: of the readings the oldest beyond max_files, of the others those of days that are over."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from common.sinks.csv.tree import Tree


def prune(tree: Tree, max_files: int, coming: Mapping[str, int] = MappingProxyType({})) -> bool:
    """Deletes the oldest closed files of each group until there is room for what is coming. Whether it did.

    coming: group → new files. Raises OSError.
    The seed's files and those of an earlier life come first, by name, then ours as they were begun.
    """
    if len(tree.kept) + sum(coming.values()) <= max_files:
        return False
    open_paths = {file.path for file in tree.open.values()}
    groups: dict[str, str] = {}
    for path in tree.kept:
        match = tree.shape.name.fullmatch(path)
        groups[path] = match["group"] if match else ""
    left = Counter(groups.values())
    gone = []
    for path in tree.kept:
        group = groups[path]
        if left[group] + coming.get(group, 0) > max_files and path not in open_paths:
            gone.append(path)
            left[group] -= 1
    return _delete(tree, gone)


def drop_days(tree: Tree, now_s: float, keep_days: float) -> bool:
    """Deletes closed files whose period ended so many days ago. Whether it did. Raises OSError."""
    open_paths = {file.path for file in tree.open.values()}
    gone = []
    for path in tree.kept:
        match = tree.shape.name.fullmatch(path)
        if match and path not in open_paths and tree.shape.ends_s(match["base"]) + keep_days * 86_400 <= now_s:
            gone.append(path)
    return _delete(tree, gone)


def _delete(tree: Tree, paths: list[str]) -> bool:
    for path in paths:
        (tree.root / path).unlink(missing_ok=True)
        tree.forget(path)
        _drop_empty((tree.root / path).parent, tree.root)
    return bool(paths)


def _drop_empty(folder: Path, root: Path) -> None:
    while folder != root:
        try:
            os.rmdir(folder)
        except OSError:
            return  # something is in it
        folder = folder.parent
