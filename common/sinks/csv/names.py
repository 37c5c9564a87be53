"""Names of files as the store has them: below the folder; with it before them, where it is not the usual one.

So a folder that is changed in the configuration, and changed back, finds its files as it left them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from common.store.moves import FileState

USUAL = "csv"  # in the data folder: a data folder that is moved takes its files along


class Names:
    """folder: as configured, "" for the usual one; a relative one is in the data folder. root: where that is."""

    def __init__(self, folder: str, data: Path) -> None:
        self.root = data / Path(folder or USUAL).expanduser()
        inside = self.root.relative_to(data) if self.root.is_relative_to(data) else self.root
        self._before = "" if str(inside) == USUAL else f"@{inside}:"

    def told(self, files: Mapping[str, FileState | None]) -> dict[str, FileState | None]:
        """For the store."""
        return {
            self._out(path): state._replace(path=self._out(path)) if state else None for path, state in files.items()
        }

    def own(self, files: Iterable[FileState]) -> list[FileState]:
        """Those of this folder, named below it."""
        return [state._replace(path=self._in(state.path)) for state in files if self._is_own(state.path)]

    def left_open(self, files: Iterable[FileState]) -> dict[str, FileState | None]:
        """Those of another folder: no more is written to them."""
        return {s.path: s._replace(closed=True) for s in files if not s.closed and not self._is_own(s.path)}

    def _is_own(self, path: str) -> bool:
        return path.startswith("/") or (path.startswith(self._before) if self._before else not path.startswith("@"))

    def _out(self, path: str) -> str:
        return path if path.startswith("/") else self._before + path

    def _in(self, path: str) -> str:
        return path if path.startswith("/") else path.removeprefix(self._before)
