"""What `make setup-influxdb`, `make verify` and `make delete-buckets` run, as processes, against the fixture as one."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RIGBUS = [str(Path(sys.executable).parent / "rigbus")]


@pytest.fixture
def site(tmp_path):
    """A folder with the shipped configuration and the `.env` of a server that runs."""
    shutil.copy(ROOT / "config/rigbus.toml", tmp_path)
    env = tmp_path / ".env"
    command = [sys.executable, str(ROOT / "tests/influx/v2server.py"), "--env", str(env)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("http://")
    yield tmp_path
    process.terminate()
    process.wait()
    process.stdout.close()


def commands(target):
    """What the target runs, without making the environment."""
    told = subprocess.run(
        ["make", "-n", "-o", ".venv/.influx", target], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return re.findall(r"^\.venv/bin/rigbus (.*)$", told.stdout, re.MULTILINE)


def run(site, target, typed=""):
    (command,) = commands(target)
    clean = {name: value for name, value in os.environ.items() if "TOKEN" not in name and "INFLUX" not in name}
    environ = clean | {"RIGBUS_CONFIG": str(site / "rigbus.toml"), "COLUMNS": "80"}
    told = subprocess.run(
        [*RIGBUS, *command.split()], cwd=site, env=environ, input=typed, capture_output=True, text=True, timeout=100
    )
    said = told.stdout + told.stderr
    secrets = re.findall(r"TOKEN=(.+)", (site / ".env").read_text())
    assert secrets
    assert [secret for secret in secrets if secret[:12] in said] == []
    assert "Traceback" not in said
    return told.returncode, said


def test_the_three_steps_of_the_seed(site):
    shutil.copy(site / ".env", site / "before")
    code, said = run(site, "verify")
    assert (code, "❌ bucket PowerLogger_raw" in said) == (1, True)
    code, said = run(site, "setup-influxdb")
    assert (code, "✅ InfluxDB is set up" in said) == (0, True)
    assert (site / ".env").stat().st_mode & 0o777 == 0o600
    assert (site / ".env").read_text().startswith((site / "before").read_text())
    code, said = run(site, "setup-influxdb")
    assert (code, "✅ All PowerLogger buckets already exist!" in said) == (0, True)
    code, said = run(site, "verify")
    assert "❌" not in said.replace("❌ dds", "")
    assert "✓  INFLUX_WRITE_TOKEN" in said
    code, said = run(site, "delete-buckets", typed="no\n")
    assert (code, "Deletion cancelled" in said) == (1, True)
    code, said = run(site, "delete-buckets")  # nobody is there
    assert (code, "Deletion cancelled" in said) == (1, True)
    assert "✓  bucket PowerLogger_raw" in run(site, "verify")[1]
    code, said = run(site, "delete-buckets", typed="DELETE\n")
    assert (code, "✅ All PowerLogger buckets deleted successfully!" in said) == (0, True)
    assert run(site, "verify")[0] == 1


def test_wrong_credentials(site):
    env = site / ".env"
    env.write_text(re.sub(r"INFLUX_TOKEN=.*", "INFLUX_TOKEN=3EDgXV1TOvCk4ssy3wb-not-of-this-server==", env.read_text()))
    for target in ("setup-influxdb", "delete-buckets"):
        code, said = run(site, target, typed="DELETE\n")
        assert code == 1
        assert "❌ ERROR: Cannot connect to InfluxDB or credentials are invalid!" in said
        assert "4. INFLUX_TOKEN is valid and has admin permissions" in said
    assert run(site, "verify")[0] == 1


def test_the_example_holds_every_key_and_no_token():
    text = (ROOT / ".env.example").read_text()
    keys = dict(re.findall(r"^#? ?([A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
    from common.config.dotenv import KEYS

    tokens = {"INFLUX_TOKEN", "INFLUX_WRITE_TOKEN", "INFLUX_READ_TOKEN", "RIGBUS_READ_TOKEN", "RIGBUS_CONTROL_TOKEN"}
    assert set(keys) == set(KEYS) | tokens
    assert {keys[name] for name in tokens} == {""}
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert ".env" in ignored
