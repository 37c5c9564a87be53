"""A rig and a browser for the tests of the page. Chromium is Debian's: nothing is downloaded for it.

Without chromium or axe-core the tests skip with a line, but fail where RIGBUS_TEST_SERVERS=required or in CI.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "tests" / "system"))  # rig.py: a rig of real processes

from page_rig import PageRig  # noqa: E402

BROWSER = "/usr/bin/chromium"
AXE = "axe-core@4.14.1"
SHOTS = ROOT / "var" / "screenshots"
ALL = ("pulse", "vibration", "thermostat", "pumps", "account", "storage")
_REQUIRED = bool(os.environ.get("CI")) or os.environ.get("RIGBUS_TEST_SERVERS") == "required"

LIVE_S = 40.0  # about 1 s

OpenPage = Callable[..., Any]
MakePageRig = Callable[..., PageRig]
Figure = Callable[[str, object], None]


def missing(text: str) -> NoReturn:
    if _REQUIRED:
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core; fetched once into .venv, as make test-deps does."""
    base = ROOT / ".venv" if (ROOT / ".venv").is_dir() else Path(tempfile.mkdtemp(prefix="axe"))
    source = base / "page-tools" / "node_modules" / "axe-core" / "axe.min.js"
    if not source.exists():
        npm = shutil.which("npm") or missing("npm is not installed (make test-deps)")
        options = ["--prefix", str(base / "page-tools"), "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"]
        got = subprocess.run([npm, "install", *options, AXE], capture_output=True, text=True, timeout=100, check=False)
        if got.returncode:
            missing("axe-core could not be fetched by npm (make test-deps)")
    return source.read_text()


@pytest.fixture(scope="module")
def page_folder() -> Iterator[Path]:
    """Short, as the path of a socket has at most 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="rb", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def make_page_rig(page_folder: Path) -> Iterator[MakePageRig]:
    """make_page_rig(*PageRig's arguments) → PageRig that has not begun."""
    rigs: list[PageRig] = []

    def make(*args: Any, **options: Any) -> PageRig:
        place = page_folder / str(len(rigs))
        place.mkdir()
        rigs.append(PageRig(place, *args, **options))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture(scope="module")
def shared_rig(make_page_rig: MakePageRig) -> PageRig:
    """The module's own rig with everything simulated, begun."""
    rig = make_page_rig()
    return rig.begin(*ALL, *["arm"] * rig.has_arm)


@pytest.fixture
def page_rig(shared_rig: PageRig) -> Iterator[PageRig]:
    """`shared_rig`; each test gets it and leaves it with nothing latched and nothing running."""
    shared_rig.unlock()
    yield shared_rig
    shared_rig.unlock()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Of one module: while playwright is there no other test of this process may start an event loop."""
    from playwright.sync_api import sync_playwright

    if not Path(BROWSER).exists():
        missing("chromium is not installed (make test-deps)")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
        with playwright.chromium.launch(executable_path=BROWSER, args=options) as found:
            yield found


class Watch:
    """What a page has done wrong so far: errors in its console, requests to other hosts."""

    def __init__(self, page: Any, host: str) -> None:
        self.host = host
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.expected: list[str] = []  # parts of messages that a test brings about
        page.on("console", lambda m: m.type == "error" and self.errors.append(f"{m.text} {m.location.get('url', '')}"))
        page.on("pageerror", lambda e: self.errors.append(f"uncaught: {e}"))
        page.on("request", lambda r: self._look(r.url))
        page.on("websocket", lambda w: self._look(w.url))

    def _look(self, url: str) -> None:
        if urlsplit(url).netloc != self.host and not url.startswith(("data:", "blob:", "about:")):
            self.foreign.append(url)

    def check(self) -> None:
        assert self.foreign == [], self.foreign
        wrong = [e for e in self.errors if not any(part in e for part in self.expected)]
        assert wrong == [], wrong


def page_live(page: Any) -> None:
    """Until it has heard the rig; what its console said is told if it never does."""
    deadline = time.monotonic() + LIVE_S
    while page.evaluate("document.body.dataset.link") != "live":
        assert time.monotonic() < deadline, f"no link to the rig; the console: {page.watch.errors}"
        page.wait_for_timeout(50)


@pytest.fixture
def open_page(browser: Any, request: pytest.FixtureRequest) -> Iterator[OpenPage]:
    """open_page(url, width=1366, height=768, theme="light", live=True, **context) → a page with look.js in it.

    `page.watch.expected` takes parts of console errors that the test brings about; all others fail it, as does a
    request to another host.
    """
    opened: list[Any] = []

    def make(
        url: str, width: int = 1366, height: int = 768, theme: str = "light", live: bool = True, **context: Any
    ) -> Any:
        made = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, timezone_id="UTC", **context
        )
        made.set_default_timeout(40_000)
        made.add_init_script(path=str(HERE / "look.js"))
        page = made.new_page()
        page.watch = Watch(page, urlsplit(url).netloc)
        opened.append(page)
        page.goto(url)
        if live:
            page_live(page)
        return page

    yield make
    failed = getattr(request.node, "failed", False)
    try:
        if not failed:
            for page in opened:
                page.watch.check()
    finally:
        for page in opened:
            page.context.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failed test is not told of a second time by what it left in the console."""
    report = yield
    item.failed = getattr(item, "failed", False) or report.failed  # type: ignore[attr-defined]
    return report


@pytest.fixture
def shot() -> Callable[..., None]:
    """shot(page, name): a picture into var/screenshots, for eyes."""
    SHOTS.mkdir(parents=True, exist_ok=True)

    def take(page: Any, name: str, full: bool = False) -> None:
        page.screenshot(path=str(SHOTS / f"{name}.png"), full_page=full)

    return take


@pytest.fixture
def figure(request: pytest.FixtureRequest, record_property: Figure) -> Figure:
    """figure(what, value): measured, not asserted; into the report and var/screenshots/figures.txt."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", " ", request.node.name)

    def tell(what: str, value: object) -> None:
        record_property(what, value)
        print(f"{name}: {what}: {value}")
        with (SHOTS / "figures.txt").open("a") as file:
            file.write(f"{name}: {what}: {value}\n")

    return tell
