"""`rigbus config`: is the configuration right, what is in effect and why, which daemons does it ask for."""

import argparse
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from common import rig
from common.cli.context import add_format, print_json
from common.config.check import check_outputs, daemons
from common.config.keys import Path, Shape, dotted, fields, literal, quoted, shape_of
from common.config.load import Loaded, load
from common.config.tree import Source
from common.errors import RigbusError


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    """Add the verb `config`. `common` gives --config, --data and --run-dir to each of its verbs."""
    parser = sub.add_parser("config", help="check and show the configuration")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb, text in (
        ("check", "read everything; say ok, or what is wrong and where"),
        ("show", "the configuration in effect, each value with its source"),
        ("enabled", "exit 0 if the configuration asks for a daemon, else 1"),
    ):
        one = verbs.add_parser(verb, help=text, description=text, parents=[common])
        one.set_defaults(run=run, verb=verb)
        if verb == "enabled":
            one.add_argument("daemon", metavar="DAEMON")
        else:
            add_format(one)


def run(args: argparse.Namespace) -> int:
    """The verb's exit code. An error is one line on stderr and its exit code: 78 for a bad configuration."""
    try:
        loaded = load(args.config)
        return {"check": _check, "show": _show, "enabled": _enabled}[args.verb](args, loaded)
    except RigbusError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _check(args: argparse.Namespace, loaded: Loaded) -> int:
    loaded.folders(args.data, args.run_dir)
    check_outputs(loaded.config, loaded.origins, Source(0, str(loaded.sources[0]), 0))
    files = [str(file) for file in loaded.sources]
    if args.format == "json":
        print_json({"files": files, "ok": True})
    else:
        print(*files, "ok", sep="\n")
    return 0


def _enabled(args: argparse.Namespace, loaded: Loaded) -> int:
    if args.daemon not in daemons():
        print(f"{args.daemon}: no such daemon; known: {', '.join(daemons())}", file=sys.stderr)
        return 1
    found = args.daemon in [daemon.name for daemon in rig.configured(loaded.config)]
    print("yes" if found else "no")  # for units: whatever fails here ends with an exit code that is not 0, too
    return 0 if found else 1


def _show(args: argparse.Namespace, loaded: Loaded) -> int:
    folders = loaded.folders(args.data, args.run_dir)
    influx = loaded.config.sink.influx
    influx.url = re.sub(r"(?<=://)[^/]*@", "…@", influx.url)  # a password may stand in it
    sources = {path: str(source) for path, source in loaded.origins.items()}
    for key, argument, folder in (("data", args.data, folders.data), ("run", args.run_dir, folders.run)):
        setattr(loaded.config.paths, key, str(folder))  # what is in effect, not how it is written
        if argument:
            sources["paths", key] = "command line"
    if args.format == "json":
        keys = {dotted(row.path): sources.get(row.path, "default") for row in _rows(loaded.config) if not row.header}
        files = [str(file) for file in loaded.sources]
        print_json({"files": files, "config": msgspec.to_builtins(loaded.config), "sources": keys})
        return 0
    for row in _rows(loaded.config):
        if row.header:
            print(f"\n{row.header}")
        else:
            print(f"{quoted(row.path[-1])} = {literal(row.value)}  # {sources.get(row.path, 'default')}")
    return 0


class _Row(NamedTuple):
    """One line of TOML: a header, or else a key with its value."""

    path: Path
    value: Any = None
    header: str = ""


def _rows(table: msgspec.Struct, path: Path = ()) -> Iterator[_Row]:
    """What is in effect, in the order of the schema; values before tables, as TOML needs it. None is left out."""
    inner = []
    for key, field in fields(type(table)).items():
        value, here = getattr(table, key), (*path, key)
        shape, _ = shape_of(field.type)
        if value is None:
            continue
        if shape is Shape.LEAF:
            yield _Row(here, value)
        elif shape is Shape.TABLE:
            inner.append((here, f"[{dotted(here)}]", value))
        elif shape is Shape.ARRAY:
            inner += [((*here, element.name), f"[[{dotted(here)}]]", element) for element in value]
        else:
            inner += [((*here, name), f"[{dotted((*here, name))}]", element) for name, element in value.items()]
    for here, header, value in inner:
        yield _Row(here, header=header)
        yield from _rows(value, here)
