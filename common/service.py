"""A daemon's life outside its run(): arguments, config, affinity, logs, signals, sd_notify, exit code."""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from common.config.load import load
from common.config.schema import Config
from common.errors import ConfigError, DeviceMissing, RigbusError
from common.log import Log
from common.log_events import LogEvent
from common.notify import Notifier
from common.options import add_common
from common.realtime import pin
from common.rig import PARENT
from common.runtime import AWAY_S, Runtime
from common.secrets import Secrets

_PR_SET_PDEATHSIG = 1
_STACK_BYTES = 8 << 20  # msgspec goes thousands of levels deep into what a stranger sends before it refuses


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
    early: list[int] = []  # a stop or a reload that comes while the daemon starts is obeyed when it has
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, _: early.append(signum))
    signal.siginterrupt(signal.SIGHUP, False)  # no call of a driver is to fail by it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])  # see daemons/__init__.py
    parser = argparse.ArgumentParser(prog=f"python -m daemons.{src}", description=doc)
    add_common(parser)
    args = parser.parse_args()
    log = Log(src)
    log.noted(LogEvent.START, "starts")
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
        rt = Runtime(
            src, config, folders, log, journaled=journaled, secrets=Secrets(loaded.env_file),
            read_config=lambda: load(args.config).config,
        )  # fmt: skip
    except RigbusError as e:
        log.error(str(e), event=_event_of(e))
        was_told = not isinstance(e, ConfigError) and _sit_out(str(e), early)
        log.noted(LogEvent.STOP, "stopped", code=(code := 0 if was_told else e.exit_code))
        return code
    code, why = 0, "stopped"
    for number, obey in ((signal.SIGHUP, rt.reload.ask), (signal.SIGTERM, rt.stop), (signal.SIGINT, rt.stop)):
        signal.signal(number, lambda *_, obey=obey: obey())
        if number in early:
            obey()
    signal.siginterrupt(signal.SIGHUP, False)
    began = time.monotonic()
    try:
        run(rt, cfg)
    except RigbusError as e:
        log.error(str(e), event=_event_of(e))
        code, why = e.exit_code, str(e)
        # A device may come back, and room on a disk; who worked until now begins anew at once.
        if isinstance(e, DeviceMissing) or (not isinstance(e, ConfigError) and time.monotonic() < began + AWAY_S):
            rt.sit_out(why)
            code = 0 if rt.stopping else code
    except BaseException as e:
        why = f"{type(e).__name__}: {e}"
        log.noted(LogEvent.FAILED, "a fault of the daemon", warn=True, error=why)
        raise
    finally:
        rt.close(why)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the interpreter's end would set it back to what kills
    log.noted(LogEvent.STOP, "stopped", code=code, run=rt.run_id)
    return code


def _sit_out(why: str, early: list[int]) -> bool:
    """`Runtime.sit_out`, where there is none: what keeps it away is a disk, a folder, a lock. True: told to stop."""
    notifier, until = Notifier(), time.monotonic() + AWAY_S
    notifier.send("READY=1", f"STATUS={why}")
    while notifier.listens and time.monotonic() < until and not {signal.SIGTERM, signal.SIGINT} & {*early}:
        notifier.progress()
        time.sleep(0.2)
    return bool({signal.SIGTERM, signal.SIGINT} & {*early})


def _event_of(e: RigbusError) -> LogEvent:
    kinds = {ConfigError: LogEvent.CONFIG_REFUSED, DeviceMissing: LogEvent.DEVICE_LOST}
    return kinds.get(type(e), LogEvent.FAILED)


def _end_with_supervisor() -> None:
    """Under `rigbus run`: SIGTERM when that process is gone, killed ones included, so that no daemon is left behind."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(0)
