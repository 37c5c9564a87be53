"""What is read, in which order, and what each mistake is called."""

import os
import socket

import pytest

from common.config.load import load
from common.config.schema import Config, JournalPlace
from common.errors import ConfigError

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


@pytest.fixture
def rig(tmp_path, monkeypatch):
    """Write files in an empty folder that is the current one, and load `rigbus.toml` with an environment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf.d").mkdir()

    def loaded(text, *more, **environ):
        write("rigbus.toml", text)
        for count, extra in enumerate(more):
            write(f"conf.d/{count}.toml", extra)
        return load("rigbus.toml", {f"RIGBUS__{key}": value for key, value in environ.items()})

    def write(name, text):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return loaded


def error(rig, *args, **environ):
    with pytest.raises(ConfigError) as caught:
        rig(*args, **environ)
    assert caught.value.exit_code == 78
    message = str(caught.value)
    assert "\n" not in message
    return message


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
        ("PULSE__CHANNEL__IMPORT__NAME", "import", lambda config: len(config.pulse.channel), 2),
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


NAME = "a name (letters, digits and _ . - after the first, at most 64)"
SECTIONS = ", ".join(Config.__struct_fields__)
MISTAKES = {
    # unknown keys
    "\nnodes = 1": "2: nodes: unknown key; did you mean node?",
    "[sink]\n\nCOMMIT_S = 1": "3: sink.COMMIT_S: unknown key; did you mean commit_s?",
    "[zzz]\nx = 1": f"1: zzz: unknown key; known here: {SECTIONS}",
    'paths = {"a\\nb" = 1}': '1: paths."a\\nb": unknown key; known here: data, run',
    METERS + "lines = 3": "11: pulse.channel.heat-pump.lines: unknown key; did you mean line?",
    "[journal.daemon.pulse]\nplaces = 1": "2: journal.daemon.pulse.places: unknown key; did you mean place?",
    "pulse.channel = [\n{name = 'a', line = 1},\n{name = 'b', lin = 1}]": (
        "3: pulse.channel.b.lin: unknown key; did you mean line?"
    ),
    # wrong types
    "node = 3": f"1: node: expected {NAME}, got 3",
    "sink = 3": "1: sink: expected a table, got 3",
    "[[sink]]": "1: sink: expected a table, got [{}]",
    "[pulse.channel]\nname = 'a'": "1: pulse.channel: expected tables under [[pulse.channel]], got a table",
    "[pulse]\nchannel = ['a']": '2: pulse.channel: expected a table, got "a"',
    "[journal]\ndaemon = 'pulse'": '2: journal.daemon: expected a table, got "pulse"',
    "[journal.daemon]\npulse = 'disk'": '2: journal.daemon.pulse: expected a table, got "disk"',
    "[journal]\nmax_bytes = 1.5": "2: journal.max_bytes: expected an integer of at least 0, got 1.5",
    "[sink]\ncommit_s = true": "2: sink.commit_s: expected a number from 0.05 to 60, got true",
    "node = 2020-01-01": f"1: node: expected {NAME}, got 2020-01-01",
    "[pulse]\ncpu = [0,\n'a']": (
        '2: pulse.cpu: expected "auto", "none", an integer from 0 to 1023 '
        'or a list of 1 or more, each an integer from 0 to 1023, got [0, "a"]'
    ),
    f"node = '{'x' * 99}'": f'1: node: expected {NAME}, got "{"x" * 56}...',
    # out of range
    "[sink]\n# c\ncommit_s = 0": "3: sink.commit_s: expected a number from 0.05 to 60, got 0",
    "[sink]\nretention_days = inf": "2: sink.retention_days: expected a number over 0, got inf",
    "[journal]\nkeep_s = nan": "2: journal.keep_s: expected a number of at least 0, got nan",
    "[journal]\nplace = 'tape'": '2: journal.place: expected "memory" or "disk", got "tape"',
    "highspeed = { range_g = 3 }": "1: highspeed.range_g: expected 2, 4, 8 or 16, got 3",
    "[journal]\nconsumers = []": f"2: journal.consumers: expected a list of 1 or more, each {NAME}, got []",
    "[[pulse.channel]]\nname = 'a b'\nline = 1": f'2: pulse.channel.name: expected {NAME}, got "a b"',
    "[[pulse.channel]]\nname = '..'\nline = 1": f'2: pulse.channel.name: expected {NAME}, got ".."',
    '[[pulse.channel]]\nname = "a\\n"\nline = 1': f'2: pulse.channel.name: expected {NAME}, got "a\\n"',
    "[[pulse.channel]]\nname = 'a'\nline = -1": "3: pulse.channel.a.line: expected an integer from 0 to 1023, got -1",
    "[journal.daemon.sink]\nplace = 'disk'\n[journal.daemon.pulse]\nmax_bytes = 1": (
        "4: journal.daemon.pulse.max_bytes: expected an integer of at least 262144, got 1"
    ),
    "[journal.daemon.'a b']\nplace = 'disk'": f'1: journal.daemon."a b": expected {NAME}, got "a b"',
    # required keys
    METERS + "[[pulse.channel]]\nname = 'c'": "11: pulse.channel.c.line: required key is missing",
    METERS + "[[pulse.channel]]\nline = 3": "11: pulse.channel.name: required key is missing",
    # the same name, the same key
    METERS + "[[pulse.channel]]\nline = 3\nname = 'import'": (
        '13: pulse.channel.import.name: "import" is already the name of another (rigbus.toml:5)'
    ),
    METERS + "name = 'x'": "11: pulse.channel.heat-pump.name: given a second time (first on line 8)",
    "[sink]\n[bus]\ncpu = [\n1]\n[sink]\n": "5: sink: given a second time (first on line 1)",
    "[bus]\ncpu = 1\ncpu = [\n1,\n2]\n": "3: bus.cpu: given a second time (first on line 2)",
    "#\r\n" * 9 + "[bus]\r\ncpu = 1\r\ncpu = 2\r\n[sink]\r\n": "12: bus.cpu: given a second time (first on line 11)",
    "node = 1\nnode.x = 2": "2: node.x: cannot overwrite a value",
    # no TOML
    "[sink\ncommit_s = 1": "1: not TOML: expected ']' at the end of a table declaration (column 6)",
    "\nnode = rig": '2: not TOML: invalid value (text needs quotes: "…") (column 8)',
    "node = 'a' 'b'": "1: not TOML: expected newline or end of document after a statement (column 12)",
    "\n[pulse]\ncpu = [\n1,\n2": "3: not TOML: unclosed array",
    "\nnode = '''a\n\nb = 3\n": "2: not TOML: expected \"'''\"",
    '\nnode = """a\n\nb = 3\n': "2: not TOML: unterminated string",
    "node =": "1: not TOML: invalid value",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_a_file(rig, text):
    assert error(rig, text) == f"rigbus.toml:{MISTAKES[text]}"


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_a_file_of_conf_d(rig, text):
    assert error(rig, "", text) == f"conf.d/0.toml:{MISTAKES[text]}".replace("(rigbus.toml", "(conf.d/0.toml")


