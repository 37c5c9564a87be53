"""`rigbus ctl DAEMON OP key=value…`: one request to a daemon's ctl socket, its reply printed."""

import argparse
import re
import sys
import tomllib
from collections.abc import Sequence
from typing import Any

import msgspec

from common.cli.context import add_format, open_folders, seconds
from common.ctl import request
from common.errors import UsageError

_LITERAL = re.compile(r"""[+-]?\d{1,15}(\.\d+)?|[+-]?(inf|nan)|true|false|(".*"|'.*'|\[.*\]|\{.*\})""")
_OWN = ("id", "op", "src", "timeout_s", "folders")  # not to be given as fields


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    text = "ask a daemon, or command it: rigbus ctl thermostat save_once device=bench (ops: docs/ctl.md)"
    parser = sub.add_parser("ctl", help="ask or command a daemon", description=text, parents=[common])
    parser.add_argument("daemon", metavar="DAEMON", help="bus, sink, pulse, highspeed, thermostat, pump, dds, …")
    parser.add_argument("op", metavar="OP", help="status, runs, stop, …; a wrong one lists those that there are")
    literals = "a number, true, false, a quoted text, a [list], a {table}; else text"
    parser.add_argument("field", nargs="*", metavar="key=value", help=literals)
    parser.add_argument(
        "--timeout", type=seconds, default=10.0, metavar="S", help="how long to wait for the reply; default 10s"
    )
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    folders = open_folders(args)
    if args.op == "ack":
        raise UsageError("ack has no reply: it is for consumers of frames (docs/ctl.md)")
    reply = request(folders, args.daemon, args.op, timeout_s=args.timeout, **fields(args.field))
    body = {key: value for key, value in reply.items() if key not in ("id", "ok")}
    if args.format == "json":
        sys.stdout.write(_json(body) + "\n")
    else:
        for key, value in body.items():
            print(f"{key}: {value if isinstance(value, str) else _json(value)}")
    return 0


def fields(words: Sequence[str]) -> dict[str, Any]:
    """`ml=5` → {"ml": 5}. Raises UsageError."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{word}: not key=value")
        if key in _OWN:
            raise UsageError(f"{word}: {key} is not a field to be given here")
        if key in found:
            raise UsageError(f"{word}: {key} is given twice")
        found[key] = _value(value)
    return found


def _value(text: str) -> Any:
    """Plain numbers, true, false, and what is in quotes, brackets or braces, as TOML has it; else text.

    So an id of sixteen digits, or with an e between them, stays the text that it is.
    """
    if not _LITERAL.fullmatch(text):
        return text
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
