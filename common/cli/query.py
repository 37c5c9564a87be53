"""`rigbus query`: what is in the store. Its verbs are in common/store/verbs.py; here they meet a command line."""

import argparse
import sys

from common.cli import export, show, tail_events
from common.cli.database import open_query
from common.config.load import load
from common.errors import UsageError
from common.export.writers import FORMATS
from common.options import add_common
from common.store.asked import WrongOption
from common.store.verbs import OPTIONS, VERBS, answer, asked_of


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    """Add the verb `query`. What `common` gives, and the options of _everywhere, may stand before its verb or after."""
    text = "what is in the store"
    parser = sub.add_parser("query", help=text, description=text, parents=[common])
    _everywhere(parser, None, "table", ("table", "json", "csv"))
    common = argparse.ArgumentParser(add_help=False)
    add_common(common, argparse.SUPPRESS)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name, verb in VERBS.items():
        one = verbs.add_parser(name, help=verb.help, description=verb.help, parents=[common])
        one.set_defaults(run=run, verb=name)
        _everywhere(one, argparse.SUPPRESS, argparse.SUPPRESS, ("table", "json", "csv"))
        for option in verb.options:
            metavar, told = OPTIONS[option]
            one.add_argument(f"--{option}", dest=f"option_{option}", metavar=metavar, help=told)
    _everywhere(tail_events.register(verbs, common), argparse.SUPPRESS, argparse.SUPPRESS, ("table", "json"))
    _everywhere(export.add(verbs, common), argparse.SUPPRESS, argparse.SUPPRESS, FORMATS)


def _everywhere(parser: argparse.ArgumentParser, db: str | None, form: str, formats: tuple[str, ...]) -> None:
    """Options that may stand before the verb and after it: there they have no default, which would undo the former."""
    parser.add_argument("--db", metavar="F", default=db, help="the database; default: rigbus.db in the data folder")
    parser.add_argument("--format", choices=formats, default=form)
    parser.add_argument(
        "--json", dest="format", action="store_const", const="json", default=form, help="same as --format json"
    )


def run(args: argparse.Namespace) -> int:
    """The verb's exit code. Raises UsageError for wrong arguments, RigbusError where there is no database."""
    given = {option: getattr(args, f"option_{option}") for option in VERBS[args.verb].options}
    options = {option: text for option, text in given.items() if text is not None}
    try:
        asked_of(args.verb, options)  # wrong arguments are told first, whatever the database says
        with open_query(args) as query:
            meters = _meters(args) if args.verb == "power" and "imp-per-kwh" not in options else {}
            found = answer(query, args.verb, options, imp_per_kwh=meters)
    except WrongOption as e:
        raise UsageError(f"--{e}") from None
    show.FORMATS[args.format](found)
    if found.warning:
        print(found.warning, file=sys.stderr)
    return 0


def _meters(args: argparse.Namespace) -> dict[str, float]:
    pulse = load(args.config).config.pulse
    return {channel.name: channel.imp_per_kwh for channel in (pulse.channel if pulse else [])}
