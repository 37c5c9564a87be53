"""Layers of the configuration: what the merge promises, for any layers that the schema allows."""

import tempfile
import tomllib
from pathlib import Path
from types import NoneType
from typing import Annotated, Literal, Union, get_args, get_origin

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from common.config.environment import overlay
from common.config.keys import Shape, dotted, fields, literal, shape_of
from common.config.load import read
from common.config.schema import Config
from common.config.tree import Leaf, Source, Table, build, merge, origins, plain

NAMES = st.sampled_from(["a", "b-c", "d.e"])
ARRAYS = {("pulse", "channel"), ("thermostat", "device"), ("pump", "pump")}
DAEMONS = st.sampled_from(["pulse", "sink"])
NO_SURROGATES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def values(annotation):
    """Any value that a leaf may have, None apart: TOML has none."""
    if get_origin(annotation) in (Union, type(int | str)):
        return st.one_of([values(option) for option in get_args(annotation) if option is not NoneType])
    base, meta = get_args(annotation)[:2] if get_origin(annotation) is Annotated else (annotation, msgspec.Meta())
    if get_origin(base) is Literal:
        return st.sampled_from(get_args(base))
    if get_origin(base) is list:
        return st.lists(values(get_args(base)[0]), min_size=meta.min_length or 0, max_size=3)
    if get_origin(base) is dict:
        return st.dictionaries(NAMES, values(get_args(base)[1]), max_size=2)
    if base is str:
        return NAMES if meta.pattern else NO_SURROGATES.filter(lambda text: len(text) >= (meta.min_length or 0))
    if base is bool:
        return st.booleans()
    low, high = meta.ge, meta.le
    if base is int:
        low = -(2**40) if low is None else low
        return st.integers(low, high if high is not None else low + 2**40)
    limit = {"exclude_min": True, "min_value": meta.gt} if meta.gt is not None else {"min_value": low}
    return st.floats(**limit, max_value=high, allow_nan=False, allow_infinity=False)


def tables(struct, *, empty_arrays=True):
    """Any table of a struct, as tomllib would give it, with what is required."""
    required, optional = {}, {}
    for key, field in fields(struct).items():
        shape, inner = shape_of(field.type)
        if shape is Shape.LEAF:
            value = values(field.type)
        elif shape is Shape.TABLE:
            value = tables(inner, empty_arrays=empty_arrays)
        elif shape is Shape.ARRAY:
            element = tables(inner, empty_arrays=empty_arrays)
            value = st.lists(element, min_size=not empty_arrays, max_size=3, unique_by=lambda table: table["name"])
        else:
            value = st.dictionaries(DAEMONS, tables(inner, empty_arrays=empty_arrays), max_size=2)
        (required if field.required else optional)[key] = value
    return st.fixed_dictionaries(required, optional=optional)


DATA = tables(Config)
FULL_ARRAYS = tables(Config, empty_arrays=False)


def layer(data, order=0):
    return build(data, Config, lambda at: Source(order, f"layer {order}", 1))


def leaves(table, path=()):
    for key, node in table.items.items():
        if isinstance(node, Leaf):
            yield (*path, key), node.value
        else:
            yield from leaves(node, (*path, key))


def cleared(table, path=()):
    """The arrays that a layer empties."""
    for key, node in table.items.items():
        if isinstance(node, Table):
            if node.is_array and not node.items:
                yield (*path, key)
            yield from cleared(node, (*path, key))


@given(DATA, DATA)
def test_merge_is_idempotent(one, two):
    base, over = layer(one, 0), layer(two, 1)
    assert merge(base, base) == base
    assert merge(merge(base, over), over) == merge(base, over)


@given(DATA, FULL_ARRAYS, FULL_ARRAYS)
def test_merge_is_associative(one, two, three):
    # but for emptied arrays: they drop what was merged before, so there the order of merging counts
    a, b, c = layer(one, 0), layer(two, 1), layer(three, 2)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(DATA, DATA)
def test_the_later_layer_wins_leaf_by_leaf(one, two):
    base, over = layer(one, 0), layer(two, 1)
    gone = tuple(cleared(over))
    kept = {path: value for path, value in leaves(base) if not any(path[: len(array)] == array for array in gone)}
    merged = merge(base, over)
    assert dict(leaves(merged)) == kept | dict(leaves(over))
    where, given_by_over = dict(origins(merged)), dict(origins(over))
    for path, _ in leaves(merged):
        is_name_known_before = path[:2] in ARRAYS and path[-1] == "name" and path in kept
        assert where[path].order == (path in given_by_over and not is_name_known_before)


