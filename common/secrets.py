"""Tokens: from the environment, from systemd credentials, from `.env`; never from the command line, never printed."""

import os
from collections.abc import Mapping
from pathlib import Path

from common.config.dotenv import credential, read


class Secret:
    """A token that does not show itself: its text and repr are dots. `reveal()` only where it is sent."""

    def __init__(self, value: str, source: str) -> None:
        self._value, self.source = value, source

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "…"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)


class Secrets:
    """file: `.env`, which may not exist. It is read anew at each `get`: a token that is mended is found."""

    def __init__(self, file: Path, environ: Mapping[str, str] = os.environ) -> None:
        self.file, self._environ = file, environ

    def get(self, *names: str) -> Secret:
        """The first of the names that is set anywhere; an empty Secret where none is."""
        for name in names:
            for value, source in self._places(name):
                if value.strip():
                    return Secret(value.strip(), source)
        return Secret("", "")

    def unread(self) -> Path | None:
        """The `.env` in use, where it is there but nobody may read it: not this process, and systemd has not for it."""
        env = credential(self._environ)
        if (env is not None and os.access(env, os.R_OK)) or not os.path.exists(self.file):
            return None
        return None if os.access(self.file, os.R_OK) else self.file

    def _places(self, name: str) -> list[tuple[str, str]]:
        found = [(self._environ.get(name, ""), "the environment")]
        folder = self._environ.get("CREDENTIALS_DIRECTORY")
        if folder:
            try:
                found.append(((Path(folder) / name).read_text(), "systemd credentials"))
            except (OSError, UnicodeDecodeError):
                pass
        env = credential(self._environ)
        if env is not None:
            found.append((read(env).get(name, ""), "systemd credentials (env)"))
        return [*found, (read(self.file).get(name, ""), str(self.file))]
