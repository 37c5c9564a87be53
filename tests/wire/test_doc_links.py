"""The documents' links lead somewhere, and the places in the code that they name are there."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from common.cli import main
from common.config.load import load
from common.store.verbs import VERBS

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]
CODE = re.compile(r"`([\w/]+\.py): (\w+)`")


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    """What a heading can be reached by, as code forges make it."""
    headings = re.findall(r"^#+ (.+)$", without_code(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("path", DOCS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(path):
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        if not found.exists() or (anchor and anchor not in anchors(found)):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("path", DOCS, ids=lambda p: str(p.relative_to(ROOT)))
def test_places_in_the_code_are_there(path):
    gone = []
    for file, name in CODE.findall(path.read_text()):
        source = ROOT / file
        names = set()
        if source.exists():
            kinds = ast.FunctionDef | ast.ClassDef
            names = {node.name for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, kinds)}
        if name not in names:
            gone.append(f"{file}: {name}")
    assert gone == []


@pytest.mark.parametrize("path", DOCS, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_that_are_named_are_there(path):
    named = set(re.findall(r"`((?:common|daemons|tests|docs|config)/[\w./-]+\.\w+)`", path.read_text()))
    invented = {"daemons/load.py"}  # the example of docs/extend.md
    assert [file for file in sorted(named - invented) if not (ROOT / file).exists()] == []


def test_places_are_named_at_all():
    assert len(CODE.findall((ROOT / "docs/delivery.md").read_text())) > 15


README = (ROOT / "README.md").read_text()


def test_the_commands_of_the_readme_are_there():
    verbs = set(main.VERBS)
    used = re.findall(r"rigbus (query \w+|\w+)", "".join(re.findall(r"^\.venv/bin/rigbus .*$", README, re.MULTILINE)))
    assert used
    assert [words for words in used if words.split()[0] not in verbs] == []
    asked = [words.split()[1] for words in used if words.startswith("query ")]
    assert [verb for verb in asked if verb not in (*VERBS, "tail", "export")] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", README)) | set(re.findall(r"^make ([a-z-]+)$", README, re.MULTILINE))
    assert {"run", "test"} <= named <= targets


SHOWN = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/devices.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("shown", SHOWN)
def test_a_configuration_in_the_device_pages_is_a_conf_d_file_that_works(tmp_path, shown):
    shutil.copy(ROOT / "config/rigbus.toml", tmp_path)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/mine.toml").write_text(shown)
    assert load(str(tmp_path / "rigbus.toml"), {}).config != load(str(ROOT / "config/rigbus.toml"), {}).config


def test_every_device_has_a_configuration_in_its_page():
    tables = {line.strip("[] ").split(".")[0] for line in "".join(SHOWN).splitlines() if line.startswith("[")}
    assert {"pulse", "highspeed", "thermostat", "pump", "dds"} <= tables


def test_the_files_that_the_readme_copies_are_there():
    copied = re.findall(r"^cp (\S+) ", README, re.MULTILINE)
    assert copied
    assert [file for file in copied if not (ROOT / file).exists()] == []
