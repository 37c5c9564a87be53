"""SIGHUP on real daemons: what can change is taken while data comes, a mistake changes nothing, and it kills nobody."""

import fcntl
import os
import pty
import random
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import csv_oracle as oracle
import numpy as np
import pytest
from gateway_client import GATEWAY, Gateway
from rig import ALL, ROOT, WAIT_S, Rig

from common.store import chunks

CHANGING = """
[[pulse.channel]]
name = "import"
min_interval_ms = {interval}
[highspeed]
rate_hz = 250.0  # the FIFO holds 0.67 s: a pause of a busy machine is no loss
frame_ms = {frame_ms}
[journal]
keep_s = {keep_s}
[sink]
commit_s = {commit_s}
[sink.csv]
enabled = {csv}
file_s = {file_s}
max_files = 100000
"""


def said(rig: Rig, name: str, text: str) -> int:
    return rig.log(name).read_text().count(text)


def reload(rig: Rig, *names: str, text: str = "configuration read anew") -> None:
    """SIGHUP to each, until it has read its files."""
    before = {name: said(rig, name, text) for name in names}
    for name in names:
        rig.signal(name, signal.SIGHUP)
    for name in names:
        rig.until(lambda n=name: said(rig, n, text) > before[n], f"{name} says: {text}")


def test_twenty_reloads_lose_nothing_of_what_is_sampled_counted_stored_and_written(rig: Rig) -> None:
    def change(number: int) -> str:
        csv = "true" if number % 4 else "false"
        return CHANGING.format(
            interval=1.0 + number % 2, frame_ms=50 + number, keep_s=10 + number, commit_s=0.1 + number / 100, csv=csv,
            file_s=1 + number % 3,
        )  # fmt: skip

    rig.merge(change(1))
    rig.start(*ALL)
    rig.ready(*ALL)
    for number in range(2, 22):
        rig.merge(change(number))
        reload(rig, "pulse", "highspeed", "sink", "bus")
        time.sleep(random.uniform(0.0, 0.3))
    rig.caught_up()
    rig.stop("pulse", "highspeed", "numbered")
    rig.until(lambda: not rig.status("sink")["behind"], "all is stored")
    cursors = "SELECT table_name, last_id FROM output_cursors WHERE output = 'csv' AND table_name = 'pulses'"
    rig.until(
        lambda: dict(rig.rows(cursors))["pulses"] == rig.rows("SELECT max(id) FROM pulses")[0][0], "all is in CSV"
    )
    rig.end()
    rig.check("numbered")
    assert rig.audit().sum("lost") == 0
    assert rig.rows("SELECT stream, unit, count, cause FROM ledger") == []
    assert oracle.differences(rig.data / "csv", rig.db, "pulses") == {}, rig.tail()
    # no hole: one sample comes after the other, to half a step, which a busy machine bends
    rows = rig.rows("SELECT t_ns, dt_ns, n FROM sample_chunks ORDER BY t_ns")
    steps = np.diff(np.concatenate([chunks.times(*row) for row in rows]))
    assert len(steps) > 250
    assert np.abs(steps / np.median(steps) - 1).max() < 0.5


@contextmanager
def systemd(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A socket in systemd's place; yields what has come."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(folder / "notify"))
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))

        def heard() -> list[str]:
            out: list[str] = []
            while True:
                try:
                    out += listening.recv(4096).decode().splitlines()
                except BlockingIOError:
                    return out

        yield heard


def test_a_mistake_is_one_line_and_what_runs_goes_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with systemd(rig.folder, monkeypatch) as heard:
        rig.start("bus", "sink", "pulse")
        rig.ready("bus", "sink", "pulse")
        heard()
        rig.merge('[pulse]\nchanel = "x"\n')
        reload(rig, "pulse", text="unknown key")
        rig.until(lambda: [line for line in heard() if line == "READY=1"], "systemd is told that it is over")
        rig.merge('[[pulse.channel]]\nname = "import"\nline = 5\nmin_interval_ms = 2.0\n')
        reload(rig, "pulse", text="needs a restart: pulse.channel.import.line")
        told: list[str] = []

        def over() -> bool:
            """READY=1 comes after the line in the log."""
            told.extend(heard())
            return "READY=1" in told[told.index("RELOADING=1") :]

        rig.until(over, "systemd is told that this one is over too")
        pid = rig.processes["pulse"].pid
        rig.stop("pulse")
    before = rig.rows("SELECT count(*) FROM pulses")[0][0]
    assert before > 0
    lines = rig.log("pulse").read_text().splitlines()
    refused = [line for line in lines if "chanel" in line]
    assert len(refused) == 1
    assert f"{rig.folder}/conf.d/test.toml:2: pulse.chanel: unknown key" in refused[0]
    assert "[error]" in refused[0]
    assert [line for line in lines if "anew" in line] == [
        "pulse: configuration read anew: pulse.channel.import.min_interval_ms"
    ]
    begin = told.index("RELOADING=1")
    assert told[begin + 1].startswith("MONOTONIC_USEC=")
    assert pid
    rig.end()
    rig.check()


