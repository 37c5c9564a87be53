"""docs/ctl.md names every field that the pump's ops answer with, and every word that begins a refusal."""

import re
from itertools import count
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs/ctl.md").read_text()
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def rows(section, table):
    """The names in the first column of a table."""
    found = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", SECTIONS[section].partition(f"| {table} |")[2], re.MULTILINE)
    return {name for row in found for name in re.findall(r"`(\w+)`", row)}


def ask(rig, op, **fields):
    reply = rig.ask("pump", {"op": op, **fields})
    reply.pop("id")
    return reply


def ended(rig, command_id):
    def last():
        (water,) = [p for p in ask(rig, "status")["pumps"] if p["pump"] == "water"]
        return water["last"] and water["last"]["command_id"] == command_id and water["last"]

    return rig.wait(last)


def test_motions_and_their_maps(rig):
    numbers = count()
    for op, fields in (("prime", {"seconds": 0.5}), ("dispense", {"ml": 0.1})):

        def begun(op=op, fields=fields):
            """A reply; not that another test's run, which the status does not show yet, is going on."""
            command_id = f"docs-{next(numbers)}"
            reply = ask(rig, op, command_id=command_id, pump="water", **fields)
            return not reply.get("detail", "").startswith("busy:") and (command_id, reply)

        command_id, reply = rig.wait(begun)
        assert reply.pop("ok"), reply
        assert set(reply) == {"runs", "repeated", "warning"} <= rows("prime", "reply")
        told = ended(rig, command_id)
        assert set(told) == set(reply["runs"][0])
        assert [name for name in told if f"`{name}`" not in SECTIONS["prime"]] == []
        assert told["state"] == "done"


def test_the_maps_of_status(rig):
    for pump in ask(rig, "status")["pumps"]:
        assert [name for name in pump if f"`{name}`" not in SECTIONS["status"]] == []
        assert [name for name in pump["left_today"] if f"`{name}`" not in SECTIONS["status"]] == []


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        ("calibrate", {"pump": "food"}),
        ("stop", {"pump": "food"}),
        ("stop_all", {}),
        ("estop", {"reason": "docs"}),
        ("unlock", {"confirm": "unlock"}),
    ],
)
def test_other_ops(rig, op, fields):
    reply = ask(rig, op, **fields)
    try:
        assert reply.pop("ok"), reply
        assert set(reply) <= rows(op, "reply")
    finally:
        ask(rig, "unlock", confirm="unlock")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"seconds": 1e4}, "limit"),
        ({"seconds": 1, "hz": 2e5}, "hz"),
        ({"seconds": 1e-4}, "steps"),
        ({"seconds": 1, "pump": "beer"}, "unknown"),
    ],
)
def test_refusals_begin_with_a_word_of_the_table(rig, fields, word):
    reply = ask(rig, "prime", **{"command_id": f"no-{word}", "pump": "food", **fields})
    assert (reply["error"], reply["detail"].partition(":")[0]) == ("refused", word)
    assert f"`{word}`" in SECTIONS["prime"]


def test_every_word_that_begins_a_refusal_is_in_the_table():
    code = "".join(p.read_text() for p in Path(__file__).parents[2].glob("common/pumps/*.py"))
    said = set(re.findall(r'(?:RigbusError\(|return|why =|_HOLD =|void\()\s*f?"([a-z]+): ', code))
    assert {"busy", "locked", "limit", "calibration", "record", "stopping"} <= said, "the search finds them"
    assert {word for word in said if f"`{word}`" not in SECTIONS["prime"]} <= {"confirm", "unlock"}
