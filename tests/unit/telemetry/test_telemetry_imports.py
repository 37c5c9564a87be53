"""common.telemetry stands alone: the standard library, zmq and msgspec; its wheel works where there is no rigbus."""

import ast
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

import common.telemetry

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "common/telemetry"
FILES = sorted(PACKAGE.glob("*.py"))
ALLOWED = {*sys.stdlib_module_names, "zmq", "msgspec"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_it_imports_itself_relatively_and_nothing_of_rigbus(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= ALLOWED
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1 or (node.module or "").partition(".")[0] in ALLOWED


def test_an_import_loads_nothing_else_and_no_zmq_where_it_stands_alone(tmp_path: Path) -> None:
    code = (
        "import sys; before = set(sys.modules); import common.telemetry as t; "
        "t.TelemetryCollector(sys.argv[1] + '/t.db', bus='').stop(); alone = set(sys.modules); "
        "t.TelemetryCollector(bus=sys.argv[1], src='x').stop(); "
        "top = lambda names: {n.partition('.')[0] for n in names - before}; "
        "print('zmq' in alone, *sorted(top(set(sys.modules)))); "
        "print(*sorted(n for n in sys.modules if n.startswith('common')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    zmq_alone, *tops = first.split()
    assert zmq_alone == "False"
    foreign = {name for name in tops if name not in sys.stdlib_module_names and "cython" not in name}
    assert foreign - {"common", "zmq", "msgspec", "typing_extensions"} == set()  # the last is zmq's
    assert all(name == "common" or name.startswith("common.telemetry") for name in second.split())


def test_its_version_and_needs_are_rigbuss() -> None:
    rigbus = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wheel = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    assert common.telemetry.__version__ == rigbus["version"]
    assert wheel["requires-python"] == rigbus["requires-python"]
    assert {re.split(r"[<>=]", need)[0] for need in wheel["dependencies"]} == {"pyzmq", "msgspec"}
    assert set(wheel["dependencies"]) <= set(rigbus["dependencies"])


def test_what_it_exports_is_there() -> None:
    assert all(hasattr(common.telemetry, name) for name in common.telemetry.__all__)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_works_where_there_is_no_rigbus(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = subprocess.run(
        [*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(PACKAGE)], capture_output=True, text=True, check=False
    )
    if build.returncode and "No matching distribution" in build.stderr:
        pytest.skip("no package index to build with")
    assert build.returncode == 0, build.stderr
    [wheel] = tmp_path.glob("rigbus_telemetry-*.whl")
    home = tmp_path / "env"
    venv.create(home, with_pip=True)
    python = home / "bin/python"
    subprocess.run([python, "-m", "pip", "-q", "--disable-pip-version-check", "install", wheel], check=True)
    code = (
        "import sys, rigbus_telemetry as t; tc = t.TelemetryCollector('data/telemetry.db'); tc.start();"
        "tc.emit('dds', t.EventType.DDS_PUBLISH, {'seq': 1, 'funcode': 1}, 'c'); assert tc.stop();"
        "assert len(t.TelemetryCollector('data/telemetry.db').get_events()) == 1;"
        "assert t.TelemetryQuery('data/telemetry.db').get_commands()[0]['correlation_id'] == 'c';"
        "b = t.TelemetryCollector(bus='nowhere', src='x'); b.start(); b.log_system_event('e', 's');"
        "print(b.stop(), t.__version__, 'common' in sys.modules)"
    )
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", common.telemetry.__version__, "False"]
    assert (tmp_path / "data/telemetry.db").exists()
