"""Reads the configuration: files, then `conf.d`, then the environment; every mistake is one line with its place."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import msgspec

from common.config import dotenv, locate
from common.config.check import check
from common.config.environment import overlay
from common.config.keys import Path, dotted
from common.config.positions import At, Positions
from common.config.schema import Config
from common.config.tree import Source, Table, build, merge, origins, plain, refuse
from common.errors import ConfigError
from common.paths import Folders


class Loaded(msgspec.Struct, frozen=True):
    """The configuration in use. sources: the files read, in order, the main file first.

    origins: where each leaf and table stands, by path (elements of arrays by name); what is not in it is a default.
    """

    config: Config
    sources: list[FilePath]
    origins: dict[Path, Source]

    def folders(self, data: str | None = None, run_dir: str | None = None) -> Folders:
        """The data and the run folder; the arguments are those of the command line. See `locate.resolve_paths`."""
        return locate.resolve_paths(self.config, self.sources[0], data, run_dir)

    @property
    def env_file(self) -> FilePath:
        """`.env`, which may not exist."""
        return dotenv.file_of(self.sources[0])


def load(path: str | None = None, environ: Mapping[str, str] = os.environ) -> Loaded:
    """The configuration that `path` names, else RIGBUS_CONFIG, else the first of the usual places.

    ConfigError, one line `file:line: key: what is wrong` or `environment RIGBUS__…: key: what is wrong`: a file that is
    missing, unreadable, not UTF-8 or not TOML, an unknown or missing key, a value that does not fit, a contradiction.
    """
    main = locate.find(path, environ)
    files = [main, *locate.conf_d(main)]
    tree = read(main, 0)
    for order, file in enumerate(files[1:], start=1):
        tree = merge(tree, read(file, order))
    tree = dotenv.overlay(tree, main, environ, len(files))
    tree = overlay(tree, Config, environ, len(files) + 1)
    config = msgspec.convert(plain(tree, Config), Config)
    where = dict(origins(tree))
    check(config, where, tree.source)
    return Loaded(config, files, where)


def read(file: FilePath, order: int) -> Table:
    """One file as a layer. ConfigError: see `load`; required keys may be missing."""
    text = _text(file, order)
    try:
        data = tomllib.loads(text)
        positions = Positions(text)
    except (ValueError, RecursionError) as error:
        line, wrong = _syntax(text, error)
        raise ConfigError(f"{Source(order, str(file), line)}: {wrong}") from error
    return build(data, Config, lambda at: Source(order, str(file), positions.line(at)))


def _text(file: FilePath, order: int) -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {locate.why(error, file)}") from error
    except ValueError as error:
        raise ConfigError(f"{str(file)!r}: cannot be read: {error}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        refuse(Source(order, str(file), line), (), f"not UTF-8 text: byte 0x{error.object[error.start]:02x}")


def _syntax(text: str, error: Exception) -> tuple[int, str]:
    """The line and the words for what tomllib refused; line 0 where it does not say where."""
    if isinstance(error, RecursionError):
        return 0, "not TOML: nested too deeply"
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
    if found is None:
        return 0, f"not TOML: {error}"
    wrong, line, column = found.groups()
    offset = sum(len(row) + 1 for row in text.split("\n")[: int(line) - 1]) + int(column) - 1 if line else len(text)
    statement = Positions(text, until=offset)
    at, begun, before = statement.last
    if line and wrong == "Invalid value":
        wrong += ' (text needs quotes: "…")'
    words = wrong[:1].lower() + wrong[1:]
    if wrong.startswith("Cannot "):  # all of these are a key or a table that is there already
        key = dotted(_by_name(at, tomllib.loads(text[: statement.begin])))
        return begun, f"{key}: given a second time (first on line {before})" if before else f"{key}: {words}"
    return int(line or begun), f"not TOML: {words}" + (f" (column {column})" if column else "")


def _by_name(at: At, data: Any) -> Path:
    """A position as a path: elements by their names, as far as `data` has them."""
    path: Path = ()
    for key in at:
        if isinstance(key, str):
            data = data.get(key) if isinstance(data, dict) else None
            path = (*path, key)
        else:
            data = data[key]
            path = (*path, str(data["name"])) if "name" in data else path
    return path
