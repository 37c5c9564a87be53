"""The `rigbus` command: one verb a module. A user's mistake is one line on stderr, never a traceback."""

import argparse
import io
import os
import sys

from common.cli import audit, config, ctl, doctor, export, influx, pump, quarantine, query, run, status, tail
from common.errors import ConfigError, RigbusError
from common.service import add_common

VERBS = (run, status, tail, audit, query, export, quarantine, pump, ctl, influx, doctor, config)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    common = argparse.ArgumentParser(add_help=False)
    add_common(common)
    main_parser = argparse.ArgumentParser(
        prog="rigbus", description="Telemetry for rigs in which nothing is lost without an account of it."
    )
    verbs = main_parser.add_subparsers(metavar="VERB", required=True)
    for module in VERBS:
        module.register(verbs, common)
    return main_parser


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 the answer is no, 2 usage, 69 device missing, 78 bad config."""
    args = parser().parse_args(argv)
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
