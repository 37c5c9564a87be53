"""`rigbus status`: each daemon's own word, and the account."""

import argparse
import sqlite3
from typing import Any

import msgspec

from common import rig, wear
from common.audit import audit
from common.cli.board import board
from common.cli.context import add_format, open_config, print_json, wide_console
from common.ctl import request
from common.errors import RigbusError, StoreError
from common.paths import Folders
from common.store.readonly import connect


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    text = "what each daemon does, and whether the account balances; exit 1 if one is down or it does not"
    parser = sub.add_parser("status", help="what each daemon does, and the account", description=text, parents=[common])
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    config, folders = open_config(args)
    replies: dict[str, dict[str, Any]] = {}
    down: dict[str, str] = {}
    for daemon in rig.configured(config):
        try:
            replies[daemon.name] = request(folders, daemon.name, "status", timeout_s=1.0)
        except RigbusError as e:
            down[daemon.name] = str(e).partition(": ")[2]
    account = audit(config, folders)
    written = wear.writes([reply["health"]["pid"] for reply in replies.values()], folders.data)
    if args.format == "json":
        daemons = {name: {k: v for k, v in reply.items() if k not in ("id", "ok")} for name, reply in replies.items()}
        document = {"node": config.node, "daemons": daemons, "down": down, "audit": account.as_json()}
        print_json({**document, "writes": msgspec.to_builtins(written)})
    else:
        health = {name: reply["health"] for name, reply in replies.items()}
        console = wide_console()
        console.print(board(config.node, [d.name for d in rig.configured(config)], health, down))
        published = sum(s.published for s in account.streams)
        verdict = "balances" if account.ok else "does not balance: rigbus audit"
        console.print(f"account   {published:,} frames published, {verdict}")
        if refused := _quarantined(folders):
            console.print(f"refused   {refused:,} rows are in quarantine: rigbus quarantine list")
        if replies:
            console.print(f"writes    {wear.told(written)}")
    return 0 if account.ok and not down else 1


def _quarantined(folders: Folders) -> int:
    """Rows that an output or the store could not take; 0 where there is no store to be asked."""
    try:
        conn, _ = connect(str(folders.store))
    except (FileNotFoundError, StoreError):
        return 0
    try:
        return int(conn.execute("SELECT count(*) FROM quarantine").fetchone()[0])
    except sqlite3.Error:
        return 0
    finally:
        conn.close()
