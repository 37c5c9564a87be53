"""The `rigbus` command: one verb a module. A user's mistake is one line on stderr, never a traceback."""

import argparse
import io
import os
import sys
from importlib import import_module

from common.errors import ConfigError, RigbusError
from common.options import add_common

# each a module of this package
VERBS = (
    "run", "status", "tail", "audit", "query", "export", "quarantine", "backup", "restore", "pump", "ctl", "influx",
    "doctor", "config",
)  # fmt: skip


def parser(only: str = "") -> argparse.ArgumentParser:
    """The command line; only: of this verb, if it is one. What other verbs need is not imported then."""
    common = argparse.ArgumentParser(add_help=False)
    add_common(common)
    main_parser = argparse.ArgumentParser(
        prog="rigbus", description="Telemetry for rigs in which nothing is lost without an account of it."
    )
    verbs = main_parser.add_subparsers(metavar="VERB", required=True)
    for verb in [only] if only in VERBS else VERBS:
        import_module(f"common.cli.{verb}").register(verbs, common)
    return main_parser


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 the answer is no, 2 usage, 69 device missing, 78 bad config."""
    words = sys.argv[1:] if argv is None else argv
    args = parser(words[0] if words else "").parse_args(words)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ✓ shows ?, not a traceback
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except RigbusError as e:
        # a bad configuration begins with file:line, for editors that jump there
        print(e if isinstance(e, ConfigError) else f"rigbus: {e}", file=sys.stderr)
        return e.exit_code
    except BrokenPipeError:
        # the reader (head, less) is gone: that is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as e:
        where = f"{e.filename}: " if e.filename else ""
        print(f"rigbus: {where}{e.strerror or e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