def shuffled(draw, data):
    """The same tables with their keys in another order; arrays stay as they are, theirs has a meaning."""
    if isinstance(data, list):
        return [shuffled(draw, element) for element in data]
    if isinstance(data, dict):
        return {key: shuffled(draw, data[key]) for key in draw(st.permutations(list(data)))}
    return data


@given(DATA, DATA, st.data())
def test_the_order_of_keys_is_irrelevant(one, two, data):
    straight = plain(merge(layer(one, 0), layer(two, 1)), Config)
    mixed = plain(merge(layer(shuffled(data.draw, one), 0), layer(shuffled(data.draw, two), 1)), Config)
    assert msgspec.convert(mixed, Config) == msgspec.convert(straight, Config)


@given(FULL_ARRAYS, st.data())
def test_layers_without_a_common_leaf_may_change_places(whole, data):
    parts = {}, {}
    for key, value in whole.items():
        if isinstance(value, dict):
            for inner, leaf in value.items():
                parts[data.draw(st.integers(0, 1))].setdefault(key, {})[inner] = leaf
        else:
            parts[data.draw(st.integers(0, 1))][key] = value
    one, two = layer(parts[0]), layer(parts[1])
    assert merge(one, two) == merge(two, one)
    assert dict(leaves(merge(one, two))) == dict(leaves(layer(whole)))


def written(data, path=()):
    """TOML with a header for each table."""
    rows = [f"{key} = {literal(value)}" for key, value in data.items() if key == "options" or not has_header(value)]
    for key, value in data.items():
        here = (*path, key)
        if key == "options":
            continue  # a leaf that is a table
        if isinstance(value, dict):
            rows += [f"[{dotted(here)}]", *written(value, here)]
        elif has_header(value):
            for element in value:
                rows += ["", f"[[{dotted(here)}]]", *written(element, here)]
    return rows


def has_header(value):
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def written_inline(data):
    return [f"{key} = {literal(value)}" for key, value in data.items()]


@given(st.lists(st.tuples(DATA, st.sampled_from([written, written_inline])), min_size=1, max_size=3))
def test_the_origin_of_each_leaf_is_a_line_that_holds_it(layers):
    with tempfile.TemporaryDirectory() as folder:
        merged = None
        for order, (data, write) in enumerate(layers):
            file = Path(folder, f"{order}.toml")
            file.write_text("\n".join(write(data)), encoding="utf-8")
            one = read(file, order)
            merged = one if merged is None else merge(merged, one)
        where = dict(origins(merged))
        for path, value in leaves(merged):
            text = Path(where[path].file).read_text(encoding="utf-8")
            row = text.split("\n")[where[path].line - 1]
            assert f"{path[-1]} = {literal(value)}" in row
            assert dict(leaves(layer(tomllib.loads(text))))[path] == value


@given(DATA, FULL_ARRAYS)
def test_the_environment_is_a_layer_like_a_file(one, two):
    base, over = layer(one), layer(two)
    environ = {}
    for path, value in leaves(over):
        if path[-1] != "name" or path[:2] not in ARRAYS:
            environ["RIGBUS__" + "__".join(upper(key) for key in path)] = literal(value)
    result = overlay(base, Config, environ, 1)
    merged = dict(leaves(merge(base, over)))
    assert {upper_path(path): value for path, value in leaves(result) if path[-1] != "name"} == {
        upper_path(path): value for path, value in merged.items() if path[-1] != "name"
    }


def upper(key):
    return "".join(letter if letter.isalnum() else "_" for letter in key.upper())


def upper_path(path):
    return tuple(upper(key) for key in path)


@given(st.one_of(NO_SURROGATES, st.integers(), st.floats(allow_nan=False), st.booleans(), st.lists(NO_SURROGATES)))
@example("\x7f\u2028\\\"'\r\n")
def test_a_literal_reads_back(value):
    assert tomllib.loads(f"value = {literal(value)}") == {"value": value}
    assert "\n" not in literal(value)
