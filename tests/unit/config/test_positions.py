"""The scanner's oracle: in these documents each number says on which line its key stands."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.positions import Positions


def leaves(data, at=()):
    pairs = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in pairs:
        if isinstance(value, (dict, list)):
            yield from leaves(value, (*at, key))
        elif type(value) is int:
            yield (*at, key), value


STRINGS = """a = 1  # a = 9
"quoted # key" = 2
'lit = eral' . dotted."x\\"y" = 3
text = \"""
b = 9
[b]
\\\""" still text
""\""" # two quotes belong to the text
c = 9
raw = \'\'\'
c = 9
\"""\'\'
\'\'\'\'\' # one of them as well
d = 14
"""

DOCUMENTS = {
    "strings": STRINGS,
    "headers": "[a]\nx = 2\n[ a . 'b.c' ] # [d]\nx = 4\n[e.f.g]\nx = 6\n[e]\nx = 8\n",
    "arrays of tables": "[[p]]\nx = 2\n[[p.q]]\nx = 4\n[[p.q]]\nx = 6\n[p.r]\nx = 8\n[[p]]\nx = 10\n[[p.q]]\nx = 12\n",
    "arrays": "a = [\n  2,\n  # 9,\n  4\n  , 5,\n  [6, [\n  7]\n  ],\n  ]\nb = [[], [\n]]\nc = 12",
    "inline tables": "a = {x = 1, y.z = 1, s = ']}', w = [\n2, {v = 2}\n]}\nb = [\n {x = 5},\n {x = 6},\n]\nc = 8",
    "scalars": "t = 1979-05-27 07:32:00\nf = 6.6e+2\nb = true\nn = 4\n\n\n\tm = 7 \n",
    "windows": "a = 1\r\n\r\n[b]\r\nc = 4 # x\r\nd = [\r\n6]\r\n",
    "empty strings": "s = \"\"\nt = ''\nu = \"\"\"\"\"\"\nv = ''''''\na = 5\n",
    "empty": "",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_number_is_its_line(name):
    text = DOCUMENTS[name]
    positions = Positions(text)
    for at, number in leaves(tomllib.loads(text)):
        assert positions.lines[at] == number, at
    assert set(positions.lines) == set(every_key(tomllib.loads(text)))


def test_a_table_has_the_line_of_its_header_else_of_the_first_key_that_makes_it():
    positions = Positions("[a.b]\nx.y = 1\n[a]\n[[c]]\n[[c]]\n[a.d]\n")
    assert positions.lines == {
        ("a",): 3,
        ("a", "b"): 1,
        ("a", "d"): 6,
        ("a", "b", "x"): 2,
        ("a", "b", "x", "y"): 2,
        ("c",): 4,
        ("c", 0): 4,
        ("c", 1): 5,
    }


def test_what_has_no_line_has_that_of_the_innermost_table_around_it():
    positions = Positions("\n[a]\nx = 1\n")
    assert [positions.line(at) for at in [("a", "b", "c"), ("a", "x", 3), ("d",), ()]] == [2, 3, 1, 1]


def test_the_last_statement_before_an_offset():
    text = "a = 1\nb = [\n2,\n{ c = 4 },\n]\na = 6\nd = 7\n"
    positions = Positions(text, until=text.index("= 6"))
    assert (positions.last, positions.begin) == ((("a",), 6, 1), text.index("a = 6"))
    assert ("d",) not in positions.lines


@given(st.text(alphabet="[]{}=,.\"'#\\\n ab1", max_size=60))
def test_it_ends_on_any_text_and_agrees_with_tomllib_about_the_keys(text):
    positions = Positions(text)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(every_key(data)) == set(positions.lines)


def every_key(data, at=()):
    if isinstance(data, (dict, list)):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield (*at, key)
            yield from every_key(value, (*at, key))


LAYOUT = st.sampled_from(
    ["", "\n", "# x = 9\n", "[ignored{n}]\n", 's{n} = """\n[no]\nx = 9\n"""\n', "r{n} = ['''\n''',\n[ ]\n]\n"]
)


@given(st.lists(st.tuples(LAYOUT, st.sampled_from(["[t{n}]", "[[u]]", "[u.v{n}]", "k{n}", "k{n}.'q. '", "k{n} = [["]))))
def test_documents_put_together_at_random(pieces):
    text = "[[u]]\n"
    for n, (layout, form) in enumerate(pieces):
        text += layout.format(n=n)
        line = text.count("\n") + 1
        form = form.format(n=n)
        if form.startswith("["):
            text += f"{form}\nx{n} = {line + 1}\n"
        elif form.endswith("[["):
            text += f"{form}\n{line + 1}], {{a = {line + 1}}}]\n"
        else:
            text += f"{form} = {line}\n"
    positions = Positions(text)
    for at, number in leaves(tomllib.loads(text)):
        assert positions.lines[at] == number, (at, text)
