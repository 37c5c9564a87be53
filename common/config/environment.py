"""`RIGBUS__SECTION__KEY` variables: the last layer of the configuration."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from common.config.keys import Path, Shape, fields, fits, literal, shape_of
from common.config.tree import Source, Table, build, merge, refuse

_PREFIX = "RIGBUS__"


def overlay(base: Table, struct: type[msgspec.Struct], environ: Mapping[str, str], order: int) -> Table:
    """`base` with every RIGBUS__ variable on top, in the order of their names. `order`: that of their Sources.

    A value is a TOML literal if it is one that fits the key, else text. Elements go by name, upper-cased, with _ for
    what is no letter or digit; a name that matches none makes a new element of that name in lower case.
    ConfigError: as for files, with `environment RIGBUS__…` in place of file and line.
    """
    tree = base
    for variable in sorted(name for name in environ if name.startswith(_PREFIX)):
        source = Source(order, f"environment {variable}", 0)
        tree = merge(tree, _layer(variable, environ[variable], struct, tree, source))
    return tree


def _layer(variable: str, text: str, struct: type[msgspec.Struct], tree: Table, source: Source) -> Table:
    parts = variable.removeprefix(_PREFIX).split("__")
    if not _is_utf8(text):
        refuse(source, tuple(part.lower() for part in parts), "not UTF-8 text")
    return build(_table(parts, (), text, struct, tree, source), struct, lambda _: source)


def _table(parts: list[str], path: Path, text: str, struct: Any, table: Table | None, source: Source) -> Any:
    """The nested data that one variable stands for, to the depth that its parts name."""
    if not parts:
        return _literal(text)
    known = fields(struct)
    key = next((key for key in known if key.upper() == parts[0]), parts[0].lower())
    if key not in known:
        return {key: None}  # build says what is wrong with it
    node = table.items.get(key) if table is not None else None
    inside = node if isinstance(node, Table) else None
    return {key: _node(parts[1:], (*path, key), text, known[key].type, inside, source)}


def _node(parts: list[str], path: Path, text: str, annotation: Any, table: Table | None, source: Source) -> Any:
    shape, inner = shape_of(annotation)
    if shape is Shape.LEAF:
        if parts:
            refuse(source, (*path, *(part.lower() for part in parts)), f"unknown key; {path[-1]} is a value, no table")
        value = _literal(text)
        return text if fits(text, annotation) and not fits(value, annotation) else value
    if shape is Shape.TABLE or not parts:
        return _table(parts, path, text, inner, table, source)
    name = _element(parts[0], path, table, source)
    known = table.items.get(name) if table is not None else None
    element = _table(parts[1:], (*path, name), text, inner, known if isinstance(known, Table) else None, source)
    if shape is Shape.MAP or not isinstance(element, dict):
        return {name: element} if shape is Shape.MAP else [element]
    if element.get("name", name) != name:
        refuse(source, (*path, name, "name"), f"the variable names {name}: a name cannot be changed here")
    return [{"name": name, **element}]


def _element(part: str, path: Path, table: Table | None, source: Source) -> str:
    names = [name for name in (table.items if table is not None else ()) if _upper(name) == part]
    if len(names) > 1:
        refuse(source, path, f"{part} may mean {' or '.join(map(literal, names))}: use a file in conf.d")
    return names[0] if names else part.lower()


def _upper(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def _literal(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
