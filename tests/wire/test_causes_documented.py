"""Every word that can stand as `cause` in the ledger or in a loss frame is explained in docs/delivery.md, and no other.

The words are read from the source: constants given for a parameter, field, variable or attribute called `cause` (or
`missed_cause`), and those in rows and tuples that are written without a name.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("common/**/*.py"), *ROOT.glob("daemons/**/*.py")])
TREES = {path: ast.parse(path.read_text()) for path in FILES}
UNITS = {"frame", "edge", "sample", "poll", "row"}


def words(node: ast.expr | None) -> Iterator[str]:
    """The constants that an expression may be: of both arms of a conditional, however deep."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from words(node.body)
        yield from words(node.orelse)


def positions() -> dict[str, set[int]]:
    """Callable's name → where `cause` stands among its positional arguments (self not counted)."""
    found: dict[str, set[int]] = defaultdict(set)
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                names = [arg.arg for arg in node.args.args if arg.arg != "self"]
                if "cause" in names:
                    found[node.name].add(names.index("cause"))
            elif isinstance(node, ast.ClassDef):
                fields = [getattr(n.target, "id", "") for n in node.body if isinstance(n, ast.AnnAssign)]
                if "cause" in fields:
                    found[node.name].add(fields.index("cause"))
    return found


def causes_of(tree: ast.AST, where: dict[str, set[int]]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            for keyword in node.keywords:
                if keyword.arg == "cause":
                    yield from words(keyword.value)
            for at in where.get(name, ()):
                if at < len(node.args):
                    yield from words(node.args[at])
            if name == "append" and getattr(getattr(node.func, "value", None), "id", "") == "losses":
                yield from (w for arg in node.args if isinstance(arg, ast.Tuple) for e in arg.elts for w in words(e))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if getattr(target, "id", getattr(target, "attr", "")) in ("cause", "missed_cause"):
                    yield from words(node.value)
        elif isinstance(node, ast.Tuple):  # a row of the ledger: …, unit, count, cause, …
            for unit, count, cause in zip(node.elts, node.elts[1:], node.elts[2:], strict=False):
                if isinstance(unit, ast.Constant) and unit.value in UNITS and not list(words(count)):
                    yield from words(cause)


def documented() -> set[str]:
    section = (ROOT / "docs/delivery.md").read_text().partition("## Causes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`(\w+)`", row)}


def in_the_code() -> set[str]:
    where = positions()
    return {word for tree in TREES.values() for word in causes_of(tree, where)}


def test_every_cause_in_the_code_is_documented():
    assert in_the_code() - documented() == set()


def test_every_documented_cause_is_one_of_the_code():
    assert documented() - in_the_code() == set()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("rt.lose(topic, 'sample', 3, 'late', from_t=0, to_t=1)", {"late"}),
        ("self._spend(seq, 'queue_full')", {"queue_full"}),
        ("Loss(stream='*', cause='made_up')", {"made_up"}),
        ("cause = 'a' if x else 'b' if y else 'c'", {"a", "b", "c"}),
        ("class D:\n    missed_cause = 'overrun'", {"overrun"}),
        ("class D:\n    cause: str = 'given'", {"given"}),
        ("losses.append((a, b, 'gone', 0, 1))", {"gone"}),
        ("row = (now, None, '*', 'frame', None, 'cut', 1)", {"cut"}),
        ("noise.add(topic, 'strange', 'detail')", {"strange"}),
        ("print('frame', 'edge')", set()),
        ("Literal['frame', 'edge', 'sample']", set()),
    ],
)
def test_the_search_finds_a_cause_wherever_it_may_stand(source, expected):
    where = {"lose": {3}, "_spend": {1}, "add": {1}}
    assert set(causes_of(ast.parse(source), where)) == expected
    real = positions()
    assert all(where[name] <= real[name] for name in where)
