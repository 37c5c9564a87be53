"""Contradictions between keys: the line is that of the one that was read last."""

import pytest

from common.config import check as check_module
from common.config.load import load
from common.errors import ConfigError

TWO = '[[pulse.channel]]\nname = "a"\nline = 20\n[[pulse.channel]]\nname = "b"\nline = {}\n'


@pytest.fixture
def wrong(tmp_path, monkeypatch):
    """The error of a configuration of several files (and the environment), or None."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf.d").mkdir()

    def message(text, *more, **environ):
        (tmp_path / "r.toml").write_text(text)
        for left_over in (tmp_path / "conf.d").iterdir():
            left_over.unlink()
        for count, extra in enumerate(more):
            (tmp_path / f"conf.d/{count}.toml").write_text(extra)
        try:
            load("r.toml", {f"RIGBUS__{key}": value for key, value in environ.items()})
        except ConfigError as error:
            return str(error)
        return None

    return message


def test_two_channels_on_one_line(wrong):
    assert wrong(TWO.format(26)) is None
    assert wrong(TWO.format(20)) == (
        "r.toml:6: pulse.channel.b.line: line 20 of /dev/gpiochip0 is already used by pulse.channel.a.line (r.toml:3)"
    )


def test_the_channel_that_was_changed_last_is_the_offender(wrong):
    text = '[[pulse.channel]]\nname = "a"\n\nline = 26\n'
    assert wrong(TWO.format(26), text) == (
        "conf.d/0.toml:4: pulse.channel.a.line: line 26 of /dev/gpiochip0 is already used by "
        "pulse.channel.b.line (r.toml:6)"
    )
    assert wrong(TWO.format(26), text, PULSE__CHANNEL__B__LINE="26").startswith(
        "environment RIGBUS__PULSE__CHANNEL__B__LINE: pulse.channel.b.line: line 26 of /dev/gpiochip0 is already used"
    )


def test_pulse_without_a_channel(wrong):
    assert wrong("\n[pulse]\ncpu = 1\n") == "r.toml:2: pulse.channel: [pulse] needs at least one [[pulse.channel]]"
    assert wrong(TWO.format(26), "[pulse]\nchannel = []").startswith("conf.d/0.toml:2: pulse.channel: ")
    assert wrong("", PULSE__CPU="1").startswith("environment RIGBUS__PULSE__CPU: pulse.channel: ")


@pytest.mark.parametrize(
    ("text", "more", "place"),
    [
        ("[sink]\nname = 'b'", "", "r.toml:2: sink.name: "),
        ("[journal]\nconsumers = ['b']", "", "r.toml:2: journal.consumers: "),
        ("[sink]\nname = 'b'\n[journal]\nconsumers = ['c']", "", "r.toml:4: journal.consumers: "),
        ("[sink]\nname = 'b'\n[journal]\nkeep_s = 1", "", "r.toml:2: sink.name: "),
        ("[journal]\nconsumers = ['c']", "[sink]\nname = 'b'", "conf.d/0.toml:2: sink.name: "),
    ],
)
def test_a_sink_that_nothing_is_kept_for(wrong, text, more, place):
    message = wrong(text, more)
    assert message.startswith(place)
    assert "the sink's name, is not in journal.consumers" in message


def test_a_sink_of_another_name(wrong):
    assert wrong("[sink]\nname = 'b'\n[journal]\nconsumers = ['sink', 'b']") is None


def test_a_consumer_that_stands_twice(wrong):
    message = wrong("\n[journal]\nconsumers = ['sink', 'b', 'b']")
    assert message == 'r.toml:3: journal.consumers: "b" stands there twice'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("frame_ms = 5\nrate_hz = 200", None),
        ("frame_ms = 5\nrate_hz = 199", "r.toml:3: highspeed.rate_hz: a frame of 5 ms at 199 Hz holds less than"),
        ("rate_hz = 100\nframe_ms = 9", "r.toml:3: highspeed.frame_ms: a frame of 9 ms at 100 Hz holds less than"),
        ("rate_hz = 9.9", "r.toml:2: highspeed.rate_hz: a frame of 100 ms at 9.9 Hz holds less than one sample"),
    ],
)
def test_a_frame_holds_a_sample(wrong, text, expected):
    message = wrong(f"[highspeed]\n{text}")
    assert message is None if expected is None else message.startswith(expected)


def test_a_journal_of_a_daemon_that_there_is_not(wrong):
    message = wrong("[journal.daemon.pulse]\nplace = 'disk'\n[journal.daemon.puls]\nplace = 'disk'")
    assert message.startswith("r.toml:3: journal.daemon.puls: no such daemon; known: bus, pulse, ")


def test_daemons_are_the_sections_that_say_where_to_run():
    known = set(check_module.daemons())
    assert {"bus", "pulse", "highspeed", "sink"} <= known
    assert known.isdisjoint({"node", "paths", "journal"})


def test_a_host_name_that_is_no_name(wrong, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "møller")
    assert wrong("\n[sink]").startswith("r.toml:1: node: expected a name ")
    assert wrong("\n[sink]").endswith(", got the host name 'møller'")
    assert wrong("node = 'm'") is None


@pytest.mark.parametrize("name", ["csv", "influx", "rollups", "store"])
def test_an_output_with_a_name_that_is_taken(wrong, name):
    assert wrong("[sink.output.mine]\n") is None
    assert wrong(f"[sink.output.{name}]\n") == (
        f"r.toml:1: sink.output.{name}: this name is taken; another one than csv, influx, rollups, store"
    )
