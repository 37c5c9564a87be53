"""`rigbus influx`: sets up buckets, Flux tasks and tokens in an InfluxDB 2, verifies them, deletes them."""

import argparse
import sys
from collections.abc import Callable
from importlib.util import find_spec
from itertools import groupby
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from common.cli.context import add_format, print_json, wide_console
from common.cli.doctor import show
from common.config.load import load
from common.errors import DeviceMissing, InfluxError
from common.influx import verify
from common.influx.site import Site, site

_SIGNS = {"ok": "✓", "changed": "✓", "would": "→", "note": "!", "failed": "❌"}


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    parser = sub.add_parser("influx", help="set up an InfluxDB 2 (docs/outputs.md)", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, text: str, run: Any) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text, parents=[common])
        add_format(made)
        made.set_defaults(run=run)
        return made

    setup = verb("setup", "create what is missing, mend what is wrong: buckets, Flux tasks, tokens", _setup)
    setup.add_argument("--save", action="store_true", help="make the two tokens, and save them in .env (mode 0600)")
    setup.add_argument("--shorten", action="store_true", help="also buckets that keep longer: data is deleted")
    setup.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")
    verb("verify", "look whether all that set-up makes is there and works; exit 1 if anything is not", _verify)
    delete = verb("delete", "delete the four buckets with all their data, the tasks and the tokens", _delete)
    delete.add_argument("--yes", action="store_true", help="do not ask for the word DELETE")
    delete.add_argument("--dry-run", action="store_true", help="say what would be deleted, delete nothing")


def _verify(args: argparse.Namespace) -> int:
    return show(verify.examine(site(load(args.config))), as_json=args.format == "json")


# ---- setup


def _setup(args: argparse.Namespace) -> int:
    return _on_server(args, _set_up)


def _set_up(args: argparse.Namespace, place: Site, server: Any) -> int:
    from common.influx import setup

    told = _Told(args.format == "json", total=9)
    options = setup.Options(save=args.save, dry_run=args.dry_run, shorten=args.shorten)
    steps: list[setup.Step] = []
    with told:
        for part, group in groupby(setup.run(place, server, options), key=lambda step: step.part):
            if part != "bucket":
                for step in group:
                    steps.append(step)
                    told.line(_said(step))
                continue
            found = list(group)  # only all four say whether it is the seed's line
            steps += found
            if all(step.state == "ok" for step in found):
                _already(told, place)
            else:
                told.line("\n".join(_said(step) for step in found))
    states = {step.state for step in steps}
    if args.format == "json":
        print_json({"steps": msgspec.to_builtins(steps), "changed": "changed" in states, "ok": "failed" not in states})
    elif "failed" in states:
        told.line("\n❌ Set-up is not complete: mend what the lines with ❌ say, and run it again. What is done stays.")
    elif args.dry_run:
        told.line("\nNothing was changed: this was a dry run.")
    elif "changed" in states:
        told.line("\n✅ InfluxDB is set up. `make verify` looks at all of it.")
    else:
        told.line("\n✅ All is set up already; nothing was changed. `make verify` looks at all of it.")
    if not args.save and any(step.part == "token" and step.state == "note" for step in steps):
        told.line("!  No token was made: `rigbus influx setup --save` makes and saves them.")
    if not place.config.enabled:
        told.line("!  The sink does not write there yet: set enabled = true in [sink.influx] of rigbus.toml.")
    return 1 if "failed" in states else 0


def _said(step: Any) -> str:
    would = "would be " if step.state == "would" else ""
    return f"{_SIGNS[step.state]:<{2 - (step.state == 'failed')}} {step.part:<7} {step.name}: {would}{step.text}"


def _already(told: "_Told", place: Site) -> None:
    told.line("\n✅ All PowerLogger buckets already exist!")
    for plan in place.buckets:
        told.line(f"  • {plan.name}")
    told.line("\nSetup appears to be complete. Skipping bucket creation.\nLooking at tasks and tokens all the same:")


# ---- delete


def _delete(args: argparse.Namespace) -> int:
    place, as_json = site(load(args.config)), args.format == "json"
    _needs_library()
    from common.influx import delete

    if not (as_json and (args.yes or args.dry_run)):
        screen = Console(stderr=as_json, highlight=False)
        _danger(screen, place, delete.listed(place))
        if not (args.yes or args.dry_run) and not _confirmed(screen):
            screen.print("\n❌ Deletion cancelled. No changes were made.")
            if as_json:
                print_json({"gone": [], "ok": False})
            return 1
        screen.print()
    return _on_server(args, _take_away)