def test_a_storm_of_signals_kills_no_daemon_neither_at_its_start_nor_at_its_stop(rig: Rig) -> None:
    rig.start("bus", "sink")
    rig.ready("bus", "sink")
    rig.start("pulse")
    process = rig.processes["pulse"]
    status = Path(f"/proc/{process.pid}/status")

    def can_take_it() -> bool:
        """SIGHUP is blocked or caught: this is the first thing that its modules do."""
        masks = dict(line.split(":\t") for line in status.read_text().splitlines() if line.startswith("Sig"))
        return bool((int(masks["SigBlk"], 16) | int(masks["SigCgt"], 16)) & 1 << (signal.SIGHUP - 1))

    until = time.monotonic() + WAIT_S
    while not can_take_it():
        assert time.monotonic() < until
    over = threading.Event()

    def storm() -> None:
        while not over.is_set() and process.poll() is None:
            process.send_signal(signal.SIGHUP)
            time.sleep(0.0005)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        rig.ready("pulse")
        rig.until(lambda: said(rig, "pulse", "configuration read anew") >= 3, "it reads again and again")
        rig.stop("pulse")
    finally:
        over.set()
        thread.join()
    rig.end()
    rig.check()
    assert rig.rows("SELECT count(*) FROM pulses")[0][0] > 0


def test_a_run_passes_it_on_to_all(rig: Rig) -> None:
    rig.start("run")
    run = rig.processes["run"]
    rig.until(lambda: "rig rig:" in rig.log("run").read_text(), "it has begun")
    for _ in range(50):  # also while daemons start
        run.send_signal(signal.SIGHUP)
        time.sleep(0.02)
    rig.until(lambda: rig.rows("SELECT count(DISTINCT src) FROM streams WHERE stored > 0") == [(2,)], "both are stored")
    rig.merge("[sink]\ncommit_s = 0.3\n[highspeed]\nframe_ms = 60.0\n")
    before = {
        name: said(rig, "run", f"{name}: configuration read anew") for name in ("bus", "sink", "pulse", "highspeed")
    }
    run.send_signal(signal.SIGHUP)
    for name, count in before.items():
        rig.until(lambda n=name, c=count: said(rig, "run", f"{n}: configuration read anew") > c, f"{name} reads it")
    rig.until(lambda: said(rig, "run", "sink: configuration read anew: sink.commit_s") == 1, "the sink takes it")
    rig.stop("run")
    text = rig.log("run").read_text()
    assert "highspeed: configuration read anew: highspeed.frame_ms" in text
    assert "killed by" not in text
    assert "starts again" not in text
    rig.check()


def test_a_terminal_that_goes_away_still_ends_the_run(rig: Rig) -> None:
    """The kernel says that by the same signal."""
    ours, theirs = pty.openpty()
    env = {key: value for key, value in os.environ.items() if not key.startswith("RIGBUS")}
    with rig.log("run").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "common.cli.main", "run", *rig.options], cwd=ROOT, env=env, stdin=theirs,
            stdout=log, stderr=log, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
        )  # fmt: skip
    rig.processes["run"] = process
    os.close(theirs)
    rig.until(lambda: rig.rows("SELECT count(DISTINCT src) FROM streams WHERE stored > 0") == [(2,)], "both are stored")
    process.send_signal(signal.SIGHUP)  # with the terminal there it is a reload
    rig.until(lambda: said(rig, "run", "configuration read anew") >= 4, "it is passed on")
    assert process.poll() is None
    os.close(ours)
    assert process.wait(WAIT_S) == 0, rig.tail()
    rig.until(lambda: rig.descendants() == [], "the daemons have ended")
    rig.check()


