"""What a user can set is documented: in config/rigbus.toml and in docs/config.md, no key too few or too many."""

import itertools
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from common.config.keys import NAME_SLOT, all_keys, describe, literal
from common.config.load import load
from common.config.positions import Positions
from common.config.schema import Config, Cpu, Name

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "config/rigbus.toml"
KEYS = {".".join(path): field for path, field in all_keys(Config)}
COMMENTED = re.compile(r"^# (?=[a-z0-9_]+ = |\[)", re.MULTILINE)
MAPS = {("journal", "daemon"): "pulse", ("sink", "output"): "example"}  # tables by name; one that the file has
NO_DEFAULT_TO_SHOW = {"node", "journal.daemon.<name>.max_bytes"}  # the host's name; the value of [journal]


def patterns(table, path=()):
    """The leaves of a TOML document as the schema's key patterns, with every value given."""
    for key, value in table.items():
        here = (*path, key)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for element in value:
                yield from patterns(element, (*here, NAME_SLOT))
        elif isinstance(value, dict) and ".".join(here) not in KEYS:
            yield from patterns(value, (*path, NAME_SLOT) if path in MAPS else here)
        else:
            yield ".".join(here), value


def uncommented():
    return COMMENTED.sub("", SHIPPED.read_text())


def default(field):
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def test_the_shipped_file_holds_every_key_and_no_other():
    assert {key for key, _ in patterns(tomllib.loads(uncommented()))} == set(KEYS)


def test_the_shipped_file_runs_as_it_is_on_simulated_devices():
    config = load(str(SHIPPED), {}).config
    assert (config.pulse.driver, config.highspeed.driver) == ("sim", "sim")
    assert [(channel.name, channel.line) for channel in config.pulse.channel] == [
        ("import", 20),
        ("export", 26),
        ("generate", 21),
    ]
    assert (config.highspeed.name, config.highspeed.rate_hz) == ("vibration", 800)
    assert config.journal.daemon["pulse"].place == "disk"


def test_the_shipped_file_loads_with_all_keys_uncommented(tmp_path):
    file = tmp_path / "rigbus.toml"
    file.write_text(uncommented())
    loaded = load(str(file), {})
    assert loaded.config.node == "rig1"
    assert loaded.config.journal.daemon["pulse"].max_bytes == 33_554_432


def test_commented_keys_are_at_their_default():
    live = list(patterns(tomllib.loads(SHIPPED.read_text())))
    commented = list(patterns(tomllib.loads(uncommented())))
    for key, value in live:
        commented.remove((key, value))
    assert commented  # otherwise nothing is tested
    for key, value in commented:
        if key not in NO_DEFAULT_TO_SHOW:
            assert value == default(KEYS[key]), key


ELSEWHERE = ("bus", "paths")  # their comment stands above the header


@pytest.mark.parametrize("key", [key for key in KEYS if not key.startswith(ELSEWHERE) and not key.endswith(".cpu")])
def test_the_comment_of_a_key_says_its_bounds_and_its_default(key):
    field = KEYS[key]
    comment = comment_of(tuple(key.split(".")))
    for bounds in re.findall(r"from (\S+ to \S+)|over (\S+)|at least (\S+)", describe(field.type)):
        assert re.search(rf"(?<![\d.]){re.escape(''.join(bounds))}(?![\d.]*\d)", comment)
    assert ("required" if field.required else "default") in comment.lower()


def comment_of(path):
    """What stands behind a key in the shipped file (of an element: the first), and in the lines above it."""
    first = MAPS.get(path[:2], 0)
    line = Positions(uncommented()).line(tuple(first if slot == NAME_SLOT else slot for slot in path))
    rows = SHIPPED.read_text().splitlines()
    above = itertools.takewhile(lambda row: row.startswith("# ") and not COMMENTED.match(row), rows[line - 2 :: -1])
    behind = rows[line - 1].removeprefix("# ").partition("#")[2]
    return "\n".join([behind, *above])


@pytest.mark.parametrize("example", sorted(SHIPPED.parent.glob("conf.d/*.example")), ids=lambda path: path.name)
def test_an_example_loads_on_top_of_the_shipped_file(example, tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "rigbus.toml").write_text(SHIPPED.read_text())
    (tmp_path / "conf.d" / example.name.removesuffix(".example")).write_text(example.read_text())
    loaded = load(str(tmp_path / "rigbus.toml"), {})
    assert len(loaded.sources) == 2
    assert loaded.config != load(str(SHIPPED), {}).config


def test_the_examples_are_there():
    assert len(list(SHIPPED.parent.glob("conf.d/*.toml.example"))) >= 4


def test_the_table_of_the_docs_is_the_schema():
    text = (ROOT / "docs/config.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9_.<>]+)` \| (.*?) \| (.*?) \| (.+?) \|$", text, re.MULTILINE)
    assert [row[0] for row in rows] == list(KEYS)
    for key, value, shown, _ in rows:
        field = KEYS[key]
        assert value == described(field), key
        assert shown == default_shown(key, field), key


def described(field):
    return describe(field.type).replace(describe(Cpu), "a CPU").replace(describe(Name), "a name")


def default_shown(key, field):
    if key == "node":
        return "the host's name"
    if field.required:
        return "required"
    value = default(field)
    return "as in `[journal]`" if value is None else f"`{literal(value)}`"


def test_the_docs_say_what_a_name_and_a_cpu_are():
    text = (ROOT / "docs/config.md").read_text()
    assert f"A name: {describe(Name)}." in text
    assert f"A CPU: {describe(Cpu)}." in text
