"""The thermostat's daemon with bus and sink: what devices say is in the store, what they do not say in the ledger."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from rig import Rig

from common.ctl import request
from common.errors import RigbusError
from common.paths import Folders

STOP_S = 3.5 * 5  # the bound of the supervisor, times five


class Foreign:
    """A thermostat of the test's own making, by the facts alone.

    mute: it takes requests and answers nothing; mute_to: none that begin so. delay_s: before each answer.
    """

    def __init__(self, dialect: str) -> None:
        self.dialect, self.mute, self.mute_to = dialect, False, "nothing"
        self.delay_s = 0.0
        self.sent: dict[float, float] = {}  # device time → temperature of channel 0
        self.requests: list[str] = []
        self._boot = time.monotonic()
        self._open: list[socket.socket] = []
        self.port = 0
        self.listen()

    def listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._accepting.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            self._open.append(conn)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn: socket.socket) -> None:
        try:
            with conn, conn.makefile("rb") as lines:
                for line in lines:
                    self.requests.append(line.decode().strip())
                    if not self.mute and not self.requests[-1].startswith(self.mute_to):
                        time.sleep(self.delay_s)
                        conn.sendall(self._answer(self.requests[-1]).encode())
                        conn.sendall(b"\n")
        except OSError:
            pass

    def _answer(self, line: str) -> str:
        output = "output" if self.dialect == "new" else "pwm"
        if line == "report":
            return self._report()
        if line == output:
            value: Any = 0.0 if self.dialect == "new" else {"value": 0.0, "max": 3.0}
            return json.dumps([{"channel": n, "i_set": value} for n in (0, 1)])
        if line.startswith(("pid ", f"{output} ")):
            return "{}"
        return '{{"error": "invalid input"}}' if self.dialect == "old" else '{ "error": "invalid input" }'

    def _report(self) -> str:
        now = round(time.monotonic() - self._boot, 6)
        celsius = 25 + math.sin(now)
        self.sent[now] = celsius
        extra = {"swap": {"current_swapped": True}, "old": {"vref": 1.5}}.get(self.dialect, {})
        first = {"channel": 0, "time": now, "interval": 0.01, "temperature": celsius, "pid_engaged": True, **extra}
        # the other has no thermistor; NaN is what the firmware sends, whatever JSON says
        second = {**first, "channel": 1, "temperature": None, "adc": math.nan, "i_tec": None}
        return json.dumps([first, second])

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for conn in self._open:
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._open.clear()


@pytest.fixture
def foreign():
    made: list[Foreign] = []

    def make(dialect: str) -> Foreign:
        made.append(Foreign(dialect))
        return made[-1]

    yield make
    for device in made:
        if device._listener.fileno() >= 0:
            device.close()


def table(name: str, port: int, **keys: Any) -> str:
    given = {"name": name, "host": "127.0.0.1", "port": port, "period_s": 0.1, **keys}
    return "[[thermostat.device]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items())


def ask(rig: Rig, op: str, **fields: Any) -> dict[str, Any]:
    return request(Folders(rig.data, rig.run), "thermostat", op, timeout_s=30, **fields)


def rows(rig: Rig, device: str = "bench") -> int:
    return int(rig.rows("SELECT count(*) FROM thermostat_readings WHERE device = ?", device)[0][0])


def lost(rig: Rig, cause: str) -> int:
    query = "SELECT sum(count) FROM ledger WHERE stream = 'thermostat/bench/' AND unit = 'poll' AND cause = ?"
    return rig.rows(query, cause)[0][0] or 0


def test_every_dialect_of_foreign_devices_is_logged_to_the_letter(make_rig, foreign):
    devices = {dialect: foreign(dialect) for dialect in ("old", "swap", "new")}
    rig = make_rig("[thermostat]\n" + "".join(table(d, server.port) for d, server in devices.items()))
    rig.start("bus", "sink", "thermostat")
    rig.until(lambda: all(rows(rig, d) >= 20 for d in devices), "twenty rows of each")
    rig.end()
    rig.check()
    for dialect, server in devices.items():
        found = rig.rows(
            "SELECT channel, device_time_s, temperature, adc, pid_engaged, current_swapped, dialect, extra_json, t_ns "
            "FROM thermostat_readings WHERE device = ? ORDER BY id",
            dialect,
        )
        first, second = found[::2], found[1::2]
        assert len(first) == len(second)
        for row, other in zip(first, second, strict=True):
            assert server.sent[row[1]] == row[2]
            assert (row[0], row[3], row[4], row[6]) == (0, None, 1, dialect)
            assert row[5] == (1 if dialect == "swap" else None)
            assert (other[0], other[1], other[2], other[3]) == (1, row[1], None, None)
            assert json.loads(other[7])["flags"] == ["temperature: null", "adc: nan", "i_tec: null"]
            assert (json.loads(row[7]) if row[7] else {}) == ({"vref": 1.5} if dialect == "old" else {})
        times = [row[1] for row in first]
        assert times == sorted(set(times))
        # all but what was asked for probing, once, and what the end has cut
        assert len(server.sent) - len(first) <= 2


def test_an_outage_is_in_the_ledger_and_ends_by_itself(make_rig, foreign):
    server = foreign("new")
    rig = make_rig("[thermostat]\n" + table("bench", server.port, timeout_s=0.3))
    rig.start("bus", "sink", "thermostat")
    rig.until(lambda: rows(rig) >= 4, "readings")
    server.mute = True
    rig.until(lambda: lost(rig, "timeout") > 0, "a poll lost by time-out")
    server.mute = False
    before = rows(rig)
    rig.until(lambda: rows(rig) > before, "readings again")
    server.close()
    rig.until(lambda: lost(rig, "refused") > 0, "a poll lost by refusal")
    rig.until(lambda: ask(rig, "status")["devices"][0]["last_error"].endswith("connection refused"), "status says why")
    with pytest.raises(RigbusError, match=r"bench: not connected: .*connection refused"):
        ask(rig, "save_once")
    server.listen()
    before = rows(rig)
    rig.until(lambda: rows(rig) > before, "readings again")
    rig.until(lambda: ask(rig, "status")["devices"][0]["connected"], "status says so")
    told = ask(rig, "status")["devices"][0]
    assert (told["dialect"], told["mode"]) == ("new", "poll")
    rig.end()
    rig.check()
    account = rig.audit()
    polls = {row["cause"]: row["count"] for row in account.document["devices"] if row["unit"] == "poll"}
    assert polls["timeout"] > 0
    assert polls["refused"] > 0
    assert sum(polls.values()) >= told["missed"]


def test_kept_from_running_it_counts_what_it_missed_and_makes_nothing_up(make_rig, foreign):
    server = foreign("new")
    rig = make_rig("[thermostat]\n" + table("bench", server.port))
    rig.start("bus", "sink", "thermostat")
    rig.until(lambda: rows(rig) >= 4, "readings")
    rig.signal("thermostat", signal.SIGSTOP)
    time.sleep(2.0)
    rig.signal("thermostat", signal.SIGCONT)
    rig.until(lambda: lost(rig, "late") >= 18, "the polls of two seconds are lost")
    rig.end()
    rig.check()
    frames = rig.rows("SELECT count(DISTINCT frame_seq) FROM thermostat_readings")[0][0]
    assert server.requests.count("report") <= frames + 2


def test_a_silent_device_does_not_hold_up_the_stop_and_the_time_without_a_daemon_is_told(make_rig, foreign):
    server = foreign("new")
    server.mute = True
    rig = make_rig("[thermostat]\n" + table("bench", server.port, timeout_s=60.0))
    rig.start("bus", "sink", "thermostat")
    rig.until(lambda: server.requests, "it asks")
    begin = time.monotonic()
    rig.stop("thermostat")
    assert time.monotonic() - begin < STOP_S
    server.mute = False
    rig.start("thermostat")
    rig.until(lambda: rows(rig) >= 2, "readings")
    rig.end()
    rig.check()
    assert rig.ledger("down") == [("thermostat/bench/", "poll", None, "it had been stopped")]


def test_killed_in_a_poll_that_hangs_what_was_missed_is_told_or_unknown(make_rig, foreign):
    server = foreign("new")
    rig = make_rig("[thermostat]\n" + table("bench", server.port, timeout_s=60.0))
    rig.start("bus", "sink", "thermostat")
    rig.until(lambda: rows(rig) >= 2, "readings")
    server.mute = True
    rig.until(lambda: lost(rig, "late") >= 50, "the polls of five seconds, though the request still hangs")
    rig.kill("thermostat")
    killed_ns = time.time_ns()
    server.mute = False
    rig.start("thermostat")
    before = rows(rig)
    rig.until(lambda: rows(rig) > before, "readings")
    rig.end()
    rig.check()
    ((count, from_ns),) = rig.rows("SELECT count, from_t_ns FROM ledger WHERE cause = 'down'")
    assert count is None
    # what was told before the kill ends where the unknown has begun already
    assert from_ns < rig.rows("SELECT max(to_t_ns) FROM ledger WHERE to_t_ns < ?", killed_ns)[0][0]


def test_a_command_that_is_stopped_on_its_way_is_never_carried_out(make_rig, foreign):
    server = foreign("new")
    rig = make_rig("[thermostat]\n" + table("bench", server.port, period_s=1.0, timeout_s=5.0, allow_control=True))
    rig.start("bus", "sink", "thermostat")
    rig.until(lambda: rows(rig) >= 2, "readings")
    # the poll outlasts the second that the command has to get there, and ends while the daemon is stopped
    server.delay_s, asked = 3.0, server.requests.count("report")
    for _ in range(3):
        rig.until(lambda: server.requests.count("report") > asked, "a poll that takes its time")  # noqa: B023
        errors: list[str] = []

        def set_it() -> None:
            try:
                ask(rig, "setpoint", channel=0, celsius=20)
            except RigbusError as e:
                errors.append(str(e))  # noqa: B023

        asking = threading.Thread(target=set_it)
        asking.start()
        time.sleep(1.0)
        rig.signal("thermostat", signal.SIGSTOP)
        time.sleep(3.0)
        rig.signal("thermostat", signal.SIGCONT)
        asking.join(60)
        assert errors == ["thermostat: bench: nothing was sent in time"]
        asked = server.requests.count("report")
    rig.end()
    rig.check()
    assert not [line for line in server.requests if line.startswith("pid")]


def test_a_command_in_the_middle_of_which_it_is_killed_ends_as_unknown(make_rig, foreign):
    server = foreign("new")
    rig = make_rig("[thermostat]\n" + table("bench", server.port, timeout_s=30.0, allow_control=True))
    rig.start("bus", "sink", "thermostat")
    rig.until(lambda: rows(rig) >= 2, "readings")
    server.mute_to = "pid"
    folders, words = Folders(rig.data, rig.run), {"channel": 0, "celsius": 20, "command_id": "c9", "timeout_s": 3}
    asking = threading.Thread(
        target=pytest.raises, args=(RigbusError, request, folders, "thermostat", "setpoint"), kwargs=words
    )
    asking.start()
    rig.until(lambda: "pid 0 target 20.0" in server.requests, "it is sent")
    rig.kill("thermostat")
    rig.start("thermostat")
    asking.join(60)
    query = "SELECT event_type, detail, correlation_id, data_json FROM system_events ORDER BY id"
    rig.until(lambda: len(rig.rows(query)) == 2, "intent and outcome")
    rig.end()
    rig.check()
    intent, outcome = rig.rows(query)
    assert intent[:3] == ("control_intent", "pid 0 target 20.0", "c9")
    assert outcome[:3] == ("control_outcome", "pid 0 target 20.0", "c9")
    assert {
        **json.loads(intent[3]),
        "outcome": "unknown",
        "reason": "the daemon ended before an answer came",
    } == json.loads(outcome[3])
    assert json.loads(intent[3])["op"] == "setpoint"
    assert server.requests.count("pid 0 target 20.0") == 1


def test_a_device_that_cannot_be_costs_the_others_nothing(make_rig, foreign):
    server = foreign("new")
    rig = make_rig(
        "[thermostat]\n"
        + table("bench", server.port)
        + table("typo", 23, host="a..b")
        + table("long", 23, host="x" * 80)
    )
    rig.start("bus", "sink", "thermostat")
    rig.until(lambda: rows(rig) >= 10, "readings")
    query = "SELECT DISTINCT stream FROM ledger WHERE cause = 'refused' ORDER BY stream"
    rig.until(lambda: rig.rows(query) == [("thermostat/long/",), ("thermostat/typo/",)], "the others' polls are lost")
    rig.end()
    rig.check()


def test_commands_by_the_control_socket(make_rig, foreign):
    open_, shut = foreign("new"), foreign("old")
    rig = make_rig(
        "[thermostat]\n" + table("bench", open_.port, period_s=600.0, allow_control=True) + table("oven", shut.port)
    )
    rig.start("bus", "sink", "thermostat")
    rig.until(lambda: rows(rig, "bench") == 2 and rows(rig, "oven") >= 2, "readings")
    reply = ask(rig, "save_once", device="bench")
    assert [r["channel"] for r in reply["readings"]] == [0, 1]
    rig.until(lambda: rows(rig) == 4, "what was asked for is stored too")
    assert ask(rig, "setpoint", device="bench", channel=1, celsius=21.5, command_id="c9")["sent"] == "pid 1 target 21.5"
    for words, why in [
        ({"op": "save_once"}, "device: there are bench, oven"),
        ({"op": "save_once", "device": "kiln"}, "device: there are bench, oven"),
        ({"op": "pid", "device": "oven", "channel": 0, "kp": 1.0}, "oven: control is off"),
        ({"op": "output", "device": "bench", "channel": 0, "i_set": 2.5}, "not within"),
        ({"op": "pid", "device": "bench", "channel": 0, "kp": math.nan}, "not a finite number"),
        ({"op": "pid", "device": "bench", "channel": 0}, "exactly one"),
        ({"op": "pid", "device": 7}, "Expected `str"),
    ]:
        with pytest.raises(RigbusError, match=why):
            ask(rig, **words)
    rig.end()
    rig.check()
    assert [r for r in open_.requests if r.startswith("pid")] == ["pid 1 target 21.5"]
    assert not [r for r in shut.requests if r not in ("report", "output", "pwm")]
    events = rig.rows("SELECT event_type, source, detail, correlation_id FROM system_events ORDER BY id")
    assert events == [(f"control_{stage}", "bench", "pid 1 target 21.5", "c9") for stage in ("intent", "outcome")]


@pytest.mark.parametrize("mode", ["poll", "stream"])
def test_run_starts_the_simulated_one_and_tells_its_reboot(make_rig, mode):
    device = table("bench", 23, mode=mode).replace("127.0.0.1", "sim")
    rig = make_rig(f'[thermostat]\n{device}\n[sim]\nthermostat = true\nthermostat_dialect = "swap"')
    rig.start("run")
    rig.until(lambda: rows(rig) >= 10, "readings")
    # its own time must have got far enough to go back visibly
    rig.until(lambda: rig.rows("SELECT max(device_time_s) FROM thermostat_readings")[0][0] > 4, "some time")
    assert ask(rig, "status")["devices"][0]["mode"] == mode
    for process in rig.descendants():
        if "common.sims.thermostat" in process.cmdline():
            os.kill(process.pid, signal.SIGKILL)
    query = "SELECT source FROM system_events WHERE event_type = 'reboot'"
    rig.until(lambda: rig.rows(query) == [("bench",)], "the reboot is told")
    before = rows(rig)
    rig.until(lambda: rows(rig) > before, "readings again")
    rig.stop("run")
    assert rig.descendants() == []
    rig.check()
    assert not (rig.run / "sim-thermostat.port").exists()
    assert rig.rows("SELECT DISTINCT dialect FROM thermostat_readings") == [("swap",)]
    assert rig.audit().document["devices"], "the polls that were missed meanwhile"


def test_with_its_supervisor_the_simulated_one_ends_too(make_rig):
    rig = make_rig("[thermostat]\n" + table("bench", 23).replace("127.0.0.1", "sim") + "[sim]\nthermostat = true")
    rig.start("run")
    rig.until(lambda: rows(rig) >= 2, "readings")
    rig.kill("run")
    rig.until(lambda: rig.descendants() == [], "nothing is left")


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("--quirk", "fast"), 2, "sim-thermostat: no quirk 'fast'; there are: no_thermistor, "),
        (("--config", "nowhere.toml"), 78, "sim-thermostat: nowhere.toml: "),
    ],
)
def test_a_mistake_of_who_starts_the_simulated_one_is_one_line(make_rig, words, code, line):
    rig = make_rig()
    command = [sys.executable, "-m", "common.sims.thermostat", *rig.options, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
