"""docs/logs.md is what the code does: every kind of event, every field, and no other; all kinds are used."""

import ast
import re
from pathlib import Path

import pytest

from common.log_events import LogEvent

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/logs.md").read_text()
METHODS = {"error", "warning", "info", "seldom", "noted", "watched"}
NO_FIELDS = {"event", "also", "every_s", "warn", "seldom"}
BY_MAP = {"common/intake/lines.py": {"src", "from", "to", "rows", "detail"}}  # fields that a call takes from a map


def calls():
    """(file, call) of every line that a daemon may write."""
    for path in [*(ROOT / "common").rglob("*.py"), *(ROOT / "daemons").rglob("*.py")]:
        file = str(path.relative_to(ROOT))
        if file.startswith("common/telemetry/"):
            continue  # for other people's processes: it logs as they do
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                owner = ast.unparse(node.func.value)
                if owner.split(".")[-1] in ("log", "_log") and file != "common/log.py":
                    yield file, node


def fields_of(file, call):
    for keyword in call.keywords:
        if keyword.arg is None:
            yield from BY_MAP[file]
        elif keyword.arg == "also":
            assert isinstance(keyword.value, ast.Dict), f"{file}:{call.lineno}: also is to be written out"
            yield from (key.value for key in keyword.value.keys)
        elif keyword.arg not in NO_FIELDS:
            yield keyword.arg


def test_the_kinds_are_those_of_the_code():
    rows = re.findall(r"^\| `([a-z_]+)` \| `([0-9a-f]{32})` \| .+ \|$", TEXT, re.MULTILINE)
    assert rows == [(event.name.lower(), event.value) for event in LogEvent]


def test_every_kind_is_said_somewhere():
    said = "".join(p.read_text() for p in [*(ROOT / "common").rglob("*.py"), *(ROOT / "daemons").rglob("*.py")])
    assert [event.name for event in LogEvent if f"LogEvent.{event.name}" not in said] == []


def test_the_fields_are_those_of_the_code():
    in_code = {f"RIGBUS_{name.upper()}" for file, call in calls() for name in fields_of(file, call)}
    table = TEXT.partition("## Fields of events")[2]
    documented = [name for row in re.findall(r"^\| (`RIGBUS_.+?) \|", table, re.MULTILINE) for name in row.split(", ")]
    assert sorted(name.strip("`") for name in documented) == sorted(in_code)


def test_a_field_is_one_that_journald_takes():
    names = {name for file, call in calls() for name in fields_of(file, call)}
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]{0,50}", name)] == []


@pytest.mark.parametrize("event", re.findall(r"RIGBUS_EVENT=(\w+)", TEXT))
def test_the_questions_ask_for_kinds_that_there_are(event):
    assert event.upper() in LogEvent.__members__


def test_ten_questions_are_answered():
    questions = TEXT.partition("## Ten questions")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\*\*.+\?\*\*", questions, re.MULTILINE)) == 10
    assert len(re.findall(r"^journalctl ", questions, re.MULTILINE)) >= 10
