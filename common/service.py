"""A daemon's life outside its run(): arguments, config, affinity, logs, signals, sd_notify, exit code."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from common.config.load import load
from common.config.schema import Config
from common.errors import ConfigError, RigbusError
from common.log import Log
from common.realtime import pin
from common.rig import PARENT
from common.runtime import Runtime
from common.secrets import Secrets

_PR_SET_PDEATHSIG = 1
_STACK_BYTES = 8 << 20  # msgspec goes thousands of levels deep into what a stranger sends before it refuses


def add_common(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """The options that every command and every daemon takes. default: argparse.SUPPRESS where they may stand before."""
    for option, metavar, told in (
        ("--config", "FILE", "configuration (default: see docs/config.md)"),
        ("--data", "DIR", "data folder: the store, journals on disk, counters"),
        ("--run-dir", "DIR", "run folder: sockets, journals in memory"),
    ):
        parser.add_argument(option, metavar=metavar, help=told, default=default)


def entry(
    src: str,
    doc: str | None,
    section: Callable[[Config], Any],
    run: Callable[[Runtime, Any], None],
    *,
    journaled: bool = True,
) -> int:
    """A daemon's main(): the whole life of its process. Returns the exit code.

    section picks the daemon's part of the configuration; None there is a user's mistake (exit 78).
    """
    parser = argparse.ArgumentParser(prog=f"python -m daemons.{src}", description=doc)
    add_common(parser)
    args = parser.parse_args()
    log = Log(src)
    early: list[int] = []  # a stop that comes while the daemon starts is obeyed when it has
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, _: early.append(signum))
    _end_with_supervisor()
    try:
        loaded = load(args.config)
        config, cfg = loaded.config, section(loaded.config)
        if cfg is None:
            raise ConfigError(f"{loaded.sources[0]}: there is no [{src}]")
        if not getattr(cfg, "enabled", True):
            raise ConfigError(f"{loaded.sources[0]}: {src}.enabled is false")
        folders = loaded.folders(args.data, args.run_dir)
        threading.stack_size(_STACK_BYTES)
        pin(cfg.cpu, src, log)
        rt = Runtime(src, config, folders, log, journaled=journaled, secrets=Secrets(loaded.env_file))
    except RigbusError as e:
        log.error(str(e))
        return e.exit_code
    code = 0
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: rt.stop())
    if early:
        rt.stop()
    try:
        rt.notifier.send("READY=1")
        run(rt, cfg)
    except RigbusError as e:
        log.error(str(e))
        code = e.exit_code
    finally:
        rt.close()
    return code


def _end_with_supervisor() -> None:
    """Under `rigbus run`: SIGTERM when that process is gone, killed ones included, so that no daemon is left behind."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(0)
