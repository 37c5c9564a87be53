"""What the schema says about each key, in words and as paths: for errors, for the environment, for `config show`."""

import functools
import json
import math
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

Path = tuple[str, ...]  # a key: tables by key, elements of arrays of tables by name
NAME_SLOT = "<name>"  # stands for any element's name in `all_keys`


class Shape(Enum):
    """LEAF: one value. TABLE: a struct. ARRAY: structs told apart by `name`. MAP: structs by key."""

    LEAF = 0
    TABLE = 1
    ARRAY = 2
    MAP = 3


def _options(annotation: Any) -> list[Any]:
    """The members of a union without None; the annotation itself where it is no union."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [option for option in get_args(annotation) if option is not types.NoneType]
    return [annotation]


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)


def shape_of(annotation: Any) -> tuple[Shape, Any]:
    """The shape of a field and its struct (of a LEAF: the annotation). `Struct | None` counts as Struct."""
    options = _options(annotation)
    only = options[0] if len(options) == 1 else None
    if _is_struct(only):
        return Shape.TABLE, only
    origin, args = get_origin(only), get_args(only)
    if origin is list and _is_struct(args[0]):
        return Shape.ARRAY, args[0]
    if origin is dict and _is_struct(args[1]):
        return Shape.MAP, args[1]
    return Shape.LEAF, annotation


@functools.cache
def fields(struct: type[msgspec.Struct]) -> Mapping[str, FieldInfo]:
    """The fields of a struct by key, in the order of the schema."""
    return {field.encode_name: field for field in msgspec.structs.fields(struct)}


def all_keys(struct: type[msgspec.Struct], path: Path = ()) -> Iterator[tuple[Path, FieldInfo]]:
    """Every leaf of the schema with its path; NAME_SLOT stands where an element's name does."""
    for key, field in fields(struct).items():
        shape, inner = shape_of(field.type)
        if shape is Shape.LEAF:
            yield (*path, key), field
        elif shape is Shape.TABLE:
            yield from all_keys(inner, (*path, key))
        else:
            yield from all_keys(inner, (*path, key, NAME_SLOT))


def fits(value: Any, annotation: Any) -> bool:
    """Whether a value is one that a leaf may have. Infinity and NaN fit nowhere: no key has a meaning for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        return False
    return True


def describe(annotation: Any) -> str:
    """A leaf's type and bounds in words: `an integer from 0 to 1023`, `"rising" or "falling"`."""
    words: list[str] = []
    for option in _options(annotation):
        base, meta = option, None
        if get_origin(option) is Annotated:
            base, meta = get_args(option)[:2]
        if get_origin(base) is Literal:
            words += [literal(value) for value in get_args(base)]
        elif get_origin(base) is list:
            length = f"{meta.min_length} or more" if meta is not None and meta.min_length else "any length"
            words.append(f"a list of {length}, each {describe(get_args(base)[0])}")
        elif get_origin(base) is dict:
            words.append("a table of text, numbers, true and false")
        elif meta is not None and meta.description:
            words.append(meta.description)
        else:
            words.append(_BASES[base] + _bounds(meta))
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


_BASES = {str: "text", int: "an integer", float: "a number", bool: "true or false"}


def _bounds(meta: msgspec.Meta | None) -> str:
    if meta is None:
        return ""
    if meta.ge is not None and meta.le is not None:
        return f" from {_short(meta.ge)} to {_short(meta.le)}"
    bounds = (("of at least", meta.ge), ("over", meta.gt), ("of at most", meta.le), ("under", meta.lt))
    return "".join(f" {word} {_short(bound)}" for word, bound in bounds if bound is not None)


def _short(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)


def literal(value: Any) -> str:
    """A value as TOML writes it, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {literal(item)}" for key, item in value.items()) + "}"
    return str(value)


def quoted(key: str) -> str:
    """A key as TOML writes it: bare where that is allowed."""
    return key if key.isascii() and key.replace("-", "_").isidentifier() else literal(key)


def dotted(path: Path) -> str:
    """A path as users see it, on one line: `pulse.channel.import.line`."""
    return ".".join(map(quoted, path))
