"""The lab's fixtures.  Its tests run only where they are selected (`-m lab`) and end with a table of counts."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import images
from .rig import LOG, counting
from .vm import Guest, GuestError

HERE = Path(__file__).parent
_counts: list[str] = []

Report = Callable[..., None]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "lab" not in config.option.markexpr:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="needs the virtual machine of tests/lab: make lab"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _counts:
        terminalreporter.section("lab: what was counted")
        for line in sorted(_counts):
            terminalreporter.line(line)


def pytest_exception_interact(node: pytest.Item | pytest.Collector, report: pytest.TestReport) -> None:
    """A failed test shows what the daemons in its guest said."""
    guest = node.funcargs.get("guest") if isinstance(node, pytest.Function) else None
    if isinstance(guest, Guest):
        try:
            report.sections.append(("the guest's log", guest.sh(LOG)))
        except (GuestError, OSError) as e:  # it was killed: a power cut
            report.sections.append(("the guest's log", f"not to be had: {e}"))


@pytest.fixture(scope="session")
def lab() -> Iterator[Path]:
    """The lab's folder, held for this run, with a machine that fits the source tree."""
    folder = images.folder()
    if lacks := images.missing(folder):
        pytest.skip(f"the lab needs {', '.join(lacks)}")
    with images.locked(folder):
        if not images.ready(folder):
            pytest.fail("the lab's machine does not fit this source tree: run make lab")
        yield folder


@pytest.fixture
def guest(lab: Path) -> Iterator[Guest]:
    with counting(lab, "rig") as guest:
        yield guest


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """report(toggled=200, stored=200): a line of the table at the end, named after the test."""

    def add(**counts: object) -> None:
        line = f"{request.node.name:<44} " + ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in counts.items()
        )
        _counts.append(line)

    return add
