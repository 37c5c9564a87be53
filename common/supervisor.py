"""`rigbus run`'s processes: starts them in order, restarts what dies with backoff, stops them so that all is stored."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from common.errors import ConfigError, DeviceMissing, RigbusError
from common.rig import BUS, PARENT, PEER, PRODUCER, SINK, Daemon

_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 0.2, 10.0
_DEVICE_BACKOFF_S, _MAX_DEVICE_BACKOFF_S = 10.0, 60.0  # a device that is not there seldom comes back at once
_STABLE_S = 30.0  # a process that lived so long starts again with the first backoff


class Process:
    """One daemon's process."""

    def __init__(self, daemon: Daemon, args: Sequence[str], say: Callable[[str], None]) -> None:
        self.daemon, self._args, self._say = daemon, args, say
        self.restarts = 0
        self._backoff_s = _FIRST_BACKOFF_S
        self._retry_at = 0.0
        self._process: subprocess.Popen[str] | None = None
        self._started = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        command = [sys.executable, "-m", self.daemon.module, *self._args]
        # blocked, and so inherited: a reload that comes before the daemon can take it waits, and does not end it
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [] if self.daemon.serves else [signal.SIGHUP])
        try:
            # a session of its own: Ctrl-C in the terminal must reach the supervisor alone, which knows the order
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
                start_new_session=True, env={**os.environ, PARENT: str(os.getpid())},
            )  # fmt: skip
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._started = time.monotonic()
        threading.Thread(target=self._relay, args=(self._process,), daemon=True).start()

    def _relay(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self._say(line.rstrip("\n"))

    def watch(self) -> None:
        """Restarts it when it has ended. Raises ConfigError where it says that its configuration is wrong."""
        if self._process is None:
            if time.monotonic() >= self._retry_at:
                self.start()
            return
        code = self._process.poll()
        if code is None:
            return
        if code == ConfigError.exit_code:
            raise ConfigError(f"{self.daemon.name} refuses its configuration (see the line above)")
        if time.monotonic() - self._started > _STABLE_S:
            self._backoff_s = _FIRST_BACKOFF_S
        most_s = _MAX_BACKOFF_S
        if code == DeviceMissing.exit_code:
            most_s = _MAX_DEVICE_BACKOFF_S
            self._backoff_s = max(self._backoff_s, _DEVICE_BACKOFF_S)
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._say(f"rigbus: {self.daemon.name} {how}, starts again in {self._backoff_s:g} s")
        self._process, self._retry_at = None, time.monotonic() + self._backoff_s
        self._backoff_s = min(most_s, self._backoff_s * 2)
        self.restarts += 1

    def signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self, until: float) -> bool:
        """Whether it ended by then (monotonic)."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True


class Supervisor:
    def __init__(self, daemons: Sequence[Daemon], args: Sequence[str], say: Callable[[str], None]) -> None:
        """args: what each daemon gets on its command line. say: takes a line for the user."""
        self.processes = [Process(d, args, say) for d in daemons]
        self._say = say

    def start(self) -> None:
        for process in self.processes:
            try:
                process.start()
            except OSError as e:
                raise RigbusError(f"{process.daemon.name} cannot be started: {e.strerror}") from None

    def watch(self) -> None:
        for process in self.processes:
            process.watch()

    def reload(self) -> None:
        """The daemons read their configuration anew; simulated peers keep theirs."""
        for process in self.processes:
            if not process.daemon.serves:
                process.signal(signal.SIGHUP)

    def stop(self) -> None:
        """Publishers, simulated peers, the sink, the forwarder; each stage has its bound, what exceeds it is killed."""
        for stage in (PRODUCER, PEER, SINK, BUS):
            group = [p for p in self.processes if p.daemon.stage == stage]
            begin = time.monotonic()
            for process in group:
                process.signal(signal.SIGCONT)
                process.signal(signal.SIGTERM)
            for process in group:
                if not process.wait(begin + process.daemon.stop_s):
                    self._say(f"rigbus: {process.daemon.name} did not stop in {process.daemon.stop_s:g} s, killed")
                    process.signal(signal.SIGKILL)
                    process.wait(time.monotonic() + 1.0)

    def kill(self) -> None:
        for process in self.processes:
            process.signal(signal.SIGKILL)
