"""The figures of `systemd-analyze security`, shown at the end of the tests' output."""

import pytest

_figures: dict[str, float] = {}


@pytest.fixture
def exposures() -> dict[str, float]:
    """Unit → exposure, to be filled in."""
    return _figures


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _figures:
        terminalreporter.section("systemd-analyze security: exposure, at most 3.0")
        terminalreporter.line(", ".join(f"{unit} {figure}" for unit, figure in sorted(_figures.items())))
