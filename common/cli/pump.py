"""`rigbus pump`: prime, dispense, stop, emergency stop, unlock, calibrate, status."""

import argparse
import os
import pwd
import re
import signal
import sys
import time
import uuid
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from common.cli.context import add_format, names, open_config, open_folders, print_json, seconds, wide_console
from common.ctl import request
from common.errors import RigbusError
from common.latch import CONFIRM, Latch
from common.paths import Folders, is_alive
from common.rights import rights_of

_ASK_S = 5.0  # an intent is on the disk and in the journal before the answer comes
_LOOK_S = 0.1
_GONE_S = 15.0  # a daemon that died is back by then, and says how the run ended
Reply = dict[str, Any]


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    parser = sub.add_parser("pump", help="dose, calibrate, stop (docs/safety.md)", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, text: str, run: Any) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text, parents=[common])
        add_format(made)
        made.set_defaults(run=run)
        return made

    def motion(name: str, text: str) -> argparse.ArgumentParser:
        made = verb(name, text, _move)
        made.set_defaults(op=name)
        made.add_argument("pumps", type=names, metavar="PUMP")
        made.add_argument(
            "--hz", type=float, metavar="N", help="steps per second at full speed (default: the pump's hz)"
        )
        made.add_argument("--reverse", action="store_true", help="the other way round")
        made.add_argument("--id", metavar="ID", help="command id: asked again with it, nothing moves a second time")
        return made

    prime = motion("prime", "run one pump or several (a,b) for a time; follows until the end, Ctrl-C stops")
    prime.add_argument("seconds", type=seconds, metavar="TIME", help="2s, 500ms, 1m")
    dispense = motion("dispense", "pump a volume; follows until the end, Ctrl-C stops")
    dispense.add_argument("ml", type=_ml, metavar="ML", help="5, 5ml, 2.5")
    verb("stop", "end the run of a pump", _stop).add_argument("pumps", type=names, metavar="PUMP")
    verb("stop-all", "end every run", _stop).set_defaults(pumps=None)
    estop = verb("estop", "emergency stop: end every run, and refuse all until it is unlocked", _estop)
    estop.add_argument("--reason", metavar="TEXT", help="for the record; default: who asks")
    unlock = verb("unlock", "take the emergency stop back", _unlock)
    unlock.add_argument("--yes", action="store_true", help="do not ask")
    calibrate = verb(
        "calibrate", "steps per mL from a run whose volume was measured; without ML: what there is", _calibrate
    )
    calibrate.add_argument("pump", metavar="PUMP")
    calibrate.add_argument("ml", type=_ml, nargs="?", metavar="ML", help="what that run delivered")
    calibrate.add_argument("--run", dest="measured", metavar="ID", help="command id of the run (default: the last one)")
    verb("status", "what the pumps do, and what is left of the day's limits", _status)


def _ml(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+) ?(?:ml|mL)?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no volume: 5, 2.5, 5ml")
    return float(match[1])


# ---- motions


def _move(args: argparse.Namespace) -> int:
    _, folders = open_config(args)
    command_id = args.id or str(uuid.uuid4())
    fields: Reply = {"command_id": command_id, "direction": "reverse" if args.reverse else "forward"}
    if args.hz is not None:
        fields["hz"] = args.hz
    if args.op == "prime":
        fields |= {"pumps": args.pumps, "seconds": args.seconds}
    elif len(args.pumps) > 1:
        raise RigbusError("dispense: one pump at a time")
    else:
        fields |= {"pump": args.pumps[0], "ml": args.ml}
    if not is_alive(folders, "pump"):
        raise RigbusError("pump: not running (rigbus run)")
    interrupt = _Interrupt(folders, args.pumps)
    try:
        reply = request(folders, "pump", args.op, timeout_s=_ASK_S, **fields)
    except RigbusError as e:
        if "no answer" not in str(e):
            raise
        raise RigbusError(
            f"{e}; it may have begun: look by `rigbus pump status`, and never ask again under another id"
        ) from None
    if reply["warning"]:
        print(f"rigbus: {reply['warning']}", file=sys.stderr)
    runs = _follow(
        folders, args.op, fields, reply["runs"], interrupt, show=args.format != "json" and sys.stderr.isatty()
    )
    if args.format == "json":
        print_json({"command_id": command_id, "repeated": reply["repeated"], "runs": runs})
    else:
        for run in runs:
            print(_told(run) + (" (asked before: nothing was moved now)" if reply["repeated"] else ""))
    return 0 if all(run["state"] == "done" for run in runs) else 1


class _Interrupt:
    """Ctrl-C from before the request on: it stops the command's pumps, whatever this process is in the middle of."""

    def __init__(self, folders: Folders, pumps: list[str]) -> None:
        self._folders, self._pumps, self.came = folders, pumps, False
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # in the background of a script it is ignored
            signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        if not self.came:
            print("rigbus: stopping", file=sys.stderr)
        self.came = True
        self.stop()

    def stop(self) -> None:
        for pump in self._pumps:
            try:
                request(self._folders, "pump", "stop", pump=pump)
            except RigbusError as e:
                print(f"rigbus: {e}", file=sys.stderr)


