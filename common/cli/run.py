"""`rigbus run`: all configured daemons as supervised processes; Ctrl-C ends them so that everything is stored."""

import argparse
import os
import pwd
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live

from common import rig
from common.audit import audit
from common.bus.subscriber import Subscriber
from common.cli.board import board
from common.cli.context import names, open_config, seconds
from common.config.schema import Config
from common.errors import RigbusError, UsageError
from common.frames import Health
from common.paths import Folders, Lock, endpoint
from common.supervisor import Supervisor

_PLAIN_EVERY_S = 10.0


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    text = "run all configured daemons until Ctrl-C"
    parser = sub.add_parser("run", help=text, description=text, parents=[common])
    parser.add_argument("--for", dest="duration", type=seconds, metavar="S", help="end after that time: 30, 30s, 5m")
    parser.add_argument("--only", type=names, metavar="A,B", help="only these daemons")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    config, folders = open_config(args)
    daemons = rig.configured(config)
    if args.only:
        unknown = set(args.only) - {d.name for d in daemons}
        if unknown:
            raise UsageError(
                f"not configured: {', '.join(sorted(unknown))}; there are: {', '.join(d.name for d in daemons)}"
            )
        daemons = [d for d in daemons if d.name in args.only]
    running = {d.name for d in daemons}
    daemons += [peer for peer in rig.peers(config) if peer.serves in running]
    daemons.sort(key=lambda daemon: daemon.stage)
    folders.make()
    _refuse_anothers(folders.data)
    endpoint(folders.ctl("thermostat"))  # a path that is too long is said once, here
    locks = [Lock(folder / "run.lock") for folder in sorted({*folders})]
    stop = _StopRequest()
    console = Console(highlight=False)

    def say(text: str) -> None:
        try:
            console.print(text, markup=False, soft_wrap=True)
        except OSError:
            pass  # who read it is gone; the rig goes on

    forward = ["--data", str(folders.data), "--run-dir", str(folders.run)]
    if args.config:
        forward += ["--config", str(Path(args.config).resolve())]
    supervisor = Supervisor(daemons, forward, say)
    say(f"rig {config.node}: {', '.join(d.name for d in daemons)}; data in {folders.data}; Ctrl-C stops")
    end = time.monotonic() + args.duration if args.duration is not None else float("inf")
    code = 0
    try:
        supervisor.start()
        _watch(console, say, config.node, folders, supervisor, stop, end)
    except RigbusError as e:
        say(f"rigbus: {e}")
        code = e.exit_code
    finally:
        say("stopping: publishers, sink, bus")
        stop.kill = supervisor.kill
        supervisor.stop()
        for lock in locks:
            lock.release()
    say(_account(config, folders))
    return code


class _StopRequest:
    """SIGINT, SIGTERM or a terminal that goes away asks for the orderly stop; the second one kills what still runs.

    reload: SIGHUP has come, and not because a terminal went away.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.reload = False
        self.kill: Any = None
        self._had_terminal = _has_terminal()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: object) -> None:
        if number == signal.SIGHUP and not (self._had_terminal and not _has_terminal()):
            self.reload = True
            return
        if self.kill is not None:
            self.kill()
        self.event.set()


def _refuse_anothers(data: Path) -> None:
    """What this user would make there (journals, counters, locks) could keep its owner, or the services, out."""
    owner = data.stat().st_uid
    if owner != os.geteuid():
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = f"#{owner}"
        raise RigbusError(f"{data} belongs to {name}: sudo -u {name} rigbus run, or another folder (--data)")


def _has_terminal() -> bool:
    """Whether there is a terminal that could go away."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _watch(
    console: Console,
    say: Callable[[str], None],
    node: str,
    folders: Folders,
    supervisor: Supervisor,
    stop: _StopRequest,
    end: float,
) -> None:
    """Until the stop: restarts, and one calm status block (a line each ten seconds where there is no terminal)."""
    health: dict[str, dict[str, Any]] = {}
    heard: dict[str, float] = {}
    order = [p.daemon.name for p in supervisor.processes if p.daemon.stage != rig.PEER]
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    next_line = time.monotonic() + 3.0
    with Subscriber(folders.bus_out, ["health/"], hwm=100) as subscriber:
        if live:
            live.start()
        try:
            while not stop.event.is_set() and time.monotonic() < end:
                for _, frame in subscriber.read(0.2):
                    if isinstance(frame, Health):
                        health[frame.src], heard[frame.src] = msgspec.to_builtins(frame), time.monotonic()
                if stop.reload:
                    stop.reload = False
                    supervisor.reload()
                supervisor.watch()
                now = time.monotonic()
                down = {p.daemon.name: "down, starts again" for p in supervisor.processes if p.pid is None}
                silent = {n: f"silent for {now - heard[n]:.0f} s" for n in heard if now - heard[n] > 3}
                if live:
                    live.update(board(node, order, health, {**silent, **down}), refresh=True)
                elif now >= next_line:
                    next_line = now + _PLAIN_EVERY_S
                    parts = [
                        f"{n}: {down.get(n) or silent.get(n) or health[n]['status'] or 'running'}"
                        for n in order
                        if n in health
                    ]
                    say(f"{time.strftime('%H:%M:%S')}  " + " | ".join(parts))
        finally:
            if live:
                live.stop()


def _account(config: Config, folders: Folders) -> str:
    account = audit(config, folders)
    published, stored, lost = (sum(getattr(s, f) for s in account.streams) for f in ("published", "stored", "lost"))
    pending = sum(s.pending for s in account.streams)
    rest = f" + {pending:,} pending" if pending else ""
    sign = "=" if account.ok else "≠"
    return f"account: {published:,} frames published {sign} {stored:,} stored + {lost:,} lost{rest}  (rigbus audit)"
