"""Daemons as systemd starts them, with this test in its place: READY, STATUS, beats, and what stops the beats."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import zmq

from common.bus import ctl, publisher
from common.config.schema import Config
from common.ctl import request
from common.errors import RigbusError
from common.frames import Event
from common.log import Log
from common.paths import Folders, endpoint
from common.runtime import Runtime
from daemons.bus import Heard

ROOT = Path(__file__).parents[2]
WAIT_S = 40.0
CONFIG = """
node = "rig"
[bus]
cpu = "none"
[sink]
commit_s = 0.2
cpu = "none"
[pulse]
cpu = "none"
channel = [{ name = "import", line = 20, imp_per_kwh = 20000.0, min_interval_ms = 1.0 }]
[highspeed]
cpu = "none"
priority = 0
rate_hz = 100.0
[thermostat]
cpu = "none"
device = [{ name = "bench", host = "127.0.0.1", port = 1, period_s = 0.2 }]
[pump]
cpu = "none"
priority = 0
pump = [{ name = "water", step = 16, dir = 6, en = 17 }]
[gateway]
port = 0
"""
STATUS = {
    "bus": r"forwards for pulse, sink$",
    "sink": r"storing, \d+ frames, \d+ behind$",
    "pulse": r"import \d+, 0 lost, journal \d+\.\d MB$",
    "highspeed": r"10\d\.\d Hz, driver sim, .*lost, journal \d+\.\d MB$",
    "thermostat": r"bench refused, \d+ polls? lost, journal \d+\.\d MB$",
    "pump": r"idle, 0 lost, journal \d+\.\d MB$",
    "gateway": r"http://127\.0\.0\.1:\d+, 0 viewers, 0 lost, journal \d+\.\d MB$",
}


class Service:
    """One daemon, and all that it has told."""

    def __init__(self, folder, name):
        self.words = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / f"{name}.n"))
        self._socket.settimeout(0.2)
        env = {k: v for k, v in os.environ.items() if not k.startswith("RIGBUS")}
        env |= {"NOTIFY_SOCKET": str(folder / f"{name}.n"), "WATCHDOG_USEC": "1500000", "PYTHONFAULTHANDLER": "1"}
        env["RIGBUS_SUPERVISOR"] = str(os.getpid())
        options = ["--config", str(folder / "c.toml"), "--data", str(folder / "d"), "--run-dir", str(folder / "r")]
        with (folder / f"{name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"daemons.{name}", *options], cwd=ROOT, env=env, stderr=log, stdout=log
            )
        self.log = folder / f"{name}.log"

    def hear(self, seconds=0.0):
        """All that has come, and what comes in that time."""
        end = time.monotonic() + seconds
        while True:
            try:
                self.words += self._socket.recv(4096).decode().splitlines()
            except TimeoutError:
                if time.monotonic() >= end:
                    return self.words

    def until(self, pattern):
        """The first word that fits."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            for word in self.hear():
                if re.match(pattern, word):
                    return word
        raise AssertionError(f"no {pattern} in {self.words}\n{self.log.read_text()}")

    def beats(self):
        return self.words.count("WATCHDOG=1")

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            self.process.wait(WAIT_S)
        finally:
            self.process.kill()
            self._socket.close()


@pytest.fixture
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("n")  # a short path: sockets lie in it
    (folder / "c.toml").write_text(CONFIG)
    services = []

    def one(name, extra=""):
        if extra:
            (folder / "conf.d").mkdir()
            (folder / "conf.d/x.toml").write_text(extra)
        services.append(Service(folder, name))
        return services[-1]

    one.folder = folder
    yield one
    for service in reversed(services):
        service.end()


def test_each_daemon_tells_that_it_is_ready_what_it_does_and_that_it_goes_on(start):
    services = {name: start(name) for name in ("bus", "sink", "pulse")}
    for name, service in services.items():
        service.until(r"READY=1")
        service.until("STATUS=" + STATUS[name])
        before = service.beats()
        service.hear(4.0)
        assert service.beats() >= before + 3, service.words
        assert service.words.count("READY=1") == 1
    assert services["sink"].words.index("WATCHDOG_USEC=3600000000") < services["sink"].words.index(
        "WATCHDOG_USEC=1500000"
    )
    services["pulse"].process.terminate()
    services["pulse"].until("STOPPING=1")
    assert services["pulse"].process.wait(WAIT_S) == 0


@pytest.mark.parametrize("name", ["highspeed", "thermostat", "pump", "gateway"])
def test_a_daemon_alone_says_what_it_does(name, start):
    """Without a bus, and the thermostat without its device: that is no reason to be restarted."""
    service = start(name)
    service.until("STATUS=" + STATUS[name])
    before = service.beats()
    service.hear(4.0)
    assert service.beats() >= before + 3, service.words
    changes = [word for word in service.words if word.startswith("STATUS=")]
    assert len(changes) <= 5


def test_a_daemon_that_stands_still_tells_nothing(start):
    service = start("pulse")
    service.until("WATCHDOG=1")
    service.process.send_signal(signal.SIGSTOP)
    service.hear(0.5)
    before = len(service.words)
    service.hear(3.0)
    assert len(service.words) == before
    service.process.send_signal(signal.SIGCONT)
    service.until("WATCHDOG=1")


