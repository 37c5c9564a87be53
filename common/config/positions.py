"""From TOML text to the line of each key, which tomllib does not tell.

It skims text that tomllib judges: it finds keys and skips values, and checks nothing.
"""

import re
import tomllib

At = tuple[str | int, ...]  # a key as tomllib nests it: elements of arrays by index

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_STRING = re.compile(r'"""(?:\\.|[^\\])*?"""(?!")' r"|'''.*?'''(?!')" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'", re.DOTALL)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]*")
_SCALAR = re.compile(r"[^,\]}#\n]*")


class Positions:
    """The statements of a text that begin before `until`, and where they stand.

    lines: key or table → line, from 1; a table that only a longer key makes has that key's line.
    last: the last statement's key, its line, and the line where the same key stood before (None: nowhere).
    begin: the offset of that statement.
    """

    def __init__(self, text: str, until: int | None = None) -> None:
        self.lines: dict[At, int] = {}
        self.last: tuple[At, int, int | None] = ((), 1, None)
        self.begin = 0
        self._text = text
        self._at = 0
        self._counted = (0, 1)  # an offset and its line: lines are counted on from there
        self._elements: dict[At, int] = {}  # arrays of tables by header → elements so far
        end = len(text) if until is None else until
        table: At = ()
        while self._skip(_BLANK) < end:
            self.begin = self._at
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)

    def line(self, at: At) -> int:
        """The line of a key, else of the innermost table around it that has one."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else len(self._text)  # no match: an unterminated string, to the end
        return self._at

    def _line(self) -> int:
        offset, line = self._counted
        line += self._text.count("\n", offset, self._at)
        self._counted = (self._at, line)
        return line

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            begin, is_string = self._at, self._peek() in ('"', "'")
            end = self._skip(_STRING if is_string else _BARE_KEY)
            token = self._text[begin:end]
            keys.append(_decoded(token) if is_string else token)
            self._skip(_SPACE)
            if self._peek() != ".":
                return keys
            self._at += 1

    def _header(self) -> At:
        line = self._line()
        is_array = self._text.startswith("[[", self._at)
        self._at += 1 + is_array
        *outer, last = self._keys()
        self._at += 1 + is_array
        at: At = ()
        for key in outer:
            at = (*at, key)
            self.lines.setdefault(at, line)
            if at in self._elements:
                at = (*at, self._elements[at] - 1)
        at = (*at, last)
        self.last = (at, line, self.lines.get(at))
        if is_array:
            self.lines.setdefault(at, line)
            count = self._elements.get(at, 0)
            self._elements[at] = count + 1
            at = (*at, count)
        self.lines[at] = line
        return at

    def _pair(self, table: At) -> None:
        line = self._line()
        keys = self._keys()
        self._at += 1  # the equals sign
        at, before = table, None
        for key in keys:
            at = (*at, key)
            before = self.lines.get(at)
            self.lines.setdefault(at, line)
        self._value(at)
        self.last = (at, line, before)

    def _value(self, at: At) -> None:
        self._skip(_SPACE)
        if self._peek() == "[":
            count = 0
            while self._inside("]"):
                self.lines[(*at, count)] = self._line()
                self._value((*at, count))
                count += 1
        elif self._peek() == "{":
            while self._inside("}"):
                self._pair(at)
        else:
            self._skip(_STRING if self._peek() in ('"', "'") else _SCALAR)

    def _inside(self, closing: str) -> bool:
        """Step over the opening bracket or a comma; False, and past the end, when the closing bracket follows."""
        self._skip(_BLANK)
        if self._peek() != closing:
            self._at += 1
            self._skip(_BLANK)
        if self._peek() in (closing, ""):
            self._at += 1
            return False
        return True


def _decoded(token: str) -> str:
    try:
        return str(tomllib.loads(f"k = {token}")["k"])
    except tomllib.TOMLDecodeError:
        return token
