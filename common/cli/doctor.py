"""`rigbus doctor`: for each configured device what is there, what is missing, and the one command that mends it."""

import argparse

import msgspec
from rich.text import Text

from common.cli.context import add_format, open_config, print_json, wide_console
from common.doctor import examine

_STYLE = {"ok": "", "warning": "yellow", "missing": "bold red"}
_SIGN = {"ok": "✓", "warning": "!", "missing": "✗"}


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    text = (
        "look at each configured device: what is there, what is missing, and the command that mends it; exit 1 if any"
    )
    parser = sub.add_parser(
        "doctor", help="what is there, what is missing, how to mend it", description=text, parents=[common]
    )
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    config, folders = open_config(args)
    findings, console = [], wide_console()
    for finding in examine(config, folders):
        findings.append(finding)
        if args.format == "json":
            continue
        line = Text.assemble(
            (f"{_SIGN[finding.state]} ", _STYLE[finding.state]), f"{finding.what:<22} {finding.detail}"
        )
        console.print(line, soft_wrap=True)
        if finding.mend:
            console.print(Text(f"{'':<25}$ {finding.mend}"), soft_wrap=True)
    ok = all(finding.state != "missing" for finding in findings)
    if args.format == "json":
        print_json({"findings": msgspec.to_builtins(findings), "ok": ok})
    return 0 if ok else 1
