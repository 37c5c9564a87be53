"""The rig being watched: what viewers cost it, how old what they see is, and whether the stalled ones hurt anybody."""

import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import msgpack
import psutil
from websockets.sync.client import ClientConnection, connect

from common.ctl import request
from common.paths import Folders
from tests.bench import watching_page
from tests.bench.figure import Figure, missing
from tests.bench.options import Options, Progress
from tests.bench.rig import DISK, MEMORY, ROOT, BenchError

LATENCY_MS, PAINT_MS, RSS_MB, SOCKET_KB_S = 250.0, 1000.0, 90.0, 40.0
VIEWERS, STALLED = 10, 50
CONFIG = """
[pulse]
channel = [{ name = "import", line = 20 }, { name = "export", line = 26 }, { name = "generate", line = 21 }]
[highspeed]
[thermostat]
device = [{ name = "bench", host = "sim" }]
[pump]
pump = [{ name = "water", step = 16, dir = 6, en = 17 }]
[gateway]
port = 0
[sim]
thermostat = true
"""


def run(options: Options, progress: Progress) -> list[Figure]:
    seconds = 10.0 if options.quick else 40.0
    try:
        with Watched() as rig:
            progress("watching: nobody looks", seconds)
            alone = rig.lateness(seconds)
            progress(f"watching: {VIEWERS} viewers", seconds)
            with ExitStack() as watching:
                viewers = [watching.enter_context(Viewer(rig.port, measures=n == 0)) for n in range(VIEWERS)]
                time.sleep(seconds)
                first, rss_mb = viewers[0], rig.rss_mb()
            progress(f"watching: {STALLED} viewers that read nothing", seconds + 5)
            with ExitStack() as stalled:
                for _ in range(STALLED):
                    subscribe(stalled.enter_context(connect(rig.live, max_size=None, max_queue=1)))
                besieged = rig.lateness(seconds)
            progress("watching: the page in a browser", 30)
            paints, ages = watching_page.look(f"http://127.0.0.1:{rig.port}/", 3 if options.quick else 7)
            lost = rig.lost_samples()
    except (BenchError, OSError) as e:
        return [missing("watching", "", str(e))]
    shown = percentile(ages, 99)
    return [
        Figure("watching last sample to viewer, p99", "ms", [first.latency_ms(99)], target=LATENCY_MS,
               note=f"p50 {first.latency_ms(50):.0f} ms"),
        Figure("watching sensor to browser, p99", "ms", [shown], target=LATENCY_MS,
               note=f"p50 {percentile(ages, 50):.0f} ms; in the page's frame callback"),
        Figure("watching first paint", "ms", paints, target=PAINT_MS),
        Figure(f"watching gateway with {VIEWERS} viewers", "MB", [rss_mb], target=RSS_MB, note="resident"),
        Figure("watching one viewer of everything", "kB/s", [first.kb_s()], target=SOCKET_KB_S),
        Figure(f"watching 800 Hz, {STALLED} stalled", "µs", [statistics.median(besieged)],
               [statistics.median(alone)], "nobody looks",
               note="lateness p99 of the sampling loop, median of the seconds"),
        Figure("watching samples lost", "samples", [lost], target=0.0, failed=lost > 0),
    ]  # fmt: skip


def percentile(values: list[float], percent: int) -> float:
    if not values:
        raise BenchError("no samples came")
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


class Watched:
    """`rigbus run` with its gateway on a free port."""

    def __init__(self) -> None:
        self._ending = ExitStack()
        data, run_dir = (Path(self._ending.enter_context(TemporaryDirectory(dir=d))) for d in (DISK, MEMORY))
        self.folders = Folders(data, run_dir)
        config = data / "rig.toml"
        config.write_text(CONFIG)
        words = ["--config", str(config), "--data", str(data), "--run-dir", str(run_dir)]
        log = self._ending.enter_context((data / "log").open("w"))
        self._run = subprocess.Popen(
            [sys.executable, "-m", "common.cli.main", "run", *words],
            cwd=ROOT, env=os.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 60
        while not (url := self._ask("gateway").get("url")):
            if time.monotonic() > deadline or self._run.poll() is not None:
                self.__exit__()
                raise BenchError("the gateway does not start")
            time.sleep(0.2)
        self.port = int(url.rpartition(":")[2])
        self.live = f"ws://127.0.0.1:{self.port}/live"
        time.sleep(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._run.send_signal(signal.SIGINT)
        self._run.wait(30)
        self._ending.close()

    def _ask(self, src: str) -> dict[str, Any]:
        try:
            return request(self.folders, src, "status", timeout_s=1.0)
        except Exception:
            return {}

    def rss_mb(self) -> float:
        return psutil.Process(self._ask("gateway")["health"]["pid"]).memory_info().rss / 1e6

    def lateness(self, seconds: float) -> list[float]:
        """p99 of the sampling loop's lateness, µs, each second."""
        found, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(1.0)
            found.append(float(self._ask("highspeed")["health"]["lateness_us"]["p99"]))
        return found

    def lost_samples(self) -> float:
        with closing(sqlite3.connect(f"file:{self.folders.store}?mode=ro", uri=True)) as conn:
            rows = conn.execute(
                "SELECT coalesce(count, 1) FROM ledger WHERE stream LIKE 'samples/%' AND cause != 'down'"
            )
            return float(sum(count for (count,) in rows))


def subscribe(socket: ClientConnection) -> None:
    socket.send(json.dumps({"op": "subscribe", "topics": [""]}))


class Viewer:
    """Takes all there is in a thread of its own; measures: keeps how old each frame's last sample is."""

    def __init__(self, port: int, *, measures: bool) -> None:
        self._socket = connect(f"ws://127.0.0.1:{port}/live", max_size=None)
        self._measures, self._bytes, self._began, self._took_s = measures, 0, time.monotonic(), 0.0
        self._ages_ms: list[float] = []
        self._thread = threading.Thread(target=self._take)

    def __enter__(self) -> Self:
        subscribe(self._socket)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._thread.join()

    def _take(self) -> None:
        for message in self._socket:
            self._bytes += len(message)
            self._took_s = time.monotonic() - self._began
            now = time.time_ns()
            if not self._measures:
                continue
            said = msgpack.unpackb(message)
            for topic, frame in said.get("frames", ()) if said["type"] == "frames" else ():
                if topic.startswith("samples/"):
                    steps = frame["dt_ns"]
                    span = steps * (frame["n"] - 1) if isinstance(steps, int) else sum(steps)
                    self._ages_ms.append((now - frame["t"] - span) / 1e6)

    def latency_ms(self, percent: int) -> float:
        return percentile(self._ages_ms, percent)

    def kb_s(self) -> float:
        return self._bytes / 1e3 / max(self._took_s, 1e-3)
