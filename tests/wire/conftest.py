"""A live rig for the tests of what the documents promise: the shipped configuration, in a folder with a short path."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import pytest
import zmq

ROOT = Path(__file__).parents[2]
DOMAIN = {"RIGBUS__DDS__DOMAIN": str(10 + os.getpid() % 200)}  # no other rig on this machine is to be heard
PATIENCE_S = 60.0  # how long anything may take on a slow machine; nothing is as slow as that where all is well


class Outcome(NamedTuple):
    code: int | None  # None: it was still running and was ended
    out: str
    err: str


class Live:
    """`rigbus run` as a process, and scripts beside it."""

    def __init__(self, folder: Path, config: Path, env: dict[str, str], *options: str) -> None:
        self.folder, self.run, self.data, self.config = folder, folder / "r", folder / "d", config
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("RIGBUS")} | env
        self._log = (folder / "log").open("w+")
        command = [sys.executable, "-m", "common.cli.main", "run", *self.words(), *options]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )

    def words(self) -> list[str]:
        """The options that name this rig."""
        return ["--config", str(self.config), "--data", str(self.data), "--run-dir", str(self.run)]

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def wait(self, ready: Callable[[], Any]) -> Any:
        """The first true answer of `ready`; fails where the rig ends, or none comes in time."""
        deadline = time.monotonic() + PATIENCE_S
        while not (answer := ready()):
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        return answer

    def ask(self, src: str, request: Any) -> dict[str, Any]:
        """A daemon's reply, once it has started; the request is a map, or bytes as they are to be sent."""

        def started() -> dict[str, Any]:
            reply = self._ask(src, request)
            return {} if reply.get("detail") == "starting" else reply

        reply: dict[str, Any] = self.wait(started)
        return reply

    def _ask(self, src: str, request: Any) -> dict[str, Any]:
        context: zmq.Context[Any] = zmq.Context()
        socket = context.socket(zmq.REQ)
        try:
            socket.linger = 0
            socket.connect(f"ipc://{self.run / f'{src}.ctl.sock'}")
            socket.send(request if isinstance(request, bytes) else msgpack.packb(request))
            assert socket.poll(30_000), f"{src} does not answer {request}\n{self.log()}"
            reply: dict[str, Any] = msgpack.unpackb(socket.recv())
        finally:
            socket.close()
            context.term()
        return reply

    def health(self, src: str) -> dict[str, Any]:
        """A daemon's health by its ctl socket, once it has started."""

        def up() -> dict[str, Any]:
            if not (self.run / f"{src}.ctl.sock").exists():
                return {}
            found: dict[str, Any] = self.ask(src, {"op": "status"}).get("health", {})
            return found

        found: dict[str, Any] = self.wait(up)
        return found

    def rigbus(self, *words: str) -> Outcome:
        """Another rigbus command about this rig."""
        command = [sys.executable, "-m", "common.cli.main", *words, *self.words()]
        done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=PATIENCE_S)
        return Outcome(done.returncode, done.stdout, done.stderr)

    def script(self, path: Path, *words: str, until: Callable[[str], Any] | None = None) -> Outcome:
        """Runs a script to its end or, where it has none, until what it has printed is enough."""
        with tempfile.TemporaryFile("w+", dir=self.folder) as out, tempfile.TemporaryFile("w+", dir=self.folder) as err:
            process = subprocess.Popen(
                [sys.executable, str(path), *words],
                cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip

            def told(file: Any) -> str:
                file.seek(0)
                text: str = file.read()
                return text

            try:
                deadline = time.monotonic() + PATIENCE_S
                while process.poll() is None and time.monotonic() < deadline:
                    if until is not None and until(told(out)):
                        break
                    time.sleep(0.05)
                code = process.poll()
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
            return Outcome(code, told(out), told(err))

    def stop(self) -> int:
        """As Ctrl-C: the exit code. Its daemons end with it, also where it has to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self._log.close()


@pytest.fixture(scope="session")
def live_rig() -> Iterator[Callable[..., Live]]:
    """Starts rigs; all are ended, and their folders removed, when the tests are over."""
    rigs: list[Live] = []

    def start(*options: str, config: Path = ROOT / "config/rigbus.toml", **env: str) -> Live:
        folder = Path(tempfile.mkdtemp(prefix="rb-", dir="/tmp"))
        own = {"RIGBUS__NODE": "docs", "RIGBUS__GATEWAY__PORT": "0", **DOMAIN}
        rigs.append(Live(folder, config, own | env, *options))
        return rigs[-1]

    yield start
    for rig in rigs:
        rig.stop()
        shutil.rmtree(rig.folder)


@pytest.fixture(scope="session")
def rig(live_rig: Callable[..., Live]) -> Live:
    """The rig as shipped, simulated devices, with all its daemons up."""
    made = live_rig()
    dds = ["dds"] if find_spec("cyclonedds") else []
    for name in ("bus", "sink", "pulse", "highspeed", "thermostat", "pump", "gateway", *dds):
        made.health(name)
    # a pump publishes only what it is asked to do
    made.wait(lambda: "pumps" in made.ask("pump", {"op": "status"}))
    made.ask("pump", {"op": "prime", "command_id": "first", "pump": "water", "seconds": 0.5})
    return made
