"""`rigbus ctl`: words become fields, a reply becomes lines or one JSON document."""

import json

import pytest

from common.cli import main as cli
from common.cli.ctl import fields
from common.errors import UsageError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ml=5", ("ml", 5)),
        ("ml=5.5", ("ml", 5.5)),
        ("pump=water", ("pump", "water")),
        ('command_id="7"', ("command_id", "7")),
        ("on=true", ("on", True)),
        ('pumps=["water", "food"]', ("pumps", ["water", "food"])),
        ("data={id = 1, angle = 2.5}", ("data", {"id": 1, "angle": 2.5})),
        ("day=2026-11-21", ("day", "2026-11-21")),
        ("word=", ("word", "")),
        ("formula=a=b", ("formula", "a=b")),
        ("two=1\ny=2", ("two", "1\ny=2")),
        ("run=1234567890123456", ("run", "1234567890123456")),
        ("run=12345678901234e5", ("run", "12345678901234e5")),
        ("kp=1 # x", ("kp", "1 # x")),
        ("reason=1_000", ("reason", "1_000")),
        ("a=" + "[" * 3000 + "]" * 3000, ("a", "[" * 3000 + "]" * 3000)),
    ],
)
def test_a_value_is_a_literal_else_text(text, found):
    assert fields([text]) == dict([found])
    assert type(fields([text])[found[0]]) is type(found[1])


@pytest.mark.parametrize("text", ["water", "=5", "id=1", "op=stop"])
def test_what_is_no_field_is_a_usage_error(text):
    with pytest.raises(UsageError, match=text.partition("=")[0] or "=5"):
        fields([text])


def test_a_key_given_twice_is_a_usage_error_and_not_the_last_one():
    with pytest.raises(UsageError, match="ml is given twice"):
        fields(["ml=5", "ml=50"])


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What was asked of whom; answers with a map of each type."""
    (tmp_path / "r.toml").write_text('node = "rig"\n')
    calls = []

    def request(folders, src, op, *, timeout_s, **fields):
        calls.append((src, op, timeout_s, fields))
        return {"id": 1, "ok": True, "state": "running", "steps": 5, "blob": b"\x00\xff", "list": [1, None]}

    monkeypatch.setattr("common.cli.ctl.request", request)
    return calls, lambda *words: cli.main(["ctl", *words, "--config", str(tmp_path / "r.toml")])


def test_the_reply_is_a_line_a_field(asked, capsys):
    calls, rigbus = asked
    assert rigbus("pump", "status", "pump=water", "--timeout", "3s") == 0
    assert calls == [("pump", "status", 3.0, {"pump": "water"})]
    assert capsys.readouterr().out == 'state: running\nsteps: 5\nblob: "AP8="\nlist: [1,null]\n'


def test_the_reply_is_one_document(asked, capsys):
    _, rigbus = asked
    assert rigbus("pump", "status", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"state": "running", "steps": 5, "blob": "AP8=", "list": [1, None]}


def test_ack_is_not_for_hands(asked, capsys):
    calls, rigbus = asked
    assert rigbus("pulse", "ack") == 2
    assert calls == []
    assert "ack" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["n=99999999999999999999", "n=\udcff", "n=[99999999999999999999]"])
def test_what_cannot_be_sent_is_a_usage_error(tmp_path, capsys, word):
    (tmp_path / "r.toml").write_text('node = "rig"\n')
    code = cli.main(["ctl", "pump", "status", word, "--config", str(tmp_path / "r.toml")])
    told = capsys.readouterr().err
    assert code in (1, 2)
    assert told.count("\n") == 1
    assert "Traceback" not in told
