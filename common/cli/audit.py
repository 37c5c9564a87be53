"""`rigbus audit`: published = stored + lost + pending, per stream; exit 0 only where it holds for every stream."""

import argparse

from rich.console import Console
from rich.table import Table

from common.audit import Account, audit
from common.cli.context import add_format, open_config, print_json, wide_console
from common.errors import RigbusError


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    text = "prove that published = stored + lost + pending, per stream"
    parser = sub.add_parser("audit", help=text, description=text, parents=[common])
    add_format(parser)
    parser.add_argument("--allow-unknown", action="store_true", help="unknown counts (a power cut) do not fail it")
    parser.add_argument("--deep", action="store_true", help="also recount the rows themselves, number by number")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    config, folders = open_config(args)
    if not folders.data.is_dir():
        raise RigbusError(f"{folders.data}: no data folder there; nothing has run with it")
    account = audit(config, folders, allow_unknown=args.allow_unknown)
    faults: list[str] = []
    if args.deep:
        from common.store.recount import recount

        faults = recount(folders.store)
    if args.format == "json":
        document = account.as_json()
        if args.deep:
            document["faults"] = faults
            document["ok"] = account.ok and not faults
        print_json(document)
    else:
        _show(wide_console(), account)
        for fault in faults:
            print(f"✗ {fault}")
        if args.deep and not faults:
            print("✓ recounted: every number once, none both stored and lost")
    return 0 if account.ok and not faults else 1


def _show(console: Console, account: Account) -> None:
    if not account.streams:
        console.print("nothing has been published here yet")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("stream", "run"):
        table.add_column(name)
    for name in ("published", "stored", "lost", "pending", "unknown"):
        table.add_column(name, justify="right")
    table.add_column("")
    for s in account.streams:
        verdict = "✓" if s.ok else f"✗ {s.balance():+,} unaccounted" if s.balance() else "✗ unknown counts"
        numbers = [f"{n:,}" for n in (s.published, s.stored, s.lost, s.pending, s.unknown)]
        table.add_row(f"{s.node}/{s.src}", s.run, *numbers, verdict)
    total = [sum(getattr(s, f) for s in account.streams) for f in ("published", "stored", "lost", "pending", "unknown")]
    table.add_section()
    table.add_row("all", "", *[f"{n:,}" for n in total], "✓" if account.ok else "✗")
    console.print(table)
    if account.devices:
        console.print("\nlost before it became a frame, each in its own unit (not part of the equation):")
        devices = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("stream", "unit", "count", "cause"):
            devices.add_column(name, justify="right" if name == "count" else "left")
        for d in account.devices:
            devices.add_row(d.stream, d.unit, "unknown" if d.count is None else f"{d.count:,}", d.cause)
        console.print(devices)
