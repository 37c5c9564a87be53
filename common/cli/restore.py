"""`rigbus restore`: put a backup back onto a rig that is stopped. Nothing is deleted, only set aside."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from common.backup.restore import Options, Restored, restore
from common.cli.backup import progress
from common.cli.context import add_format, print_json
from common.config.load import load


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    text = "put a backup back, on a rig that is stopped (docs/backup.md)"
    parser = sub.add_parser("restore", help=text, description=__doc__, parents=[common])
    parser.add_argument("backup", metavar="BACKUP", help="the folder that `rigbus backup` made")
    parser.add_argument("--force", action="store_true", help="set aside what is in the way: a database")
    parser.add_argument(
        "--all", action="store_true",
        help="put back journals and the records of pumps and arm also where there are such (a new card or machine)",
    )  # fmt: skip
    parser.add_argument("--with-config", action="store_true", help="put back the configuration, too")
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    loaded = load(args.config)
    folders = loaded.folders(args.data, args.run_dir)
    source = Path(args.backup).absolute()
    options = Options(force=args.force, all=args.all, config=args.with_config)
    with progress() as told:
        done = restore(loaded, folders, source, options, told)
    notes = _notes(done)
    if done.manifest.node != loaded.config.node:
        notes.append(f"it is a backup of {done.manifest.node}, this rig is {loaded.config.node}")
    if args.with_config and load(args.config).folders(args.data, args.run_dir) != folders:
        notes.append(f"the configuration that was put back names other folders than {folders.data}: move it there")
    if args.format == "json":
        print_json({
            "store": str(folders.store), "t_ns": done.manifest.t_ns, "put": done.put, "stayed": done.stayed,
            "aside": None if done.aside is None else str(done.aside), "latched": done.latched,
            "config": [str(path) for path in done.config.put], "notes": notes,
        })  # fmt: skip
        return 0
    at = datetime.fromtimestamp(done.manifest.t_ns / 1e9, UTC)
    print(f"{folders.store} is what it was on {at:%Y-%m-%d %H:%M:%S} UTC")
    for note in notes:
        print(f"· {note}")
    return 0


def _notes(done: Restored) -> list[str]:
    notes = []
    if done.put:
        notes.append(f"put back: {', '.join(done.put)}")
    if done.stayed:
        notes.append(f"stay as they are, as they know more: {', '.join(done.stayed)}")
    if done.aside is not None:
        notes.append(f"what was there is in {done.aside}")
    notes += [f"written: {path}" for path in done.config.put]
    notes += [f"set aside: {path}" for path in done.config.aside]
    notes += [f"not in the backup, and still read: {path}" for path in done.config.others]
    notes += [f"the emergency stop of {name} is set: look, then unlock it" for name in done.latched]
    return notes
