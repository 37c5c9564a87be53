"""`rigbus doctor`: for each configured device what is there, what is missing, and the one command that mends it."""

import argparse
from collections.abc import Iterable
from itertools import chain

import msgspec
from rich.cells import cell_len
from rich.text import Text

from common.cli.context import add_format, print_json, wide_console
from common.config.load import load
from common.doctor import examine, influx
from common.doctor.finding import Finding
from common.errors import ConfigError

_STYLE = {"ok": "", "warning": "yellow", "missing": "bold red"}
_SIGN = {"ok": "✓", "warning": "!", "missing": "❌"}


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    text = (
        "look at each configured device: what is there, what is missing, and the command that mends it; exit 1 if any"
    )
    parser = sub.add_parser(
        "doctor", help="what is there, what is missing, how to mend it", description=text, parents=[common]
    )
    parser.add_argument(
        "--influx", action="store_true", help="InfluxDB too where nothing says that it is used (else: where it is)"
    )
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    try:
        loaded = load(args.config)
    except ConfigError as e:
        mend = "rigbus config check  # after each change; daemons that run go on with what they had"
        return show([Finding("configuration", "missing", str(e), mend)], as_json=args.format == "json")
    folders = loaded.folders(args.data, args.run_dir)
    found = chain(examine(loaded, folders), influx.examine(loaded, asked_for=args.influx))
    return show(found, as_json=args.format == "json")


def show(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Prints each as it is found; the exit code: 1 if any is missing."""
    seen, console = [], wide_console()
    for finding in findings:
        seen.append(finding)
        if as_json:
            continue
        sign = _SIGN[finding.state]
        line = Text.assemble((sign, _STYLE[finding.state]), " " * (3 - cell_len(sign)))
        line.append(f"{finding.what:<22} {finding.detail}")
        console.print(line, soft_wrap=True)
        if finding.mend:
            console.print(Text(f"{'':<26}$ {finding.mend}"), soft_wrap=True)
    missing = sum(finding.state == "missing" for finding in seen)
    if as_json:
        print_json({"findings": msgspec.to_builtins(seen), "ok": not missing})
    elif missing:
        console.print(f"\n❌ {missing} of {len(seen)} checks failed; the line after $ mends it, or shows why")
    else:
        warned = sum(finding.state == "warning" for finding in seen)
        passed = f"no check failed, {warned} of {len(seen)} warn" if warned else f"all {len(seen)} checks passed"
        console.print(f"\n✅ {passed}")
    return 1 if missing else 0
