"""The unit files as they ship, read with as little as their format needs."""

import shlex
from pathlib import Path

SHIPPED = Path(__file__).parents[2] / "systemd"
PREFIX = "rigbus-"


class Unit:
    """One file: `get` for a setting that stands once, `all` for every line of it, in order."""

    def __init__(self, file: Path) -> None:
        self.name, self.text = file.name, file.read_text()
        lines = [line for line in self.text.splitlines() if line and line[0] not in "#["]
        self.settings = [(key, value) for key, _, value in (line.partition("=") for line in lines)]

    def all(self, key: str) -> list[str]:
        return [value for found, value in self.settings if found == key]

    def get(self, key: str, default: str = "") -> str:
        (value,) = self.all(key) or [default]
        return value

    def words(self, key: str) -> set[str]:
        return {word for value in self.all(key) for word in shlex.split(value)}


def services() -> dict[str, Unit]:
    """Daemon → its unit."""
    return {f.stem.removeprefix(PREFIX): Unit(f) for f in sorted(SHIPPED.glob("*.service"))}


def megabytes(text: str) -> int:
    assert text.endswith("M"), text
    return int(text[:-1])
