"""The command line as a whole: verbs, exit codes, one line for a mistake, one document for --json."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from common.cli import main as cli
from common.errors import ConfigError, DeviceMissing, RigbusError, StoreError, UsageError

ROOT = Path(__file__).parents[3]
VERBS = {
    *("influx", "quarantine", "run", "status", "tail", "audit", "query", "export", "backup", "restore"),
    *("ctl", "pump", "doctor", "config"),
}
CONFIG = """\
node = "rig1"
[pulse]
[[pulse.channel]]
name = "import"
line = 20
"""


@pytest.fixture
def rigbus(tmp_path, monkeypatch, capsys):
    """Run a command about a rig that has never run: (exit code, stdout, stderr)."""
    for name in [name for name in os.environ if name.startswith("RIGBUS")]:
        monkeypatch.delenv(name)
    (tmp_path / "r.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    with tempfile.TemporaryDirectory(prefix="rb-", dir="/tmp") as short:
        os.mkdir(f"{short}/d")

        def run(*words, config="r.toml", run_dir=f"{short}/r", data=f"{short}/d"):
            options = ["--config", config, "--data", data, "--run-dir", run_dir]
            try:
                code = cli.main([*words, *(options if words and words[0] in VERBS else [])])
            except SystemExit as e:  # argparse
                code = e.code
            return code, *capsys.readouterr()

        yield run


def one_line(text):
    return text.count("\n") == 1 and text.endswith("\n") and "Traceback" not in text


def test_help_lists_every_verb_with_what_it_does(rigbus):
    code, out, err = rigbus("--help")
    assert (code, err) == (0, "")
    listed = dict(re.findall(r"^    (\w+)\s+(\S.*)$", out, re.MULTILINE))
    assert set(listed) == VERBS == set(cli.VERBS)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_a_help_of_its_own(rigbus, verb):
    code, out, err = rigbus(verb, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: rigbus {verb}")


@pytest.mark.parametrize("words", [["audit"], ["status"], ["tail"], ["run"], ["query", "pulses"], ["config", "show"]])
def test_every_command_takes_config_data_and_run_dir(rigbus, words):
    _, out, _ = rigbus(*words, "--help")
    assert {"--config", "--data", "--run-dir"} <= set(re.findall(r"--[a-z-]+", out))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["audit", "--no-such-option"],
        ["run", "--for", "soon"],
        ["run", "--only", ","],
        ["run", "--only", "pulse,nothing"],
        ["query"],
        ["config"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_exit_2_and_said_on_stderr(rigbus, words):
    code, out, err = rigbus(*words)
    assert (code, out) == (2, "")
    assert err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [["audit"], ["status"], ["tail"], ["run"], ["config", "check"]], ids=" ".join)
def test_a_bad_configuration_is_exit_78_and_one_line_that_begins_with_its_place(rigbus, words):
    Path("bad.toml").write_text('node = "r"\n[sink]\ncommit_s = 0\n')
    code, out, err = rigbus(*words, config="bad.toml")
    assert (code, out) == (78, "")
    assert err.startswith("bad.toml:3: sink.commit_s: ")
    assert one_line(err)


def test_a_configuration_that_is_not_there_is_exit_78(rigbus):
    code, out, err = rigbus("audit", config="nowhere.toml")
    assert (code, out) == (78, "")
    assert "nowhere.toml" in err
    assert one_line(err)


def test_a_run_folder_that_is_too_deep_is_exit_2_and_one_line(rigbus):
    code, out, err = rigbus("run", run_dir="/tmp/" + "x" * 100)
    assert (code, out) == (2, "")
    assert "107" in err
    assert one_line(err)


@pytest.mark.parametrize(
    ("words", "told"), [(["tail"], "no bus"), (["query", "pulses"], "rigbus.db")], ids=["tail", "query"]
)
def test_no_is_exit_1_and_one_line(rigbus, words, told):
    code, out, err = rigbus(*words)
    assert (code, out) == (1, "")
    assert told in err
    assert one_line(err)


def test_the_audit_of_a_rig_that_has_never_run_is_in_order(rigbus):
    assert rigbus("audit") == (0, "nothing has been published here yet\n", "")


@pytest.mark.parametrize("data", ["/nowhere/d", "/etc/passwd", "/" + "x" * 300])
def test_the_audit_of_a_mistyped_folder_is_not_in_order(rigbus, data):
    """A typing error in a script that watches the rig must not be green for ever."""
    code, out, err = rigbus("audit", data=data)
    assert (code, out) == (1, "")
    assert one_line(err)


def test_the_status_of_a_stopped_rig_says_so_of_each_daemon(rigbus):
    code, out, err = rigbus("status")
    assert (code, err) == (1, "")
    assert [line.split()[0] for line in out.splitlines() if "not running" in line] == ["bus", "sink", "pulse"]


DOCUMENTS = [
    (["audit", "--json"], 0, {"streams": [], "devices": [], "ok": True}),
    (["audit", "--deep", "--json"], 0, {"streams": [], "devices": [], "ok": True, "faults": []}),
    (["status", "--json"], 1, {"node", "daemons", "down", "audit", "writes"}),
    (["config", "check", "--json"], 0, {"files": ["r.toml"], "ok": True}),
    (["config", "show", "--json"], 0, {"files", "config", "sources"}),
]


@pytest.mark.parametrize(("words", "code", "document"), DOCUMENTS, ids=[" ".join(words) for words, _, _ in DOCUMENTS])
def test_json_is_one_document_and_nothing_else(rigbus, words, code, document):
    got, out, err = rigbus(*words)
    assert (got, err) == (code, "")
    found = json.loads(out)
    assert (set(found) if isinstance(document, set) else found) == document


def test_format_json_is_json(rigbus):
    assert rigbus("audit", "--format", "json") == rigbus("audit", "--json")


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (RigbusError("the answer is no"), 1, "rigbus: the answer is no\n"),
        (StoreError("locked"), 1, "rigbus: locked\n"),
        (UsageError("wrong"), 2, "rigbus: wrong\n"),
        (DeviceMissing("/dev/x: not there"), 69, "rigbus: /dev/x: not there\n"),
        (ConfigError("a.toml:3: b: wrong"), 78, "a.toml:3: b: wrong\n"),
    ],
)
def test_each_error_has_its_exit_code_and_is_one_line(rigbus, monkeypatch, error, code, shown):
    def fail(args):
        raise error

    monkeypatch.setattr("common.cli.audit.run", fail)
    assert rigbus("audit") == (code, "", shown)


def test_an_interrupt_is_no_traceback(rigbus, monkeypatch):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("common.cli.audit.run", interrupt)
    assert rigbus("audit") == (130, "", "")


def test_a_reader_that_goes_away_is_no_error():
    """rigbus … | head"""
    code = f"exec '{sys.executable}' -m common.cli.main config show | true; exit ${{PIPESTATUS[0]}}"
    env = {k: v for k, v in os.environ.items() if not k.startswith("RIGBUS")}
    done = subprocess.run(["bash", "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