def _follow(
    folders: Folders, op: str, fields: Reply, runs: list[Reply], interrupt: _Interrupt, *, show: bool
) -> list[Reply]:
    """Until every run of the command has ended; Ctrl-C stops them, and waits for the outcome all the same."""
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} steps"),
        TimeElapsedColumn(), console=Console(stderr=True), transient=True, disable=not show,
    )  # fmt: skip
    heard = time.monotonic()
    with bar:
        tasks = {run["pump"]: bar.add_task(run["pump"], total=run["planned_steps"]) for run in runs}
        while any(run["state"] == "intent" for run in runs):
            try:
                time.sleep(_LOOK_S)
                if interrupt.came:
                    interrupt.stop()  # again: the first may have come before the run
                for pump in _ask_status(folders)["pumps"]:
                    if pump["pump"] in tasks and pump["run"]:
                        bar.update(tasks[pump["pump"]], completed=pump["run"]["steps"])
                # the same id again moves nothing: it is the question for the outcome
                runs = request(folders, "pump", op, timeout_s=_ASK_S, **fields)["runs"]
                heard = time.monotonic()
            except RigbusError:
                if time.monotonic() - heard > _GONE_S:
                    raise
    return runs


def _ask_status(folders: Folders) -> Reply:
    reply = request(folders, "pump", "status")
    if "pumps" not in reply:
        raise RigbusError("pump: starting, ask again")
    return reply


def _told(run: Reply) -> str:
    ml = "" if run["ml"] is None else f", {run['ml']:.4g} mL"
    about = "" if run["exact"] else "at least "
    why = "" if run["state"] == "done" else f" ({run['reason']})"
    steps = (
        f"{about}{run['steps']} steps"
        if run["state"] == "done"
        else f"{about}{run['steps']} of {run['planned_steps']} steps"
    )
    return f"{run['pump']}: {run['state']}{why}, {steps}{ml}, {run['seconds']:.2f} s"


# ---- stops


def _stop(args: argparse.Namespace) -> int:
    folders = open_folders(args)
    stopped: list[str] = []
    if args.pumps is None:
        stopped = request(folders, "pump", "stop_all")["stopped"]
    for pump in args.pumps or ():
        stopped += request(folders, "pump", "stop", pump=pump)["stopped"]
    if args.format == "json":
        print_json({"stopped": stopped})
    else:
        print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
    return 0


def _user() -> str:
    try:
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def _estop(args: argparse.Namespace) -> int:
    reason = args.reason or f"asked for by {_user()}, rigbus pump estop"
    folders = open_folders(args)
    reply: Reply = {}
    try:
        reply = request(folders, "pump", "estop", reason=reason)
    except RigbusError as e:
        # a daemon that is gone or hangs moves nothing for long; the latch keeps the next one from it
        print(f"rigbus: {e}; setting the latch in {folders.data} all the same", file=sys.stderr)
    if not reply.get("saved"):
        with rights_of(folders.data / "pump"):
            Latch(folders.data / "pump").set(reason)
        reply = {"locked": True, "stopped": reply.get("stopped"), "saved": True}
    if args.format == "json":
        print_json({key: reply[key] for key in ("locked", "stopped", "saved")})
    else:
        stopped = reply["stopped"]
        print(f"locked; stopped: {'not known' if stopped is None else ', '.join(stopped) or 'nothing was running'}")
    return 0


def _unlock(args: argparse.Namespace) -> int:
    _, folders = open_config(args)
    if not args.yes:
        if not sys.stdin.isatty():
            raise RigbusError("unlock: nobody to ask; --yes says that it is meant")
        if (
            input("Is the cause of the emergency stop gone, and nobody near the pumps? Type unlock: ").strip()
            != CONFIRM
        ):
            raise RigbusError("unlock: not confirmed, still locked")
    request(folders, "pump", "unlock", confirm=CONFIRM)
    print_json({"locked": False}) if args.format == "json" else print("unlocked")
    return 0


# ---- calibration, status


def _calibrate(args: argparse.Namespace) -> int:
    _, folders = open_config(args)
    fields = {"ml": args.ml, "run": args.measured}
    given = {key: value for key, value in fields.items() if value is not None}
    reply = request(folders, "pump", "calibrate", timeout_s=_ASK_S, pump=args.pump, **given)
    if args.format == "json":
        print_json({key: value for key, value in reply.items() if key not in ("id", "ok")})
    elif reply["steps_per_ml"] is None:
        print(f"{args.pump}: not calibrated with this driver")
    else:
        source = f"from run {reply['run']}" if reply["run"] else "as configured, or of the simulated motor"
        print(f"{args.pump}: {reply['steps_per_ml']:.6g} steps/mL, driver {reply['driver']}, {source}")
    return 0


def _status(args: argparse.Namespace) -> int:
    _, folders = open_config(args)
    reply = _ask_status(folders)
    shown = {key: reply[key] for key in ("locked", "locked_by", "pumps")}
    if args.format == "json":
        print_json(shown)
        return 0
    table = Table(box=None, pad_edge=False, title_justify="left")
    for column in ("pump", "doing", "steps/mL", "left today", "last run"):
        table.add_column(column)
    for pump in shown["pumps"]:
        run, last, left = pump["run"], pump["last"], pump["left_today"]
        doing = f"{run['action']} {run['steps']} of {run['planned_steps']} steps" if run else "idle"
        known = f"{pump['steps_per_ml']:.6g}" if pump["steps_per_ml"] else "not calibrated"
        rest = f"{left['steps']:.0f} steps, {left['seconds']:.0f} s, {left['ml']:.4g} mL"
        table.add_row(pump["pump"], doing, known, rest, _told(last).partition(": ")[2] if last else "")
    console = wide_console()
    if shown["locked"]:
        console.print(f"LOCKED by the emergency stop: {shown['locked_by']}  (rigbus pump unlock)")
    console.print(table)
    return 0
