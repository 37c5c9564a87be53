"""The tasks' Flux before InfluxData's own parser: syntax, names and types. Neither it nor anything here runs them.

The parser is an npm package; it is fetched once into .venv. Without node, npm or a network: one line, and skipped, but
not in CI.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from servers import need

from common.config.schema import InfluxConfig
from common.influx import flux

ROOT = Path(__file__).parents[2]
PACKAGE = "@influxdata/flux-lsp-browser"
VERSION = "0.8.40"
HOSTILE = InfluxConfig(raw_bucket='a"b ${now()} \\ ü\n', b1m_bucket="${x}", measurement='m"x\\${1}')


@pytest.fixture(scope="module")
def parse(tmp_path_factory):
    """parse(*texts) → per text whether it is valid, and the strings in it."""
    node, npm = need("node"), need("npm")
    base = ROOT / ".venv" if (ROOT / ".venv").is_dir() else tmp_path_factory.mktemp("npm")
    folder = base / f"flux-lsp-{VERSION}"
    package = folder / "node_modules" / PACKAGE
    if not (package / "flux-lsp-browser_bg.wasm").exists():
        folder.mkdir(exist_ok=True)
        options = ["--prefix", str(folder), "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"]
        got = subprocess.run(
            [npm, "install", *options, f"{PACKAGE}@{VERSION}"], capture_output=True, text=True, timeout=100, check=False
        )
        if got.returncode:
            text = f"{PACKAGE} could not be fetched by npm"
            pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)

    def run(*texts):
        command = [node, str(ROOT / "tests/influx/flux_check.mjs"), str(package)]
        got = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, timeout=60, check=True)
        return json.loads(got.stdout.splitlines()[-1])  # the parser prints lines of its own before

    return run


@pytest.mark.parametrize("config", [InfluxConfig(), HOSTILE], ids=["default", "hostile"])
def test_the_tasks_are_valid_and_hold_the_configured_names_as_they_are(parse, config):
    texts = [flux.task(window, config) for window in flux.WINDOWS]
    for window, answer in zip(flux.WINDOWS, parse(*texts), strict=True):
        assert answer["valid"], answer["messages"]
        name = flux.task_name(window, config)
        assert {name, f"{config.measurement}_{window.name}", "PulseCount", window.name} <= set(answer["strings"])
        assert answer["interpolations"] == 0
    strings = [set(answer["strings"]) for answer in parse(*texts)]
    buckets = (config.raw_bucket, config.b1m_bucket, config.b5m_bucket, config.b1h_bucket)
    for found, source, target in zip(strings, buckets, buckets[1:], strict=False):
        assert {source, target} <= found


WRONG = {
    "syntax": lambda text: text + ")",
    "a missing import": lambda text: text.replace('import "date"', ""),
    "an unknown name": lambda text: text.replace("|> to(", "|> too("),
    "a wrong type": lambda text: text.replace("every: 1m, fn: sum", 'every: "1m", fn: sum'),
    "a wrong argument": lambda text: text.replace("createEmpty", "createEmpties"),
    "a choice of two types": lambda text: text.replace("else 1h", "else 60"),
    "interpolation": lambda text: text.replace('"PowerLogger_raw"', '"${nothing}"'),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_parser_refuses(parse, wrong):
    text = flux.task(flux.WINDOWS[0], InfluxConfig())
    broken = WRONG[wrong](text)
    assert broken != text
    assert [answer["valid"] for answer in parse(text, broken)] == [True, False]
