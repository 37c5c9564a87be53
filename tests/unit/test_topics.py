"""The table of topics: one row a kind, and topics as the contract names them."""

import msgspec
import pytest

from common import frames, topics
from common.frames import AnyFrame
from common.topics import TOPICS, row_of, topic_of

# From the contract: kind → topic of an instance named "a1" (where the kind has instances).
CONTRACT = {
    "pulse": "pulse/a1/",
    "samples": "samples/a1/",
    "thermostat": "thermostat/a1/",
    "pump": "pump/a1/",
    "arm_command": "arm/command/",
    "arm_feedback": "arm/feedback/",
    "smoother": "app/smoother/",
    "web_request": "app/web_request/",
    "camera": "app/camera/",
    "event": "app/event/",
    "loss": "loss/a1/",
    "health": "health/a1/",
}
DURABLE = {"pulse", "pump", "arm_command", "loss"}


def named(kind):
    """A frame of a kind whose instance is a1; fields that a topic does not need are empty."""
    row = TOPICS[kind]
    fields = {field.name: "" for field in msgspec.structs.fields(row.frame)}
    return row.frame(**{**fields, **({row.instance: "a1"} if row.instance else {})})


def test_every_kind_has_one_row_and_there_are_no_others():
    kinds = {cls.__struct_config__.tag: cls for cls in AnyFrame.__args__}
    assert {kind: row.frame for kind, row in TOPICS.items()} == kinds
    assert len(topics._ROWS) == len(TOPICS) == len(CONTRACT)
    assert all(row.kind == kind for kind, row in TOPICS.items())


@pytest.mark.parametrize("kind", sorted(CONTRACT))
def test_a_topic_is_the_contracts(kind):
    topic = topic_of(named(kind))
    assert topic == CONTRACT[kind]
    assert topic.endswith("/")
    assert topic.isascii()
    assert row_of(named(kind)) is TOPICS[kind]


@pytest.mark.parametrize("kind", sorted(kind for kind, row in TOPICS.items() if row.instance))
def test_the_instance_is_a_field_that_cannot_hold_a_slash(kind):
    """Else a subscriber to one instance would also get another, and the journal would read the wrong channel."""
    row = TOPICS[kind]
    fields = {f.name: f.type for f in msgspec.structs.fields(row.frame)}
    for wrong in ("a/b", "", "ä", "a b", "a\n", ".."):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, fields[row.instance])


def test_no_topic_is_the_beginning_of_another():
    prefixes = [row.prefix for row in TOPICS.values()]
    clash = [(a, b) for a in prefixes for b in prefixes if a != b and b.startswith(a)]
    assert clash == []


def test_what_must_be_on_the_disk_before_it_is_sent():
    assert {kind for kind, row in TOPICS.items() if row.durable} == DURABLE


def test_periods_are_positive():
    assert all(row.period_s is None or row.period_s > 0 for row in TOPICS.values())


def test_a_class_that_is_no_kind_has_no_topic():
    with pytest.raises(KeyError):
        topic_of(frames.Frame())
