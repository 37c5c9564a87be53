"""`.env` and the variables of the meter-pulse seed: over the configuration's files, under RIGBUS__ variables."""

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from common.config.locate import CHECKOUT
from common.config.schema import Config
from common.config.tree import Source, Table, build, merge, refuse

if TYPE_CHECKING:
    from dotenv.parser import Binding

# name → key of the configuration. Tokens are no configuration: common/secrets.py reads them.
KEYS = {
    "INFLUX_ORG": ("sink", "influx", "org"),
    "INFLUX_HOST": ("sink", "influx", "url"),
    "RAW_BUCKET": ("sink", "influx", "raw_bucket"),
    "B1M_BUCKET": ("sink", "influx", "b1m_bucket"),
    "B5M_BUCKET": ("sink", "influx", "b5m_bucket"),
    "B1H_BUCKET": ("sink", "influx", "b1h_bucket"),
    "MEASUREMENT": ("sink", "influx", "measurement"),
    "TELEMETRY_RETENTION_DAYS": ("sink", "retention_days"),
}
_NUMBERS = ("TELEMETRY_RETENTION_DAYS",)


def file_of(main: FilePath) -> FilePath:
    """The `.env` in use, which may not exist: the one beside the configuration, else the one in the checkout."""
    beside = main.parent / ".env"
    return (beside if beside.exists() else CHECKOUT / ".env").absolute()


def credential(environ: Mapping[str, str]) -> FilePath | None:
    """The `.env` that systemd read for a service (LoadCredential=env:…), which may not exist; None for others.

    Services may not read the one beside the configuration.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY")
    return FilePath(folder, "env") if folder else None


def read(file: FilePath) -> dict[str, str]:
    """Its keys; none where it is not there or cannot be read. A line that is none is passed over: see `overlay`."""
    return {found.key: found.value for found in _bindings(file) if found.key and found.value is not None}


def _bindings(file: FilePath) -> "list[Binding]":
    try:
        if not file.is_file():
            return []
    except OSError:
        return []  # in a folder that is closed to us, as systemd's is to an ExecCondition
    from dotenv.parser import parse_stream  # here: most daemons have no .env to read

    try:
        with file.open(encoding="utf-8", errors="replace") as stream:  # a comment may be in any encoding
            return list(parse_stream(stream))
    except OSError:
        return []


def overlay(base: Table, main: FilePath, environ: Mapping[str, str], order: int) -> Table:
    """`base` with each of KEYS that is set to something on top. ConfigError.

    By the environment, else by systemd's `.env`, else by the one in use.
    """
    files = [file for file in (credential(environ), file_of(main)) if file is not None]
    for file in files:
        for found in _bindings(file):
            where = Source(order, str(file), found.original.line)
            if found.error:  # its text may be a token
                refuse(where, (), "not NAME=value (a quote that is not closed?)")
            if _is_garbled(found.key):  # of which the rest may be a token
                refuse(where, (), "not NAME=value in UTF-8")
            if _is_garbled(found.value):
                refuse(where, (), f"the value of {found.key} is not UTF-8")
    layers = [(environ, "environment "), *((read(file), f"{file}: ") for file in files)]
    tree = base
    for name, path in KEYS.items():
        for values, place in layers:
            text = values.get(name, "").strip()
            if text:
                source = Source(order, place + name, 0)
                tree = merge(tree, build(_nested(path, _value(name, text)), Config, lambda _, s=source: s))  # type: ignore[misc]
                break
    return tree


def _is_garbled(text: str | None) -> bool:
    """Whether it was not UTF-8: a byte that cannot be in it, or one of UTF-16's zeros."""
    return not {"\N{REPLACEMENT CHARACTER}", "\0"}.isdisjoint(text or "")


def _value(name: str, text: str) -> Any:
    if name not in _NUMBERS:
        return text
    try:
        return float(text)
    except ValueError:
        return text  # build says what is wrong with it


def _nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return value  # type: ignore[no-any-return]