def test_no_mistake_is_hidden_by_a_later_file(rig):
    assert error(rig, "[sink]\ncommit_s = 0", "[sink]\ncommit_s = 1").startswith("rigbus.toml:2: sink.commit_s: ")


def test_a_required_key_may_stand_in_another_file(rig):
    loaded = rig("[[pulse.channel]]\nname = 'a'", "[[pulse.channel]]\nname = 'a'\nline = 3")
    assert loaded.config.pulse.channel[0].line == 3


def test_a_key_missing_in_all_files_is_missing_where_the_table_first_stands(rig):
    message = error(rig, "\n[[pulse.channel]]\nname = 'a'", "[[pulse.channel]]\nname = 'a'\nedge = 'falling'")
    assert message == "rigbus.toml:2: pulse.channel.a.line: required key is missing"


def test_nesting_without_end(rig):
    assert error(rig, "node = " + "[" * 100_000) == "rigbus.toml: not TOML: nested too deeply"


def test_a_number_without_end(rig):
    assert error(rig, "node = " + "1" * 5000).startswith("rigbus.toml: not TOML: Exceeds the limit")


def test_a_file_that_is_not_utf_8(rig):
    assert error(rig, b"# a\n# \xc3\xa4\n# \xe4\n") == "rigbus.toml:3: not UTF-8 text: byte 0xe4"


def test_a_file_that_is_missing():
    with pytest.raises(ConfigError, match=r"^/nowhere/x\.toml: cannot be read: No such file or directory$"):
        load("/nowhere/x.toml", {})


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(ConfigError, match=r": cannot be read: Is a directory$"):
        load(str(tmp_path), {})


def test_a_name_that_no_file_can_have():
    with pytest.raises(ConfigError, match=r"^'a\\x00b': cannot be read: embedded null byte$"):
        load("a\0b", {})


def test_a_link_in_conf_d_that_leads_nowhere(rig, tmp_path):
    (tmp_path / "conf.d/a.toml").symlink_to("nowhere")
    assert error(rig, "") == "conf.d/a.toml: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PULSE__CHANEL__IMPORT__LINE", "1", "pulse.chanel: unknown key; did you mean channel?"),
        ("PULSE__CHANNEL__IMPORT__LIN", "1", "pulse.channel.import.lin: unknown key; did you mean line?"),
        ("PULSE__CHANNEL__IMPORT__LINE", "x", 'pulse.channel.import.line: expected an integer from 0 to 1023, got "x"'),
        ("PULSE__CHANNEL__NEW__EDGE", "falling", "pulse.channel.new.line: required key is missing"),
        ("PULSE__CHANNEL__IMPORT", "x", 'pulse.channel: expected a table, got "x"'),
        (
            "PULSE__CHANNEL__IMPORT__NAME",
            "other",
            "pulse.channel.import.name: the variable names import: a name cannot be changed here",
        ),
        ("SINK__COMMIT_S", "0", "sink.commit_s: expected a number from 0.05 to 60, got 0"),
        ("SINK__COMMIT_S", "", 'sink.commit_s: expected a number from 0.05 to 60, got ""'),
        ("SINK", "1", "sink: expected a table, got 1"),
        ("NODE__X", "1", "node.x: unknown key; node is a value, no table"),
        (
            "JOURNAL__DAEMON__PULSE__PLACE",
            "tape",
            'journal.daemon.pulse.place: expected "memory" or "disk", got "tape"',
        ),
        ("NODE", "a\udcffb", "node: not UTF-8 text"),
        ("", "1", f'"": unknown key; known here: {SECTIONS}'),
    ],
)
def test_a_mistake_in_the_environment(rig, variable, value, message):
    assert error(rig, METERS, **{variable: value}) == f"environment RIGBUS__{variable}: {message}"


def test_a_variable_that_may_mean_two_elements(rig):
    text = '[[pulse.channel]]\nname = "a.b"\nline = 1\n[[pulse.channel]]\nname = "a-b"\nline = 2\n'
    message = error(rig, text, PULSE__CHANNEL__A_B__LINE="3")
    assert message.startswith("environment RIGBUS__PULSE__CHANNEL__A_B__LINE: pulse.channel: ")
    assert message.endswith(': A_B may mean "a.b" or "a-b": use a file in conf.d')
