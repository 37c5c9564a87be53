"""A rig of real processes in folders of its own: the store on a disk, sockets and journals in memory."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import msgspec

from common.journal.counter import read_counter
from common.paths import Folders
from tests.bench import proc

ROOT = Path(__file__).parents[2]
DISK, MEMORY = "/tmp", "/dev/shm"
GO = "go"  # a file in the run folder: the producer begins


class BenchError(Exception):
    """A figure cannot be measured; the message says why."""


class Process:
    """A child; its CPU time outlives it."""

    def __init__(self, name: str, args: list[str], env: dict[str, str], out: Path) -> None:
        self.name = name
        self._log = out / f"{name}.log"
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, *args], cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.pid = self._popen.pid
        self._cpu_s = 0.0

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def cpu_s(self) -> float:
        return proc.cpu_s(self.pid) if self.alive else self._cpu_s

    def signal(self, number: int) -> None:
        if self.alive:
            self._popen.send_signal(number)

    def wait(self, timeout_s: float) -> None:
        """Until it has ended. Raises BenchError where it does not."""
        deadline = time.monotonic() + timeout_s
        while self._popen.returncode is None:
            pid, status, use = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._popen.returncode = os.waitstatus_to_exitcode(status)
                self._cpu_s = use.ru_utime + use.ru_stime
            elif time.monotonic() > deadline:
                raise BenchError(f"{self.name} did not end in {timeout_s:g} s")
            else:
                time.sleep(0.005)

    def log(self) -> str:
        return self._log.read_text(errors="replace").strip()


class Rig:
    """Processes by name. A context: leaving it kills what still runs and removes the folders."""

    def __init__(self, config: str = "", *, data: str = DISK, run: str = MEMORY) -> None:
        self._data = Path(tempfile.mkdtemp(prefix="rigbus-bench-", dir=data))
        self._run = Path(tempfile.mkdtemp(prefix="rigbus-bench-", dir=run))
        self.folders = Folders(self._data / "data", self._run / "run")
        self.folders.make()
        self.config = self._data / "bench.toml"
        self.config.write_text(f'node = "bench"\n{config}')
        self.common = [
            *("--config", str(self.config), "--data", str(self.folders.data), "--run-dir", str(self.folders.run))
        ]
        self.processes: dict[str, Process] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self.processes.values():
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGKILL)
            process.wait(10)
        shutil.rmtree(self._data, ignore_errors=True)
        shutil.rmtree(self._run, ignore_errors=True)

    # ---- processes

    def start(self, name: str, module: str = "", spec: dict[str, Any] | None = None) -> Process:
        """A daemon, or another module that takes the daemons' arguments; spec: what a producer is to do."""
        args = ["-m", module or f"daemons.{name}", *self.common]
        env = {"RIGBUS_BENCH": json.dumps(spec or {})}
        self.processes[name] = process = Process(name, args, env, self._data)
        return process

    def base(self) -> None:
        """bus and sink, ready."""
        self.start("bus")
        self.start("sink")
        self.until("bus and sink to start", self.ready("bus", "sink"), 20)

    def ready(self, *names: str) -> Callable[[], bool]:
        return lambda: all(self.folders.ctl(name).exists() for name in names) and self.folders.bus_out.exists()

    def producer(self, **spec: Any) -> Process:
        """The bench's producer, started but waiting for go()."""
        (self.folders.run / GO).unlink(missing_ok=True)
        process = self.start("bench", "tests.bench.producer", spec)
        self.until("the producer to start", lambda: self.folders.ctl("bench").exists(), 20)
        time.sleep(1.5)  # a health frame later the sink takes it live
        return process

    def go(self) -> None:
        (self.folders.run / GO).touch()

    def result(self) -> dict[str, Any]:
        """What the producer says of its work. Raises BenchError where it did not get that far."""
        try:
            found: dict[str, Any] = json.loads((self.folders.run / "result.json").read_text())
        except FileNotFoundError:
            raise BenchError(f"the producer ended early: {self.processes['bench'].log()[-300:]}") from None
        return found

    def until(self, what: str, true: Callable[[], bool], timeout_s: float, step_s: float = 0.02) -> float:
        """Waits; returns the seconds it took. Raises BenchError on time-out or when a process has died."""
        begin = time.monotonic()
        while not true():
            for process in self.processes.values():
                if not process.alive and process._popen.returncode:
                    raise BenchError(f"{process.name} ended: {process.log()[-300:]}")
            if time.monotonic() - begin > timeout_s:
                raise BenchError(f"waited {timeout_s:g} s for {what}")
            time.sleep(step_s)
        return time.monotonic() - begin

    def stop(self, *names: str) -> None:
        """Ends them in the order given; without names: publishers, sink, forwarder."""
        order = names or (*(n for n in self.processes if n not in ("sink", "bus")), "sink", "bus")
        for name in order:
            if name in self.processes and self.processes[name].alive:
                self.processes[name].signal(signal.SIGTERM)
                self.processes[name].wait(30)

    # ---- looking

    def offered(self, src: str = "bench") -> int:
        """Frames that the newest run of a source has numbered."""
        slots = read_counter(self.folders.counters(src) / "counter")
        return slots[-1].offered if slots else 0

    def stored_to(self, src: str = "bench") -> int:
        """The cursor of its newest run; 0 where there is none yet."""
        try:
            db = sqlite3.connect(f"file:{self.folders.store}?mode=ro", uri=True, timeout=5)
        except sqlite3.Error:
            return 0
        try:
            row = db.execute("SELECT stored_to FROM streams WHERE src = ? ORDER BY id DESC LIMIT 1", (src,)).fetchone()
        except sqlite3.Error:
            return 0
        finally:
            db.close()
        return int(row[0]) if row else 0

    def settle(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """Stops all and asks for the account. Raises BenchError where a frame is not stored."""
        self.stop()
        command = [sys.executable, "-m", "common.cli.main", "audit", "--json", *self.common]
        out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)
        if not out.stdout:
            raise BenchError(f"audit: {out.stderr.strip()[-300:]}")
        account: dict[str, Any] = msgspec.json.decode(out.stdout)
        lost = sum(s["lost"] for s in account["streams"])
        pending = sum(s["pending"] for s in account["streams"])
        if not account["ok"] or lost or pending or not account["streams"]:
            raise BenchError(f"audit: ok {account['ok']}, {lost:,} frames lost, {pending:,} pending")
        return account
