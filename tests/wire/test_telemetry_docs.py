"""docs/telemetry.md: its examples print what it shows, and it names every call, key, event type and parameter."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import common.telemetry as telemetry
from common.telemetry.bodies import event
from common.telemetry.frames import KINDS
from common.telemetry.routing import route

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/telemetry.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```\n```\n(.*?)```", TEXT, re.DOTALL)
ALIAS = "import sys, common.telemetry; sys.modules['rigbus_telemetry'] = common.telemetry\n"


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == TEXT.count("```python") == 4


@pytest.mark.parametrize(("code", "shown"), EXAMPLES, ids=[shown.split("\n")[0][:20] for _, shown in EXAMPLES])
def test_an_example_prints_what_is_shown(code: str, shown: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALIAS + code], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == shown


def test_every_export_and_every_method_is_named() -> None:
    names = {name for name in telemetry.__all__ if name != "TelemetryEvent"}
    names |= {name for name in vars(telemetry.TelemetryCollector) if not name.startswith("_")} - {"after_fork"}
    missing = {name for name in names if not re.search(rf"\b{name}\b", TEXT)}
    assert missing == set()


def test_every_parameter_of_the_collector_is_named() -> None:
    names = set(inspect.signature(telemetry.TelemetryCollector).parameters)
    assert {name for name in names if not re.search(rf"\b{name}\b", TEXT)} == set()


def test_every_key_of_the_statistics_is_named(tmp_path: Path) -> None:
    for bus in ("", str(tmp_path)):
        keys = telemetry.TelemetryCollector(tmp_path / "t.db", bus=bus, src="x").get_stats()
        assert {key for key in keys if f"`{key}`" not in TEXT} == set()


def test_the_routing_table_is_the_codes() -> None:
    rows = re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \| (?:`(\w+)`)?", TEXT, re.MULTILINE)
    told = {name: table for names, table in rows for name in re.findall(r"`(\w+)`", names)}
    real = {}
    for kind in telemetry.EventType:
        body = route("s", kind, {}, None)
        real[kind.name] = "" if body is None else KINDS[type(body)].table
    assert told == real


def test_events_that_telemetry_itself_writes_are_named() -> None:
    source = "".join(path.read_text() for path in (ROOT / "common/telemetry").glob("*.py"))
    own = set(re.findall(r'(?:event|log_system_event)\("([a-z]+_[a-z]+)"', source))
    assert own == {"smoother_incomplete", "telemetry_dropped", "camera_silent"}
    assert {name for name in own if f"`{name}`" not in TEXT} == set()
    assert event("x", "y", "", None, None, "info")
