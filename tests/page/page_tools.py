"""What several tests of the page need: waiting for it, and reading it."""

import time
from typing import Any

from playwright.sync_api import Error

WAIT_S = 40.0  # a bound for what takes well under 5 s on an idle machine

_IN_VIEW = """(n => { const {top, bottom} = n.getBoundingClientRect();
    return look.seen(n) && bottom > 0 && top < innerHeight - 50; })"""
# numbers in view that say nothing yet, and panels in view whose charts have not come; what nobody sees is not drawn
EMPTY = f"""() => [...document.querySelectorAll("[data-value]")].filter({_IN_VIEW})
    .filter(n => !/[0-9a-z]/i.test(n.textContent)).map(look.nameOf)"""
CHARTLESS = f"""() => ["power", "vibration", "thermostat"].map(name => document.querySelector(`[data-panel=${{name}}]`))
    .filter({_IN_VIEW}).filter(n => !n.querySelector(".chart-over")).map(look.nameOf)"""


def until(page: Any, expression: str, arg: Any = None, timeout_s: float = WAIT_S) -> Any:
    """Polls until an expression (or a function of `arg`) is true in the page; returns what it came to.

    One that raises is not true yet: something is not drawn. Playwright's own wait_for_function needs eval in the page,
    which its Content-Security-Policy forbids.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        error = ""
        try:
            if found := page.evaluate(expression, arg):
                return found
        except Error as e:
            error = f" ({e.message})"
        said = f"in {timeout_s:g} s not: {expression} {'' if arg is None else arg}{error}"
        assert time.monotonic() < deadline, said
        page.wait_for_timeout(50)


def has_values(page: Any, timeout_s: float = WAIT_S) -> None:
    """Until the charts are there and every number in view says something."""
    deadline = time.monotonic() + timeout_s
    while bare := page.evaluate(CHARTLESS):
        assert time.monotonic() < deadline, f"in {timeout_s:g} s no charts in {bare}; the console: {page.watch.errors}"
        page.wait_for_timeout(50)
    while empty := page.evaluate(EMPTY):
        assert time.monotonic() < deadline, f"in {timeout_s:g} s nothing in {empty}"
        page.wait_for_timeout(50)


def nothing(found: list[Any], what: object = "") -> None:
    """Fails with a line for each thing found."""
    assert not found, "\n".join([str(what), *map(str, found)])
