"""docs/migrating.md: every name that it says is kept, or works as an alias, is tried; and the rest of it is right."""

import re
import shlex
import shutil
from collections import Counter
from pathlib import Path

import pytest
import tries_commands
import tries_configuration
import tries_gateway
import tries_python
import tries_record
from migrating_bench import Bench
from migrating_rows import HEAD, HERE, ROOT, ROWS, TEXT, Row, rows

from common.cli import main as cli
from common.config.keys import all_keys
from common.config.load import load
from common.config.schema import Config

PROGRAMS = ("meter-pulse", "High-speed sensor", "Thermostat logger", "Pump telemetry", "Robot-arm telemetry")
MODULES = (tries_configuration, tries_commands, tries_record, tries_python, tries_gateway)
TRIES = {kind: way for module in MODULES for kind, way in module.TRIES.items()}
TRIED = [row for row in ROWS if row.here != "changed"]


@pytest.mark.parametrize("row", TRIED, ids=str)
def test_a_name_that_is_kept_works(row: Row, bench: Bench) -> None:
    assert row.kind in TRIES, f"docs/migrating.md:{row.line}: nobody knows how to try a {row.kind}"
    TRIES[row.kind](row, bench)


# ---- the tables


def test_a_kind_is_tried_in_one_place() -> None:
    assert sum(len(module.TRIES) for module in MODULES) == len(TRIES)
    assert set(TRIES) - {row.kind for row in TRIED} == set()


def test_every_row_says_what_became_of_a_name() -> None:
    assert {row.here for row in ROWS} == set(HERE)
    assert {row.program for row in ROWS} == set(PROGRAMS)
    assert [str(row) for row in ROWS if not (row.old and row.kind)] == []


def test_what_changed_says_what_it_is_now_or_why() -> None:
    assert [str(row) for row in ROWS if row.here == "changed" and len(row.now) < 5] == []
    assert [str(row) for row in ROWS if row.here == "alias" and not row.key] == []


def test_no_name_stands_twice() -> None:
    counted = Counter((row.program, row.kind, row.old) for row in ROWS)
    assert [name for name, count in counted.items() if count > 1] == []


def test_every_table_is_read() -> None:
    """A row that the reader of tables passes over would not be tried."""
    lines = {row.line for row in ROWS}
    missed = [
        number for number, line in enumerate(TEXT.splitlines(), start=1)
        if re.search(r"\| (kept|alias|changed) \|", line) and number not in lines
    ]  # fmt: skip
    assert missed == []
    text = f"## x\n{HEAD}\n|---|---|---|---|\n| `a\\|b` | k | kept | c |\n"
    assert rows(text) == [Row("x", "`a|b`", "k", "kept", "c", 4)]


def test_every_program_says_how_to_move() -> None:
    for program in PROGRAMS:
        section = TEXT.partition(f"\n## {program}\n")[2].partition("\n## ")[0]
        assert re.findall(r"^### (.*)$", section, re.MULTILINE) == ["How to move", "Names"]
        assert "**The same**" in section
        assert "**Different, and why**" in section


# ---- what the page tells you to type

COMMANDS = re.findall(
    r"^(?:sudo )?rigbus ([^#\n&|]*)", "\n".join(re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)), re.MULTILINE
)
COMMANDS += [words for words in re.findall(r"`(?:sudo )?rigbus ([a-z][^`]*)`", TEXT) if "PATH" not in words]


@pytest.mark.parametrize("command", sorted({command.strip() for command in COMMANDS}))
def test_a_command_is_one(command: str) -> None:
    words = shlex.split(command)
    if words[-1] == "-h":
        words.pop()
        words.append("summary")
    missing = {"pump": ["status"], "query": ["summary"]}.get(words[0], []) if len(words) == 1 else []
    cli.parser().parse_args([*words, *missing])


def test_targets_keys_and_files_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", TEXT)) <= targets
    keys = {".".join(path) for path, _ in all_keys(Config)}
    sections = {key.partition(".")[0] for key in keys}
    named = {
        key for key in re.findall(r"`([a-z]+(?:\.(?:\w+|<name>))+)", TEXT)
        if key.partition(".")[0] in sections and not key.endswith((".py", ".toml", ".db"))
    }  # fmt: skip
    assert len(named) > 30
    assert {_pattern(key) for key in named} <= keys
    assert len(EXAMPLES) >= 4


EXAMPLES = re.findall(r"^sudo cp (config/conf.d/\S+) /etc/rigbus/(conf.d/\S+)$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("example", "place"), EXAMPLES)
def test_the_example_that_is_copied_switches_the_device_on(example: str, place: str, tmp_path: Path) -> None:
    """Where `make install` has found none of the devices, and switched them off."""
    (tmp_path / "conf.d").mkdir()
    shutil.copy(ROOT / "config/rigbus.toml", tmp_path)
    (tmp_path / "conf.d/00-devices.toml").write_text("".join(f"[{name}]\nenabled = false\n" for name in DEVICES))
    assert _on(load(str(tmp_path / "rigbus.toml"), {}).config) == []
    shutil.copy(ROOT / example, tmp_path / place)
    assert len(_on(load(str(tmp_path / "rigbus.toml"), {}).config)) == 1


DEVICES = ("pulse", "highspeed", "thermostat", "pump", "dds")


def _on(config: Config) -> list[str]:
    return [name for name in DEVICES if getattr(config, name).enabled]


def _pattern(key: str) -> str:
    return re.sub(r"^((?:pulse\.channel|thermostat\.device|pump\.pump))\.\w+\.", r"\1.<name>.", key)
