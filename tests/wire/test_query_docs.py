"""docs/query.md: its example prints what it shows, its commands parse, it names every verb, option and method."""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from common.cli import main as cli
from common.store.query import TelemetryQuery
from common.store.verbs import VERBS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/query.md").read_text()
[(EXAMPLE, SHOWN)] = re.findall(r"```python\n(.*?)```\n```\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^rigbus ([^#\n]*)", "".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)), re.MULTILINE)


def test_the_example_prints_what_is_shown(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLE], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == SHOWN
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one(command: str) -> None:
    args = cli.parser().parse_args(shlex.split(command))
    assert isinstance(args, argparse.Namespace)


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 10


def test_every_verb_and_option_is_named() -> None:
    rows = dict(re.findall(r"^\| ((?:`[a-z]+`(?:, )?)+) \| (.*?)\|", TEXT, re.MULTILINE))
    told = {
        verb: set(re.findall(r"--([a-z-]+)", options))
        for verbs, options in rows.items()
        for verb in re.findall(r"\w+", verbs)
    }
    everywhere = {"last", "from", "to", "limit"}
    assert set(told) - {"tail", "export"} == set(VERBS)
    for name, verb in VERBS.items():
        assert set(verb.options) - everywhere <= told[name], name


def test_every_method_is_named() -> None:
    names = {name for name in dir(TelemetryQuery) if name.startswith("get_")} | {"tables", "last_event_id"}
    assert {name for name in names if f"`{name}" not in TEXT} == set()
