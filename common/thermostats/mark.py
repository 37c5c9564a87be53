"""The command that is under way, as a file: so that the start after a kill can close its record."""

import json
from contextlib import suppress
from pathlib import Path

from common.paths import fsync_path


class Mark:
    """Of one device. A disk that takes no file costs the next start this knowledge, and nothing else."""

    def __init__(self, folder: Path, device: str) -> None:
        self._path = folder / f"{device}.command"

    def begin(self, command: dict[str, str | None]) -> None:
        """Before its intent is recorded."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(command))
            fsync_path(self._path)
            fsync_path(self._path.parent)

    def end(self) -> None:
        """Its outcome is recorded."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def left_open(self) -> dict[str, str | None] | None:
        """The command whose outcome the run before did not record."""
        try:
            command = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return None
        return command if isinstance(command, dict) else None