def _danger(screen: Console, place: Site, doomed: list[Any]) -> None:
    screen.print("⚠️  DANGER: This will DELETE all PowerLogger buckets from InfluxDB!\n", style="bold red")
    screen.print(f"Server: {place.shown_url}, organization {place.config.org or '(not set)'}\n", markup=False)
    screen.print("This action is IRREVERSIBLE and will permanently delete:")
    width = max(len(thing.name) for thing in doomed if thing.kind == "bucket")
    for thing in doomed:
        if thing.kind == "bucket":
            screen.print(f"  • {thing.name:<{width}}  ({thing.holds})", markup=False)
    screen.print("and with them:")
    for thing in doomed:
        if thing.kind != "bucket":
            holds = f"  ({thing.holds})" if thing.holds else ""
            screen.print(f"  • {thing.kind} {thing.name}{holds}", markup=False)
    screen.print("\nAll data in these buckets will be LOST FOREVER!", style="bold red")


def _confirmed(screen: Console) -> bool:
    print("\nType 'DELETE' to confirm deletion: ", end="", flush=True, file=screen.file)
    try:
        return input() == "DELETE"
    except (EOFError, KeyboardInterrupt):
        screen.print()
        return False


def _take_away(args: argparse.Namespace, place: Site, server: Any) -> int:
    from common.influx import delete

    as_json, gone = args.format == "json", []
    told = _Told(as_json, total=len(delete.listed(place)))
    told.line("✓  Connection verified. Deleting buckets...")
    with told:
        for thing in delete.run(place, server, args.dry_run):
            gone.append(thing)
            what = thing.name if thing.kind == "bucket" else f"{thing.kind} {thing.name}"
            if thing.state == "failed":
                told.line(f"❌ {what}: {thing.text}")
            else:
                verb = {"deleted": "✓  Deleted", "skipped": "-  Skipping", "would": "→  Would delete"}[thing.state]
                told.line(f"{verb} {what}" + (f" ({thing.text})" if thing.text else ""))
    failed = any(thing.state == "failed" for thing in gone)
    if as_json:
        print_json({"gone": msgspec.to_builtins(gone), "ok": not failed})
    elif failed:
        told.line("\n❌ Not all of it could be deleted.")
    elif args.dry_run:
        told.line("\nNothing was deleted: this was a dry run.")
    else:
        told.line("\n✅ All PowerLogger buckets deleted successfully!")
        told.line("\nYou can now run make setup-influxdb to recreate them.")
    return 1 if failed else 0


# ---- what both share


class _Told:
    """Lines, and on a terminal a bar below them. With --json: nothing."""

    def __init__(self, as_json: bool, total: int) -> None:
        self._console, self._quiet = wide_console(), as_json
        columns = (TextColumn("  "), BarColumn(), MofNCompleteColumn())
        shown = self._console.is_terminal and not as_json
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not shown)
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> None:
        self._bar.start()

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def line(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, markup=False, soft_wrap=True)
            self._bar.advance(self._task)


def _needs_library() -> None:
    if find_spec("influxdb_client") is None:
        mend = ".venv/bin/pip install -e '.[influx]'"
        raise DeviceMissing(f"influxdb-client is not installed: {mend}", mend)


def _on_server(args: argparse.Namespace, work: Callable[[argparse.Namespace, Site, Any], int]) -> int:
    """`work` on the server, once it is reached and takes the token; else the seed's block on stderr, exit code 1."""
    _needs_library()
    from common.influx import tokens

    place, as_json = site(load(args.config)), args.format == "json"
    try:
        with tokens.connect(place, tokens.admin(place)) as server:
            version = server.health().version
            server.org_id()
            if work is _set_up and not as_json:
                where = f"InfluxDB {version} at {place.shown_url}, organization {place.config.org}"
                wide_console().print(f"✓  Connection successful! {where}", markup=False, soft_wrap=True)
            return work(args, place, server)
    except InfluxError as e:
        _cannot(place, e)
        if as_json:
            print_json({"error": str(e), "ok": False})
        return 1


def _cannot(place: Site, e: InfluxError) -> None:
    """The token is never shown: where it was read from says which one it is."""
    from common.influx import tokens

    token, file = tokens.admin(place), place.secrets.file
    said = f"from {token.source} (not shown)" if token else "INFLUX_TOKEN is not set"
    if not file.exists():
        said += f"; there is no {file} (.env.example is there to copy)"

    def origin(source: str) -> str:
        return "" if source.startswith(str(file)) else f"  ({source or 'default'})"

    print(
        f"""
❌ ERROR: Cannot connect to InfluxDB or credentials are invalid!

   {place.shown_url}: {e}

Current configuration from .env:
  • Host:   {place.shown_url}{origin(place.url_source)}
  • Org:    {place.config.org or "not set"}{origin(place.org_source)}
  • Token:  {said}

Please check:
  1. InfluxDB server is running and accessible
  2. INFLUX_HOST is correct
  3. INFLUX_ORG matches your organization name
  4. INFLUX_TOKEN is valid and has admin permissions
""",
        file=sys.stderr,
    )
