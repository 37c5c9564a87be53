"""`rigbus config check|show|enabled`, called as the main parser calls them."""

import argparse
import json
import tomllib

import msgspec
import pytest

from common.cli import config
from common.config.load import load
from common.config.schema import Config

TEXT = """\
node = "r"
[pulse]
cpu = [1, 2]
[[pulse.channel]]
name = "import"
line = 20
[[pulse.channel]]
name = "a.b"
line = 21
[journal.daemon.pulse]
place = "disk"
"""


@pytest.fixture
def rig(tmp_path, monkeypatch, capsys):
    """Run a command in a folder with a configuration: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "r.toml").write_text(TEXT)
    (tmp_path / "conf.d/a.toml").write_text("[sink]\ncommit_s = 2.5\n")

    def run(*words, run_dir="/short"):
        args = parser().parse_args(["config", *words, "--config", "r.toml", "--run-dir", run_dir])
        code = args.run(args)
        return code, *capsys.readouterr()

    return run


def parser():
    common = argparse.ArgumentParser(add_help=False)
    for option in ("--config", "--data", "--run-dir"):
        common.add_argument(option)
    main = argparse.ArgumentParser()
    config.register(main.add_subparsers(required=True), common)
    return main


def test_check_names_the_files_and_says_ok(rig):
    assert rig("check") == (0, "r.toml\nconf.d/a.toml\nok\n", "")


def test_check_as_json(rig):
    code, out, err = rig("check", "--json")
    assert (code, json.loads(out), err) == (0, {"files": ["r.toml", "conf.d/a.toml"], "ok": True}, "")


@pytest.mark.parametrize("words", [["check"], ["check", "--json"], ["show"], ["show", "--json"], ["enabled", "bus"]])
def test_a_mistake_is_one_line_on_stderr(rig, tmp_path, words):
    (tmp_path / "conf.d/a.toml").write_text("\n[sink]\ncommit = 2.5\n")
    assert rig(*words) == (78, "", "conf.d/a.toml:3: sink.commit: unknown key; did you mean commit_s?\n")


def test_check_refuses_a_run_folder_that_is_too_long(rig):
    code, out, err = rig("check", run_dir="/" + "x" * 100)
    assert (code, out) == (2, "")
    assert "too long for a run folder" in err


def test_show_says_where_each_value_comes_from(rig, tmp_path, monkeypatch):
    monkeypatch.setenv("RIGBUS__PULSE__CHANNEL__A_B__EDGE", "falling")
    code, out, err = rig("show")
    assert (code, err) == (0, "")
    rows = out.splitlines()
    for row in (
        'node = "r"  # r.toml:1',
        f'data = "{tmp_path}/var/data"  # default',
        'run = "/short"  # command line',
        "cpu = [1, 2]  # r.toml:3",
        'chip = "/dev/gpiochip0"  # default',
        "line = 21  # r.toml:9",
        'edge = "falling"  # environment RIGBUS__PULSE__CHANNEL__A_B__EDGE',
        "commit_s = 2.5  # conf.d/a.toml:2",
        'place = "disk"  # r.toml:11',
    ):
        assert rows.count(row) == 1, row
    assert not any("highspeed" in row for row in rows)


def test_what_show_prints_is_a_configuration_of_the_same_meaning(rig, tmp_path):
    before = load("r.toml", {}).config
    _, out, _ = rig("show")
    (tmp_path / "conf.d/a.toml").unlink()
    (tmp_path / "r.toml").write_text(out)
    after = load("r.toml", {}).config
    assert after.paths.run == "/short"
    after.paths = before.paths
    assert after == before


def test_show_as_json(rig):
    code, out, err = rig("show", "--format", "json")
    document = json.loads(out)
    assert (code, err, set(document)) == (0, "", {"files", "config", "sources"})
    assert document["files"] == ["r.toml", "conf.d/a.toml"]
    shown = msgspec.convert(document["config"], Config)
    assert (shown.sink.commit_s, shown.pulse.cpu, shown.highspeed, shown.paths.run) == (2.5, [1, 2], None, "/short")
    sources = document["sources"]
    assert sources["node"] == "r.toml:1"
    assert sources['pulse.channel."a.b".line'] == "r.toml:9"
    assert sources["pulse.channel.import.edge"] == "default"
    assert sources["paths.run"] == "command line"


def test_json_names_a_source_for_every_value_that_the_text_shows(rig):
    _, text, _ = rig("show")
    _, document, _ = rig("show", "--json")
    assert len(json.loads(document)["sources"]) == sum(" = " in row for row in text.splitlines())
    assert tomllib.loads(text)["pulse"]["channel"][1]["name"] == "a.b"


@pytest.mark.parametrize(("daemon", "code"), [("bus", 0), ("sink", 0), ("pulse", 0), ("highspeed", 1)])
def test_enabled(rig, daemon, code):
    assert rig("enabled", daemon) == (code, "no\n" if code else "yes\n", "")


@pytest.mark.parametrize("word", ["journal", "node", "pulses"])
def test_what_is_no_daemon_is_not_enabled(rig, word):
    code, out, err = rig("enabled", word)
    assert (code, out) == (1, "")
    assert err.startswith(f"{word}: no such daemon; known: bus, pulse, ")


@pytest.mark.parametrize("words", [[], ["enabled"], ["check", "--format", "xml"], ["look"]])
def test_a_wrong_command_line(words, capsys):
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(["config", *words])
    assert caught.value.code == 2


def test_a_device_that_is_switched_off_is_not_enabled(rig, monkeypatch):
    monkeypatch.setenv("RIGBUS__PULSE__ENABLED", "false")
    assert rig("enabled", "pulse")[0] == 1


@pytest.mark.parametrize("words", [("show",), ("show", "--json")])
def test_a_password_in_an_address_is_not_shown(rig, tmp_path, words):
    (tmp_path / "conf.d/b.toml").write_text('[sink.influx]\nurl = "http://joe:hunter2@host:8086/x"\n')
    code, out, _ = rig(*words)
    assert code == 0
    assert "hunter2" not in out
    assert "http://…@host:8086/x" in out


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('[sink.output.mine]\ndriver = "nosuch"\n', '2: sink.output.mine.driver: no output "nosuch"'),
        ('[sink.influx]\nurl = "host:8086"\n', "2: sink.influx.url: expected the address of a server"),
        ('[sink.influx]\nurl = "http://host:abc"\n', "2: sink.influx.url: expected the address of a server"),
        ('[sink.influx]\nb5m_bucket = "PowerLogger_raw"\n', "2: sink.influx.b5m_bucket: raw_bucket and b5m_bucket are"),
    ],
)
def test_check_finds_outputs_that_are_set_wrongly_and_the_rig_loads_them(rig, tmp_path, text, wrong):
    (tmp_path / "conf.d/b.toml").write_text(text)
    code, out, err = rig("check")
    assert (code, out) == (78, "")
    assert f"conf.d/b.toml:{wrong}" in err
    assert err.count("\n") == 1
    assert load("r.toml", {})  # a meter is recorded all the same
