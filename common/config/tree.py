"""A configuration in layers: checked against the schema, merged, each value with the place it comes from."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import msgspec

from common.config.keys import Path, Shape, describe, dotted, fields, fits, literal, shape_of
from common.config.positions import At
from common.config.schema import Name
from common.errors import ConfigError


class Source(NamedTuple):
    """Where a value stands. Sources sort in the order in which they are read. line 0: not in a file."""

    order: int
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Leaf(NamedTuple):
    value: Any
    source: Source


class Table(NamedTuple):
    """source: its header. is_array: an array of tables, the items by their names."""

    source: Source
    items: Mapping[str, "Node"]
    is_array: bool = False


Node = Leaf | Table
Where = Callable[[At], Source]


def refuse(source: Source, path: Path, wrong: str) -> NoReturn:
    """Raise the one line that a user sees: `file:line: key: what is wrong`."""
    raise ConfigError(f"{source}: {dotted(path)}: {wrong}" if path else f"{source}: {wrong}")


def build(data: Any, struct: type[msgspec.Struct], where: Where) -> Table:
    """One layer from what tomllib gives. `where` tells the source of a key of `data`.

    ConfigError: an unknown key, a value that the schema refuses, an element without a name, or two of one name.
    A key that is required may be missing: another layer may hold it, and `plain` looks after the merge.
    """
    return _table(data, struct, (), (), where)


def _table(data: Any, struct: type[msgspec.Struct], path: Path, at: At, where: Where) -> Table:
    if not isinstance(data, dict):
        refuse(where(at), path, f"expected a table, got {_shown(data)}")
    known = fields(struct)
    items = {}
    for key, value in data.items():
        here, there = (*path, key), (*at, key)
        if key not in known:
            refuse(where(there), here, _unknown(key, known))
        items[key] = _node(value, known[key].type, here, there, where)
    return Table(where(at), items)


def _node(value: Any, annotation: Any, path: Path, at: At, where: Where) -> Node:
    shape, inner = shape_of(annotation)
    if shape is Shape.TABLE:
        return _table(value, inner, path, at, where)
    if shape is Shape.ARRAY:
        return _array(value, inner, path, at, where)
    if shape is Shape.MAP:
        if not isinstance(value, dict):
            refuse(where(at), path, f"expected a table, got {_shown(value)}")
        for key in value:
            if not fits(key, Name):
                refuse(where((*at, key)), (*path, key), f"expected {describe(Name)}, got {literal(key)}")
        items = {key: _table(item, inner, (*path, key), (*at, key), where) for key, item in value.items()}
        return Table(where(at), items)
    if not fits(value, annotation):
        refuse(where(at), path, f"expected {describe(annotation)}, got {_shown(value)}")
    return Leaf(value, where(at))


def _array(value: Any, struct: type[msgspec.Struct], path: Path, at: At, where: Where) -> Table:
    if not isinstance(value, list):
        refuse(where(at), path, f"expected tables under [[{dotted(path)}]], got {_shown(value)}")
    items: dict[str, Table] = {}
    for index, element in enumerate(value):
        there = (*at, index)
        if not isinstance(element, dict):
            refuse(where(there), path, f"expected a table, got {_shown(element)}")
        if "name" not in element:
            refuse(where(there), (*path, "name"), "required key is missing")
        named = _node(element["name"], fields(struct)["name"].type, (*path, "name"), (*there, "name"), where)
        name = named.value if isinstance(named, Leaf) else ""
        if name in items:
            before = items[name].items["name"].source
            refuse(named.source, (*path, name, "name"), f"{literal(name)} is already the name of another ({before})")
        items[name] = _table(element, struct, (*path, name), there, where)
    return Table(where(at), items, is_array=True)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    text = literal(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown(key: str, known: Mapping[str, Any]) -> str:
    import difflib  # only for errors: it costs every daemon 5 ms otherwise

    near = difflib.get_close_matches(key.lower(), known, n=1)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known here: {', '.join(known)}"


def merge(base: Table, over: Table, keep: str = "") -> Table:
    """`over` on top of `base`: tables and arrays of tables merge, other values replace, but for the key `keep`.

    An empty array of tables (`channel = []`) replaces too: it is the way to drop what an earlier file has.
    An element's name keeps its source: later layers say it again only to find the element.
    """
    if over.is_array and not over.items:
        return over
    items = dict(base.items)
    for key, node in over.items.items():
        old = items.get(key)
        if isinstance(old, Table) and isinstance(node, Table):
            items[key] = merge(old, node, keep="name" if base.is_array else "")
        elif key != keep:
            items[key] = node
    return Table(base.source, items, base.is_array)


def plain(table: Table, struct: type[msgspec.Struct], path: Path = ()) -> dict[str, Any]:
    """The merged layers as msgspec takes them. ConfigError at the table's header where a required key is missing."""
    known = fields(struct)
    for key, field in known.items():
        if field.required and key not in table.items:
            refuse(table.source, (*path, key), "required key is missing")
    return {key: _plain(node, known[key].type, (*path, key)) for key, node in table.items.items()}


def _plain(node: Node, annotation: Any, path: Path) -> Any:
    if isinstance(node, Leaf):
        return node.value
    shape, inner = shape_of(annotation)
    if shape is Shape.TABLE:
        return plain(node, inner, path)
    items = {key: plain(item, inner, (*path, key)) for key, item in node.items.items() if isinstance(item, Table)}
    return list(items.values()) if shape is Shape.ARRAY else items


def origins(table: Table, path: Path = ()) -> Iterator[tuple[Path, Source]]:
    """Each leaf and each table below the root with its source."""
    for key, node in table.items.items():
        yield (*path, key), node.source
        if isinstance(node, Table):
            yield from origins(node, (*path, key))