def test_without_its_device_a_daemon_stays_a_while_and_says_what_is_missing(start):
    """Else systemd would try again each second, and then never more."""
    service = start("pulse", '[pulse]\ndriver = "gpiod"\nchip = "/dev/gpiochip-none"\n')
    told = service.until("STATUS=(pulse|driver gpiod)")
    assert "gpio" in told
    service.until("READY=1")
    before = service.beats()
    service.hear(3.0)
    assert service.process.poll() is None
    assert service.beats() > before
    assert len(service.log.read_text().splitlines()) == 1
    folders = Folders(start.folder / "d", start.folder / "r")
    with pytest.raises(RigbusError, match="gpio"):
        request(folders, "pulse", "pause")  # whatever it is: nobody would do it
    assert request(folders, "pulse", "status")["missing"] == told.removeprefix("STATUS=").partition(", 0 lost")[0]
    service.process.terminate()  # a stop meanwhile is a stop like any other
    assert service.process.wait(WAIT_S) == 0


@pytest.mark.parametrize(
    ("name", "in_the_way", "told"),
    [("sink", "d/rigbus.db", "unable to open"), ("pump", "d/pump/pump.db", "unable to open")],
)
def test_what_the_disk_refuses_at_the_start_is_waited_for(start, name, in_the_way, told):
    """Ten quick ends would be the last (StartLimitBurst), and nobody would come back when the disk has room."""
    (start.folder / in_the_way).mkdir(parents=True)
    service = start(name)
    assert told in service.until("STATUS=.*" + told)
    before = service.beats()
    service.hear(3.0)
    assert service.process.poll() is None
    assert service.beats() > before
    service.process.terminate()
    assert service.process.wait(WAIT_S) == 0


def test_a_daemon_whose_folder_cannot_be_used_ends_late_but_stops_at_once(start):
    (start.folder / "d/journal").mkdir(parents=True)
    (start.folder / "d/journal/pulse").write_text("")
    service = start("pulse")
    service.until("STATUS=.*journal/pulse")
    service.until("READY=1")  # nothing is to wait for it
    service.until("WATCHDOG=1")
    service.hear(2.0)
    assert service.process.poll() is None
    service.process.terminate()
    assert service.process.wait(WAIT_S) == 0


def test_a_daemon_that_has_a_fault_says_so_to_the_end(start, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(start.folder))
    (start.folder / "sitecustomize.py").write_text(
        "import common.pumps.ops as ops\ndef beat(self): raise ZeroDivisionError('a fault')\nops.Ops.beat = beat\n"
    )
    service = start("pump")
    service.until("STATUS=ZeroDivisionError: a fault")
    assert service.process.wait(WAIT_S) == 1


def test_the_forwarder_beats_only_where_frames_go_through_it(tmp_path_factory):
    """The bus hears its own sign of life come back, or there is no beat."""
    folder = tmp_path_factory.mktemp("n")
    with zmq.Context() as context, context.socket(zmq.PUB) as out:
        folders, beats, said = Folders(folder, folder), [], []
        out.linger = 0
        out.bind(endpoint(folders.bus_out))
        rt = SimpleNamespace(
            src="bus", context=context, folders=folders, progress=lambda: beats.append(1), say=said.append
        )
        with Heard(rt) as heard:
            end = time.monotonic() + WAIT_S
            while "pulse" not in (said or [""])[-1]:
                out.send_multipart([b"health/pulse/", b""])
                time.sleep(0.05)
                heard.look()
                assert time.monotonic() < end
            assert not beats
            while not beats:
                out.send_multipart([b"health/bus/", b""])
                time.sleep(0.05)
                heard.look()
                assert time.monotonic() < end
    assert said[-1] == "forwards for pulse"


@pytest.fixture
def runtime(tmp_path_factory, monkeypatch):
    """A daemon's own, whose threads may take half a second for a round; and what it writes to its log."""
    folder, lines = tmp_path_factory.mktemp("n"), io.StringIO()
    monkeypatch.setattr(publisher, "_ROUND_S", 1.5)  # its writer goes round each second
    monkeypatch.setattr(ctl, "_ROUND_S", 0.5)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(folder / "n"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "n"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        rt = Runtime(
            "pulse", Config(node="rig"), Folders(folder / "d", folder / "r"), Log("pulse", lines), journaled=True
        )
        rt.lines = lines
        yield rt
        rt.close()
        rt.notifier._socket.close()


def beats_until(rt, what, wanted):
    end = time.monotonic() + WAIT_S
    while (not rt.notifier.progress()) != wanted:
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_a_writer_that_is_stuck_stops_the_beat(runtime, monkeypatch):
    free, append = threading.Event(), runtime.journal.append
    monkeypatch.setattr(runtime.journal, "append", lambda batch: (free.wait(WAIT_S), append(batch))[1])
    beats_until(runtime, "it beats at first", True)
    runtime.publish(Event(event_type="x", source="x", detail="", level="info"))
    try:
        beats_until(runtime, "the beat stops", False)
        runtime.progress()
        runtime.progress()
        assert runtime.lines.getvalue().count("a thread hangs") == 1
        assert "writer" in runtime.lines.getvalue()
    finally:
        free.set()
    beats_until(runtime, "and goes on with the writer", True)


def test_an_op_that_is_stuck_stops_the_beat(runtime):
    free = threading.Event()
    runtime.on("stuck", lambda request: {"free": free.wait(WAIT_S)})
    asker = threading.Thread(target=request, args=(runtime.folders, "pulse", "stuck"), kwargs={"timeout_s": WAIT_S})
    asker.start()
    try:
        beats_until(runtime, "the beat stops", False)
        end = time.monotonic() + WAIT_S
        while runtime.notifier.progress() != ["ctl"]:  # on a busy machine the writer may be late for once
            assert time.monotonic() < end, "only the one that is stuck is named"
            time.sleep(0.05)
    finally:
        free.set()
        asker.join()
    beats_until(runtime, "and goes on", True)
