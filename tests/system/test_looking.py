"""Looking at a rig at work: what charts get over HTTP, and `rigbus tail` as lines, rates and a chart."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgpack
import numpy as np
import pytest
from gateway_client import GATEWAY, Gateway
from rig import ROOT, WAIT_S, Rig

DAEMONS = ("bus", "sink", "pulse", "highspeed")


@pytest.fixture
def rig(make_rig: Any) -> Rig:
    rig: Rig = make_rig(GATEWAY)
    rig.start(*DAEMONS)
    for name in DAEMONS[2:]:
        rig.ready(name)
    return rig


# ---- over HTTP


@pytest.fixture
def gateway(rig: Rig) -> Gateway:
    gateway = Gateway(rig)
    gateway.start()
    rig.until(lambda: _stored(rig, "sample_chunks") and _stored(rig, "pulses") > 1, "something is stored")
    return gateway


def _stored(rig: Rig, table: str) -> int:
    return int(rig.rows(f"SELECT count(*) FROM {table}")[0][0])


def test_charts_over_http(rig: Rig, gateway: Gateway) -> None:
    names = [("name", "samples/vibration/x"), ("name", "energy/import")]
    # up to what is stored by now: both answers are of the same
    to_ns = min(rig.rows(f"SELECT max(t_ns) FROM {table}")[0][0] for table in ("sample_chunks", "pulses"))
    asked = [*names, ("from", str(to_ns / 1e9 - 60)), ("to", str(to_ns / 1e9)), ("columns", "50")]
    answer = get(gateway, "/api/series", asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["source"], set(found["series"])) == (0, {"samples/vibration/x", "energy/import"})
    x = found["series"]["samples/vibration/x"]
    assert (x["unit"], x["kind"], x["period_s"]) == ("g", "line", pytest.approx(1 / 200, rel=0.1))
    assert all(low <= mean <= high for low, mean, high in zip(x["min"], x["mean"], x["max"], strict=True))
    assert x["t"] == sorted(x["t"])
    assert x["first_t"] == x["t"][0]
    assert found["series"]["energy/import"]["unit"] == "W"

    binary = get(gateway, "/api/series", asked, {"Accept": "application/msgpack"})
    assert binary.headers["content-type"] == "application/msgpack"
    same = msgpack.unpackb(binary.content)["series"]["samples/vibration/x"]
    assert np.frombuffer(same["t"], "<f8").tolist() == x["t"]
    for key in ("min", "max", "mean", "n"):
        assert np.frombuffer(same[key], "<f4").tolist() == np.array(x[key], "<f4").tolist()

    named: dict[str, Any] = {}

    def both() -> bool:
        """The rollups of one table are there before those of another."""
        named.update({entry["name"]: entry for entry in get(gateway, "/api/series/names", []).json()})
        return {"samples/vibration/x", "pulse/import"} <= named.keys()

    rig.until(both, "the rollups have names")
    assert named["samples/vibration/x"]["unit"] == "g"
    assert named["pulse/import"]["first_t"] <= named["pulse/import"]["last_t"]


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        ([("name", "secret/x")], 400, "name: 'secret/x' is no name"),
        ([], 422, "name"),
        ([("name", "pulse/a")] * 17, 422, "name"),
        ([("name", "pulse/a"), ("columns", "0")], 422, "columns"),
        ([("name", "pulse/a"), ("source", "61")], 422, "source: 61"),
        ([("name", "pulse/a"), ("from", "yesterday")], 422, "yesterday"),
        ([("name", "pulse/a"), ("from", "20"), ("to", "10")], 422, "from must lie before to"),
        ([("name", "pulse/a"), ("from", "-1e30")], 422, "beyond the calendar"),
        ([("name", "samples/vibration/x"), ("from", "0"), ("source", "0")], 422, "raw values of"),
    ],
)
def test_what_is_wrong_is_one_line(gateway: Gateway, asked: list[tuple[str, str]], code: int, told: str) -> None:
    answer = get(gateway, "/api/series", asked)
    assert answer.status_code == code, answer.text
    error = answer.json()["error"]
    assert told in error
    assert "\n" not in error


def get(gateway: Gateway, path: str, asked: list[tuple[str, str]], headers: dict[str, str] | None = None) -> Any:
    return httpx.get(gateway.url.rstrip("/") + path, params=asked, headers=headers, timeout=WAIT_S, trust_env=False)


# ---- tail


def tail(rig: Rig, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "common.cli.main", "tail", *rig.options, *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S, check=False)


def test_only_what_was_asked_for(rig: Rig) -> None:
    done = tail(rig, "--for", "3", "--json", "--where", "channel=import", "--src", "pulse")
    frames = [json.loads(line) for line in done.stdout.splitlines()]
    assert frames
    assert {frame["topic"] for frame in frames} == {"pulse/import/"}
    done = tail(rig, "--for", "3", "--json", "--kind", "health", "--kind", "samples")
    assert {json.loads(line)["k"] for line in done.stdout.splitlines()} == {"health", "samples"}
    done = tail(rig, "--for", "1", "--where", "total=-1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_rates_as_json_and_as_a_table(rig: Rig) -> None:
    done = tail(rig, "samples/", "--for", "8.5", "--rates", "--json")
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])["topics"]
    assert set(last) == {"samples/vibration/"}
    assert last["samples/vibration/"]["frames_per_s"] == pytest.approx(20, rel=0.5)
    assert last["samples/vibration/"]["values_per_s"] == pytest.approx(600, rel=0.5)
    done = tail(rig, "--for", "3", "--rates")
    assert "frames/s" in done.stdout
    assert "samples/vibration/" in done.stdout


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--plot", "pulse/"], "draws on a terminal"),
        (["--plot"], "of what?"),
        (["--rates", "--plot", "pulse/"], "not allowed with"),
        (["--where", "channel"], "is not FIELD=VALUE"),
        (["--kind", "nonsense"], "invalid choice"),
    ],
)
def test_a_wrong_line_is_told(rig: Rig, args: list[str], told: str) -> None:
    done = tail(rig, *args)
    assert done.returncode == 2
    assert told in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


class Terminal:
    """A child on a terminal of its own."""

    def __init__(self, rig: Rig, *args: str, columns: int = 80, lines: int = 24) -> None:
        self.text = ""
        command = [sys.executable, "-m", "common.cli.main", "tail", *rig.options, *args]
        self.end, child = pty.openpty()
        self.resize(columns, lines)
        env = {**os.environ, "TERM": "xterm-256color"}
        env.pop("COLUMNS", None)
        env.pop("LINES", None)
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=child, stdout=child, stderr=subprocess.PIPE, env=env, start_new_session=True
        )
        os.close(child)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self) -> bool:
        """What comes in 0.2 s; whether more may come."""
        if not select.select([self.end], [], [], 0.2)[0]:
            return self.process.poll() is None
        try:
            self.text += os.read(self.end, 65536).decode(errors="replace")
        except OSError:  # the child has closed its side
            return False
        return True

    def until(self, *words: str) -> str:
        """What it printed up to where all the words have come."""
        deadline = time.monotonic() + WAIT_S
        while not all(word in self.text for word in words):
            assert time.monotonic() < deadline, self.text[-3000:]
            assert self.read(), self.text[-3000:]
        return self.text

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Ctrl-C, or another; the exit code and what came on stderr."""
        self.process.send_signal(number)
        deadline = time.monotonic() + WAIT_S
        while self.read() and time.monotonic() < deadline:
            pass
        _, errors = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, errors.decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        os.close(self.end)


GIVEN_BACK = "\x1b[?25h\x1b[?1049l"  # the cursor is there again, and what was on the screen before


@pytest.fixture
def chart(rig: Rig) -> Iterator[Terminal]:
    terminal = Terminal(rig, "--plot", "samples/vibration/", "energy/import", "--span", "5")
    yield terminal
    terminal.close()


def test_a_chart_that_ends_cleanly_and_outlives_the_bus(rig: Rig, chart: Terminal) -> None:
    chart.until("samples/vibration/x", "energy/import", " W", "now", "┤", "⣿")
    rig.kill("bus")
    rig.start("bus")
    rig.ready("bus")
    chart.resize(120, 40)
    chart.text = ""
    chart.until("samples/vibration/z", "┤")
    chart.resize(60, 6)
    chart.until("too small")
    chart.resize(100, 30)
    chart.text = ""
    chart.until("┤")
    code, errors = chart.stop()
    assert (code, errors) == (0, "")
    assert chart.text.endswith(GIVEN_BACK)


def test_a_chart_that_is_terminated_gives_the_screen_back(rig: Rig, chart: Terminal) -> None:
    chart.until("┤")
    assert chart.stop(signal.SIGTERM) == (143, "")
    assert chart.text.endswith(GIVEN_BACK)
