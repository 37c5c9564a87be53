"""What is read, in which order, and where each value comes from."""

import os
import socket

import pytest

from common.config.load import load
from common.config.schema import JournalPlace

METERS = """\
node = "r"
[pulse]
chip = "/dev/gpiochip1"
[[pulse.channel]]
name = "import"
line = 20
[[pulse.channel]]
name = "heat-pump"
line = 26
edge = "falling"
"""


def origin(loaded, key):
    return str(loaded.origins[tuple(key.split("."))])


def test_an_empty_file_gives_the_defaults(rig):
    loaded = rig("")
    assert loaded.config.node == socket.gethostname().split(".")[0]
    assert loaded.config.pulse is None
    assert loaded.config.sink.commit_s == 1
    assert loaded.origins == {}


def test_each_value_has_its_origin(rig):
    loaded = rig(METERS)
    assert [channel.name for channel in loaded.config.pulse.channel] == ["import", "heat-pump"]
    assert origin(loaded, "node") == "rigbus.toml:1"
    assert origin(loaded, "pulse.channel.import.line") == "rigbus.toml:6"
    assert origin(loaded, "pulse.channel.heat-pump.edge") == "rigbus.toml:10"
    assert ("pulse", "channel", "import", "edge") not in loaded.origins


def test_conf_d_is_read_in_order_and_merges(rig):
    second = """
[pulse]
chip = "c"
[[pulse.channel]]
name = "new"
line = 1
[[pulse.channel]]
name = "import"
pull = "up"
"""
    third = '[pulse]\nchannel = [{name = "import", pull = "down"}]\n[journal]\nconsumers = ["b", "sink"]\n'
    loaded = rig("journal.consumers = ['sink', 'a']\n" + METERS, second, third)
    pulse = loaded.config.pulse
    assert [str(source) for source in loaded.sources] == ["rigbus.toml", "conf.d/0.toml", "conf.d/1.toml"]
    assert pulse.chip == "c"
    assert [(channel.name, channel.line, channel.pull) for channel in pulse.channel] == [
        ("import", 20, "down"),
        ("heat-pump", 26, "up"),
        ("new", 1, "up"),
    ]
    assert loaded.config.journal.consumers == ["b", "sink"]
    assert origin(loaded, "pulse.channel.import.pull") == "conf.d/1.toml:2"
    assert origin(loaded, "pulse.channel.import.line") == "rigbus.toml:7"
    assert origin(loaded, "pulse.channel.import.name") == "rigbus.toml:6"


def test_an_empty_array_drops_the_channels_of_earlier_files(rig):
    loaded = rig(METERS, "[pulse]\nchannel = []", '[[pulse.channel]]\nname = "import"\nline = 3')
    assert [(channel.name, channel.line, channel.edge) for channel in loaded.config.pulse.channel] == [
        ("import", 3, "rising")
    ]


def test_only_toml_files_that_are_not_hidden_are_read(rig, tmp_path):
    (tmp_path / "conf.d/a.toml.example").write_text("nonsense")
    (tmp_path / "conf.d/.#a.toml").write_text("nonsense")
    assert len(rig(METERS).sources) == 1


def test_windows_line_ends_and_a_byte_order_mark_are_no_mistake(rig):
    loaded = rig(b"\xef\xbb\xbf" + METERS.replace("\n", "\r\n").encode())
    assert origin(loaded, "pulse.channel.heat-pump.edge") == "rigbus.toml:10"


@pytest.mark.parametrize(
    ("variable", "value", "pick", "expected"),
    [
        ("NODE", "rig7", lambda config: config.node, "rig7"),
        ("NODE", "'rig7'", lambda config: config.node, "rig7"),
        ("NODE", "7", lambda config: config.node, "7"),
        ("PATHS__DATA", "/a b#c", lambda config: config.paths.data, "/a b#c"),
        ("PATHS__DATA", "x\nrun = 1", lambda config: config.paths.data, "x\nrun = 1"),
        ("PATHS__DATA", "'x'\nrun = 1", lambda config: config.paths.data, "'x'\nrun = 1"),
        ("SINK__COMMIT_S", "2", lambda config: config.sink.commit_s, 2.0),
        ("PULSE__CPU", "auto", lambda config: config.pulse.cpu, "auto"),
        ("PULSE__CPU", "3", lambda config: config.pulse.cpu, 3),
        ("PULSE__CPU", "[1, 2]", lambda config: config.pulse.cpu, [1, 2]),
        ("PULSE__CHANNEL__IMPORT__LINE", "21", lambda config: config.pulse.channel[0].line, 21),
        ("PULSE__CHANNEL__HEAT_PUMP__LINE", "21", lambda config: config.pulse.channel[1].line, 21),
        ("PULSE__CHANNEL__IMPORT", "{line = 3}", lambda config: config.pulse.channel[0].line, 3),
        ("PULSE__CHANNEL__SUN", "{line = 3}", lambda config: config.pulse.channel[2].name, "sun"),
        ("PULSE__CHANNEL__SUN__LINE", "3", lambda config: config.pulse.channel[2].line, 3),
        ("JOURNAL__DAEMON__PULSE__PLACE", "disk", lambda config: config.journal.daemon["pulse"].place, "disk"),
        ("JOURNAL__DAEMON", '{sink = {place = "disk"}}', lambda config: list(config.journal.daemon), ["sink"]),
        ("HIGHSPEED", "{}", lambda config: config.highspeed.rate_hz, 800),
    ],
)
def test_the_environment_beats_the_files(rig, variable, value, pick, expected):
    loaded = rig(METERS, "node = 'from-conf-d'", **{variable: value})
    assert pick(loaded.config) == expected
    assert f"environment RIGBUS__{variable}" in {str(source) for source in loaded.origins.values()}


def test_several_variables_make_one_new_element(rig):
    loaded = rig(METERS, PULSE__CHANNEL__SUN__LINE="3", PULSE__CHANNEL__SUN__EDGE="falling")
    assert [(channel.name, channel.line, channel.edge) for channel in loaded.config.pulse.channel[2:]] == [
        ("sun", 3, "falling")
    ]


def test_a_variable_may_say_the_name_that_it_has(rig):
    loaded = rig(METERS, PULSE__CHANNEL__IMPORT__NAME="import")
    assert origin(loaded, "pulse.channel.import.name") == "rigbus.toml:5"


def test_variables_apply_in_the_order_of_their_names(rig):
    loaded = rig(METERS, PULSE__CHANNEL__SUN__LINE="3", PULSE__CHANNEL="[]")
    assert [channel.name for channel in loaded.config.pulse.channel] == ["sun"]


def test_the_environment_of_the_process_is_the_default(rig, monkeypatch):
    rig("")
    monkeypatch.setitem(os.environ, "RIGBUS__NODE", "seen")
    assert load("rigbus.toml").config.node == "seen"


def test_a_map_of_tables_merges_by_key(rig):
    loaded = rig("[journal.daemon.pulse]\nplace = 'disk'\n", "[journal.daemon.pulse]\nmax_bytes = 1_000_000\n")
    assert loaded.config.journal.daemon == {"pulse": JournalPlace(place="disk", max_bytes=1_000_000)}