def test_thermostats_come_and_go_and_the_others_are_not_disturbed(rig: Rig) -> None:
    devices = '[sim]\nthermostat = true\n[[thermostat.device]]\nname = "one"\nhost = "sim"\nperiod_s = 0.2\n'
    second = '[[thermostat.device]]\nname = "two"\nhost = "sim"\nperiod_s = {}\nallow_control = {}\n'
    rig.merge(devices)
    rig.start("run", args=("--only", "bus,sink,thermostat"))
    run, told = rig.processes["run"], "thermostat: configuration read anew: "

    def frames(device: str) -> int:
        query = "SELECT count(*) FROM thermostat_readings WHERE device = ?"
        return int(rig.rows(query, device)[0][0])

    def change(text: str, line: str) -> None:
        before = said(rig, "run", told + line)
        rig.merge(text)
        run.send_signal(signal.SIGHUP)
        rig.until(lambda: said(rig, "run", told + line) > before, f"it says: {line}")

    rig.until(lambda: frames("one") > 3, "the first one is read")
    change(devices + second.format(0.2, "false"), "thermostat.device.two")
    rig.until(lambda: frames("two") > 3, "the second one is read")
    assert "control is off" in rig.command("ctl", "thermostat", "save", "device=two").stderr
    change(devices + second.format(0.2, "true"), "thermostat.device.two.allow_control")
    assert "control is off" not in rig.command("ctl", "thermostat", "save", "device=two").stderr
    change(devices + second.format(0.5, "true"), "thermostat.device.two.period_s")
    change(devices, "thermostat.device.two")
    rig.until(lambda: [d["device"] for d in rig.status("thermostat")["devices"]] == ["one"], "the second one is gone")

    def stored() -> bool:
        before = frames("two")
        time.sleep(2.5)  # more than a commit
        return frames("two") == before

    rig.until(stored, "what it gave is stored")
    gone = frames("two")
    seen = frames("one")
    rig.until(lambda: frames("one") > seen + 3, "the first one is still read")
    assert frames("two") == gone
    rig.stop("run")
    assert rig.rows("SELECT stream, cause FROM ledger WHERE cause NOT IN ('late', 'refused')") == []
    assert rig.log("run").read_text().count("connected device=one") == 1
    rig.check()


def test_another_bound_of_a_pump_is_for_the_next_run(rig: Rig) -> None:
    pump = '[pump]\ncpu = "none"\n[[pump.pump]]\nname = "water"\nstep = 16\ndir = 6\nen = 17\nhz = {}\nmax_s = {}\n'
    rig.merge(pump.format(1000, 60))
    rig.start("bus", "sink", "pump")
    rig.ready("bus", "sink")
    rig.until(lambda: "pumps" in rig.status("pump"), "the pump can be asked")
    running = threading.Thread(target=lambda: rig.command("pump", "prime", "water", "6"))
    running.start()
    rig.until(lambda: (rig.status("pump")["pumps"][0]["run"] or {}).get("steps", 0) > 100, "it runs")
    rig.merge(pump.format(1000, 2))
    reload(rig, "pump")
    running.join()
    refused = rig.command("pump", "prime", "water", "6")
    assert refused.returncode == 1
    rig.merge(pump.format(2000, 60) + "steps_per_ml = 1e12\n")  # only the daemon knows that no pump has so many
    reload(rig, "pump", text="pump.pump.water.steps_per_ml: 1e+12 is over")
    assert rig.status("pump")["pumps"][0]["last"]["state"] == "done"
    rig.end()
    (done,) = rig.rows("SELECT steps, seconds FROM pump_events WHERE event = 'done'")
    assert done[1] > 5
    rig.check()


def test_tokens_of_the_gateway_are_taken_from_env(rig: Rig) -> None:
    rig.merge(GATEWAY)
    env = rig.folder / ".env"
    env.write_text("RIGBUS_READ_TOKEN=first\n")
    rig.start("bus", "sink")
    gateway = Gateway(rig)
    gateway.start()
    url = gateway.url

    def answer(token: str) -> int:
        gateway.headers = {"Authorization": f"Bearer {token}"}
        return gateway.get("/api/status").status_code

    assert (answer("first"), answer("second")) == (200, 401)
    env.write_text("RIGBUS_READ_TOKEN=second\n")
    rig.merge(GATEWAY + 'names = ["rig.example"]\n')
    reload(rig, "gateway")
    assert (answer("first"), answer("second")) == (401, 200)
    assert gateway.url == url
    gateway.headers["Host"] = "rig.example"
    assert gateway.get("/healthz").status_code == 200
    gateway.headers["Host"] = "elsewhere.example"
    assert gateway.get("/healthz").status_code == 403
    rig.end()
    assert "second" not in rig.log("gateway").read_text()
