"""What each mistake is called, and where."""

import pytest

from common.config.load import load
from common.config.schema import Config
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
def test_a_mistake_in_a_file(error, text):
    assert error(text) == f"rigbus.toml:{MISTAKES[text]}"


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_a_file_of_conf_d(error, text):
    assert error("", text) == f"conf.d/0.toml:{MISTAKES[text]}".replace("(rigbus.toml", "(conf.d/0.toml")


def test_no_mistake_is_hidden_by_a_later_file(error):
    assert error("[sink]\ncommit_s = 0", "[sink]\ncommit_s = 1").startswith("rigbus.toml:2: sink.commit_s: ")


def test_a_required_key_may_stand_in_another_file(rig):
    loaded = rig("[[pulse.channel]]\nname = 'a'", "[[pulse.channel]]\nname = 'a'\nline = 3")
    assert loaded.config.pulse.channel[0].line == 3


def test_a_key_missing_in_all_files_is_missing_where_the_table_first_stands(error):
    message = error("\n[[pulse.channel]]\nname = 'a'", "[[pulse.channel]]\nname = 'a'\nedge = 'falling'")
    assert message == "rigbus.toml:2: pulse.channel.a.line: required key is missing"


def test_nesting_without_end(error):
    assert error("node = " + "[" * 100_000) == "rigbus.toml: not TOML: nested too deeply"


def test_a_number_without_end(error):
    assert error("node = " + "1" * 5000).startswith("rigbus.toml: not TOML: Exceeds the limit")


def test_a_file_that_is_not_utf_8(error):
    assert error(b"# a\n# \xc3\xa4\n# \xe4\n") == "rigbus.toml:3: not UTF-8 text: byte 0xe4"


def test_a_file_that_is_missing():
    with pytest.raises(ConfigError, match=r"^/nowhere/x\.toml: cannot be read: No such file or directory$"):
        load("/nowhere/x.toml", {})


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(ConfigError, match=r": cannot be read: Is a directory$"):
        load(str(tmp_path), {})


def test_a_name_that_no_file_can_have():
    with pytest.raises(ConfigError, match=r"^'a\\x00b': cannot be read: embedded null byte$"):
        load("a\0b", {})


def test_a_link_in_conf_d_that_leads_nowhere(error, tmp_path):
    (tmp_path / "conf.d/a.toml").symlink_to("nowhere")
    assert error("") == "conf.d/a.toml: cannot be read: No such file or directory"


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
def test_a_mistake_in_the_environment(error, variable, value, message):
    assert error(METERS, **{variable: value}) == f"environment RIGBUS__{variable}: {message}"


def test_a_variable_that_may_mean_two_elements(error):
    text = '[[pulse.channel]]\nname = "a.b"\nline = 1\n[[pulse.channel]]\nname = "a-b"\nline = 2\n'
    message = error(text, PULSE__CHANNEL__A_B__LINE="3")
    assert message.startswith("environment RIGBUS__PULSE__CHANNEL__A_B__LINE: pulse.channel: ")
    assert message.endswith(': A_B may mean "a.b" or "a-b": use a file in conf.d')
