"""A rig of real processes in a folder of its own: start, stop, kill, wait, look."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from numbers_check import Found, check_numbers, check_rows, connect, read_offers

from common.ctl import request
from common.paths import Folders

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WAIT_S = 40.0  # a bound for what takes well under 5 s on an idle machine

CONFIG = """
node = "rig"
[bus]
cpu = "none"
[pulse]
publish_every_s = 0.05
cpu = "none"
channel = [
  { name = "import", line = 20, imp_per_kwh = 20000.0, min_interval_ms = 1.0 },
  { name = "export", line = 26, imp_per_kwh = 20000.0, min_interval_ms = 1.0 },
]
[highspeed]
rate_hz = 200.0
frame_ms = 50.0
priority = 0
cpu = "none"
[journal.daemon.pulse]
place = "disk"
[sink]
commit_s = 0.2
cpu = "none"
"""
PUBLISHERS = ("pulse", "highspeed", "numbered")
ALL = ("bus", "sink", *PUBLISHERS)


class Audit(NamedTuple):
    code: int
    document: dict[str, Any]

    def sum(self, field: str) -> int:
        return sum(stream[field] for stream in self.document["streams"])

    def of(self, src: str, field: str) -> int:
        return sum(stream[field] for stream in self.document["streams"] if stream["src"] == src)


class Rig:
    """`numbered…` names start numbered.py, `run` starts `rigbus run`, every other name is a module of daemons/."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        """extra: TOML that is merged over CONFIG."""
        self.folder, self.data, self.run = folder, folder / "d", folder / "r"
        self.db = self.data / "rigbus.db"
        self.config = folder / "rigbus.toml"
        self.config.write_text(CONFIG)
        (folder / "conf.d").mkdir()
        self.merge(extra)
        self.numbered_args: dict[str, list[str]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def merge(self, extra: str) -> None:
        """TOML that is merged over CONFIG, for processes started from now on."""
        (self.folder / "conf.d" / "test.toml").write_text(extra)

    # ---- processes

    @property
    def options(self) -> list[str]:
        return ["--config", str(self.config), "--data", str(self.data), "--run-dir", str(self.run)]

    def start(self, *names: str, args: tuple[str, ...] = ()) -> None:
        for name in names:
            if name.startswith("numbered"):
                command = [str(HERE / "numbered.py"), "--src", name, "--offers", str(self.offers(name))]
                command += self.numbered_args.get(name, [])
            elif name == "run":
                command = ["-m", "common.cli.main", "run"]
            else:
                command = ["-m", f"daemons.{name}"]
            env = {k: v for k, v in os.environ.items() if not k.startswith("RIGBUS")}
            if name != "run":
                env["RIGBUS_SUPERVISOR"] = str(os.getpid())  # should the tests be killed, no daemon is left behind
            env["PYTHONFAULTHANDLER"] = "1"
            with self.log(name).open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, *command, *self.options, *args], cwd=ROOT, env=env,
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip

    def stop(self, *names: str, code: int = 0) -> None:
        """SIGTERM to all of them, then waits; each must end with this exit code."""
        for name in names:
            self.processes[name].send_signal(signal.SIGTERM)
        for name in names:
            process = self.processes[name]
            try:
                found = process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)  # its threads' stacks go to its log
                found = process.wait(WAIT_S)
            del self.processes[name]
            assert found == code, f"{name} ended with exit code {found}\n{self.tail()}"

    def kill(self, *names: str) -> None:
        for name in names:
            self.processes[name].kill()
        for name in names:
            self.processes.pop(name).wait(WAIT_S)

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def ready(self, *names: str) -> None:
        """Until the processes answer on their ctl sockets (which are there from earlier ones too)."""
        for name in names:
            pid = self.processes[name].pid
            self.until(lambda n=name, p=pid: self.status(n)["health"]["pid"] == p, f"{name} answers")

    def status(self, name: str) -> dict[str, Any]:
        """A daemon's answer to `status` on its ctl socket."""
        return request(Folders(self.data, self.run), name, "status", timeout_s=0.5)

    def end(self) -> None:
        """Publishers, sink, bus: the orderly stop of what runs."""
        running = [n for n in self.processes if n not in ("bus", "sink", "run")]
        self.stop(*running)
        for name in ("sink", "bus", "run"):
            if name in self.processes:
                self.stop(name)

    def descendants(self) -> list[psutil.Process]:
        """All processes that were started for this rig, by its folder on their command line."""
        found = psutil.process_iter(["cmdline", "status"])
        mine = (p for p in found if str(self.run) in (p.info["cmdline"] or ()))
        return [p for p in mine if p.info["status"] != psutil.STATUS_ZOMBIE]

    def close(self) -> None:
        """Nothing of this rig is left, whatever the test came to."""
        for process in self.processes.values():
            process.send_signal(signal.SIGKILL)
            process.wait(WAIT_S)
        for process in self.descendants():
            process.kill()

    # ---- waiting and looking

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> None:
        """Polls; a condition that raises because something is not there yet is not met yet."""
        deadline = time.monotonic() + timeout_s
        while True:
            error = ""
            try:
                if condition():
                    return
            except Exception as e:
                error = f" ({type(e).__name__}: {e})"
            if time.monotonic() > deadline:
                raise AssertionError(f"in {timeout_s:g} s not: {what}{error}\n{self.tail()}")
            time.sleep(0.05)

    def offers(self, src: str) -> Path:
        return self.folder / f"{src}.offers"

    def offered(self, src: str = "numbered") -> int:
        """Numbers of the source's newest process so far."""
        runs = read_offers(self.offers(src))
        return runs[-1].last if runs else 0

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def tail(self) -> str:
        """The last lines of every log, for the message of a failure."""
        parts = [f"--- {p.name}\n" + "\n".join(p.read_text().splitlines()[-30:]) for p in self.folder.glob("*.log")]
        return "\n".join(parts)

    def rows(self, sql: str, *values: Any) -> list[Any]:
        with closing(connect(self.db)) as conn:
            return conn.execute(sql, values).fetchall()

    def stored(self, src: str = "numbered") -> int:
        """Rows of a numbered source."""
        found = self.rows("SELECT count(*) FROM system_events WHERE source = ?", src)
        return int(found[0][0])

    def caught_up(self, *srcs: str, timeout_s: float = WAIT_S) -> None:
        """Until what the numbered sources have offered up to now is stored or accounted for."""
        for src in srcs or ("numbered",):
            runs = [(r.run, max(r.seqs.values())) for r in read_offers(self.offers(src)) if r.seqs]

            def passed(src: str = src, runs: list[tuple[str, int]] = runs) -> bool:
                rows = self.rows("SELECT run, stored_to, closed FROM streams WHERE src = ?", src)
                found = {row[0]: row[1:] for row in rows}
                at = [(found.get(run, (0, 0)), seq) for run, seq in runs]
                return all(stored_to >= seq or closed for (stored_to, closed), seq in at)

            self.until(passed, f"{src} is stored up to now", timeout_s)

    def ledger(self, cause: str) -> list[Any]:
        return self.rows("SELECT stream, unit, count, detail FROM ledger WHERE cause = ?", cause)

    def command(self, *args: str) -> "subprocess.CompletedProcess[str]":
        """A rigbus command with this rig's options, run to its end."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("RIGBUS")}
        command = [sys.executable, "-m", "common.cli.main", *args, *self.options]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)

    def audit(self, *args: str) -> Audit:
        done = self.command("audit", "--json", *args)
        assert done.stdout, done.stderr
        return Audit(done.returncode, json.loads(done.stdout))

    def check(self, *srcs: str, totals: bool = True, unknown: bool = False) -> dict[str, Found]:
        """The account of a stopped rig: audit exit 0, nothing pending, and these numbered sources are exact."""
        out = {src: check_numbers(self.db, self.offers(src), src) for src in srcs}
        faults = [fault for found in out.values() for fault in found.faults]
        faults += check_rows(self.db, totals=totals)
        assert not faults, "\n".join([*faults[:20], self.tail()])
        account = self.audit("--deep", *["--allow-unknown"] * unknown)
        assert account.code == 0, f"{account.document}\n{self.tail()}"
        assert account.sum("pending") == 0, account.document
        assert account.sum("published") == account.sum("stored") + account.sum("lost"), account.document
        return out


class Listener:
    """listener.py as a process; `frames` are those heard so far."""

    def __init__(self, rig: Rig) -> None:
        self._out = (rig.folder / "heard").open("w+")
        command = [sys.executable, str(HERE / "listener.py"), str(rig.run / "out.sock")]
        self.process = subprocess.Popen(command, stdout=self._out)

    def frames(self) -> list[tuple[str, dict[str, Any]]]:
        self._out.seek(0)
        return [tuple(json.loads(line)) for line in self._out.read().split("\n")[:-1]]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._out.close()


MakeRig = Callable[..., Rig]
