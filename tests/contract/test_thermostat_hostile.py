"""What one device says, and how often it is asked, costs neither the account nor the other devices."""

import json
import os
import socket
import threading
import time

import pytest
from thermostat_peers import Peer, Record, good, report, running, until

from common.config.schema import ThermostatDevice
from common.errors import RigbusError
from common.sims.thermostat import Server
from common.thermostats import device as device_module
from common.thermostats.control import setting_of
from common.thermostats.device import Device
from common.thermostats.losses import TELL_S


def silent(peer, conn):
    for _ in peer.lines(conn):
        pass


def control(device, op="pid", **fields):
    return device.control(setting_of(op, {"channel": 0, **(fields or {"kp": 1})})[1])


def streaming(times):
    """A device of dialect `old` that streams a report for each of these, and then nothing."""

    def behave(peer, conn):
        for request in peer.lines(conn):
            if request == "report mode on":
                conn.sendall(b"{}\n")
                for time_s in times:
                    conn.sendall(report(time_s).encode() + b"\n")
                    time.sleep(0.02)
            elif request == "pwm":
                conn.sendall(b'[{"channel": 0}]\n')
            else:
                conn.sendall((report(0.05) if request == "report" else "{}").encode() + b"\n")

    return behave


# ---- the account


@pytest.mark.parametrize("mode", ["poll", "stream"])
def test_polls_that_a_stop_cuts_off_are_lost_and_told(tmp_path, mode):
    with Peer(silent) as peer:
        with running(tmp_path, peer.port, timeout_s=60, mode=mode) as (device, record):
            until(lambda: peer.requests, "it asks")
            time.sleep(1.0)
            account = device._account
        if mode == "poll":
            assert account.total >= 10
            assert record.lost("late") == account.total
        else:
            assert record.lost("late") >= 9
        assert {loss.detail for loss in record.losses} <= {
            "the daemon stopped before the answer", "the daemon stopped while nothing came",
        }  # fmt: skip


def test_polls_that_a_slow_name_server_holds_up_are_told_at_the_stop(tmp_path, monkeypatch):
    answered, fd = threading.Event(), os.eventfd(0)

    def look_up(*args, **keys):
        answered.wait(60)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    record = Record(tmp_path)
    cfg = ThermostatDevice(name="bench", host="slow.invalid", port=1, period_s=0.1)
    device = Device(record, cfg, fd)  # type: ignore[arg-type]
    time.sleep(1.0)
    os.eventfd_write(fd, 1)
    device.join(time.monotonic() + 0.1)
    assert record.lost("late") >= 10
    told = record.lost()
    answered.set()
    device._thread.join(30)
    assert record.lost() == told  # once
    os.close(fd)


@pytest.mark.parametrize("timeout_s", [0.3, 30.0])
def test_what_a_kill_leaves_untold_is_bounded(tmp_path, timeout_s):
    with Peer(good) as peer, running(tmp_path, peer.port, timeout_s=timeout_s) as (_, record):
        # a sum waits for TELL_S, and so does a poll that hangs; a stream's silence is told after its time-out
        assert record.untold_s >= 2 * TELL_S + timeout_s


# ---- one device is no other's trouble


def test_a_time_that_no_clock_shows_ends_nothing(tmp_path):
    times = [0.1, 1e308, 0.1, 1e308, 1e19, 1e300]

    def behave(peer, conn):
        for request in peer.lines(conn):
            answer = '{"error": "no"}'
            if request == "report":
                time_s = times.pop(0) if times else peer.now()
                answer = json.dumps([{"channel": 0, "temperature": 25.0, "time": time_s, "interval": 0.001}])
            conn.sendall(answer.encode() + b"\n")

    with Peer(behave) as peer, running(tmp_path, peer.port) as (_, record):
        until(lambda: not times and len(record.frames) > 8, "readings go on")
    assert record.lost() == record.lost("late")


def test_a_stream_whose_time_jumps_loses_nothing_that_never_was(tmp_path):
    times = (0.2, 1e6, 1e19, 1e25, 2e25, 1e9, 2e9, 9e9)
    with Peer(streaming(times)) as peer, running(tmp_path, peer.port, mode="stream", timeout_s=10) as (_, record):
        until(lambda: len(record.frames) >= len(times), "all of it")
    assert record.lost("dropped") <= 200  # interval 0.01: what our own clock allows, on a busy machine


@pytest.mark.parametrize("host", ["a..b", "x" * 80])
@pytest.mark.parametrize("mode", ["poll", "stream"])
def test_a_host_name_that_is_none_is_a_device_that_is_away(tmp_path, host, mode):
    with running(tmp_path, 1, host=host, mode=mode) as (device, record):
        until(lambda: record.lost("refused"), "polls lost")
        assert not device.status()["connected"]
        assert device.status()["last_error"].endswith("not a host name")


@pytest.mark.parametrize("mode", ["poll", "stream"])
def test_a_fault_of_ours_is_counted_and_the_device_read_again(tmp_path, monkeypatch, mode):
    with Server("old") as server, running(tmp_path, server.port, mode=mode) as (device, record):
        until(lambda: record.frames, "a reading")
        take, faults = device._fresh.take, [OverflowError("too large"), ZeroDivisionError("by zero")]

        def failing(readings, now_ns):
            if faults:
                raise faults.pop()
            return take(readings, now_ns)

        monkeypatch.setattr(device._fresh, "take", failing)
        until(lambda: not faults, "the fault")
        frames = len(record.frames)
        until(lambda: len(record.frames) > frames + 2, "readings again")
        assert device.status()["last_error"] == ""
        lost = until(lambda: record.lost("fault"), "it is in the ledger")
        for loss in [loss for loss in record.losses if loss.cause == "fault"]:
            record.losses.remove(loss)
    assert lost >= 1
    assert "cause=fault" in record.lines.getvalue()
    assert "ZeroDivisionError: by zero (test_thermostat_hostile.py:" in record.lines.getvalue()


def test_reboots_without_end_are_told_once(tmp_path):
    times = [100 + n % 2 for n in range(100)]
    with Peer(streaming(times)) as peer, running(tmp_path, peer.port, mode="stream", timeout_s=10) as (_, record):
        until(lambda: len(record.frames) >= 50, "fifty reports, half of them reboots")
    assert len(record.events) == 1
    assert record.lines.getvalue().count("rebooted") == 1


# ---- commands


@pytest.mark.parametrize("mode", ["poll", "stream"])
def test_after_a_reboot_without_a_new_connection_it_is_still_to_be_commanded(tmp_path, mode):
    with Server("old") as server:
        server.firmware._booted -= 1000
        with running(tmp_path, server.port, mode=mode, timeout_s=10, allow_control=True) as (device, record):
            until(lambda: len(record.frames) >= 3, "readings")
            accepted = server.accepted
            server.firmware.boot()
            until(lambda: record.events, "the reboot is told")
            assert device.status()["connected"]
            assert control(device).result(30)["sent"] == "pid 0 kp 1.0"
            assert device.save_once().result(30)["readings"]
            until(lambda: server.accepted > accepted, "a new connection, with its dialect probed")
            frames = len(record.frames)
            until(lambda: len(record.frames) > frames + 3, "readings")
            assert device.status()["mode"] == mode
        assert server.firmware.requests.count("report mode on") == (2 if mode == "stream" else 0)


def hammer(ask, seconds):
    """Six clients that ask one after another; how many were answered."""
    end, done = time.monotonic() + seconds, []

    def one():
        while time.monotonic() < end:
            try:
                ask().result(30)
                done.append(1)
            except RigbusError:
                time.sleep(0.001)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return len(done)


@pytest.mark.parametrize("op", ["pid", "save_once"])
def test_commands_do_not_starve_the_polls(tmp_path, op):
    with Server("new") as server:
        with running(tmp_path, server.port, period_s=0.5, timeout_s=10, allow_control=True) as (device, record):
            until(lambda: record.frames, "a reading")
            asked, begun = len(server.firmware.requests), time.monotonic()
            assert hammer(device.save_once if op == "save_once" else lambda: control(device), 4.0) > 6
            reports, took = server.firmware.requests[asked:].count("report"), time.monotonic() - begun
            frames, total = len(record.frames), device._account.total
        # of eight deadlines or more; starved, nearly all would be late, and a busy machine may cost some
        assert record.lost("late") <= total / 2
        assert frames >= total / 2 - 1  # one may be under way
        if op == "save_once":
            assert reports <= took / 0.15 + total + 4  # one more reading is for all who wait


def test_polls_that_commands_hold_up_say_so(tmp_path):
    def behave(peer, conn):
        for request in peer.lines(conn):
            if request.startswith("pid"):
                time.sleep(1.0)
            answer = report(peer.now()) if request == "report" else "{}"
            conn.sendall(answer.encode() + b"\n")

    with Peer(behave) as peer, running(tmp_path, peer.port, timeout_s=10, allow_control=True) as (device, record):
        until(lambda: record.frames, "a reading")
        control(device).result(30)
        until(lambda: record.lost("late") >= 8, "the polls of a second")
    assert "commands were served" in {loss.detail for loss in record.losses}


def test_reports_alone_are_no_answer_however_many(tmp_path):
    def behave(peer, conn):
        for request in peer.lines(conn):
            for _ in range(1000 if request.startswith("pid") else 1):
                conn.sendall((report(peer.now()) if request[0] in "pr" else '{"error": "no"}').encode() + b"\n")
                time.sleep(0.05 if request.startswith("pid") else 0)

    with Peer(behave) as peer, running(tmp_path, peer.port, timeout_s=0.3, allow_control=True) as (device, record):
        until(lambda: record.frames, "a reading")
        begin = time.monotonic()
        with pytest.raises(RigbusError, match="whether it was done is not known"):
            control(device).result(60)
        assert time.monotonic() - begin < 10  # of 50 s that the device would go on


def test_what_waits_behind_a_poll_is_refused_in_time_and_never_sent(tmp_path):
    with Peer(good) as peer, running(tmp_path, peer.port, timeout_s=60, allow_control=True) as (device, record):
        until(lambda: record.frames, "a reading")
        peer.behave, asked = silent, len(peer.requests)
        peer.hang_up()
        until(lambda: len(peer.requests) > asked, "a poll that hangs")
        future = control(device)
        until(lambda: device.look() or future.done(), "an answer")
        assert "nothing was sent in time" in str(future.exception(0))
    assert not [line for line in peer.requests if line.startswith("pid")]


@pytest.mark.parametrize("mode", ["poll", "stream"])
def test_where_the_device_has_hung_up_meanwhile_a_command_is_sent_all_the_same(tmp_path, mode):
    """Nothing was sent on the old connection, so that it may go out on a new one."""
    with Server("old") as server:
        keys = {"period_s": 60, "timeout_s": 10, "allow_control": True, "mode": mode}
        with running(tmp_path, server.port, **keys) as (device, record):
            until(lambda: record.frames, "a reading")
            if mode == "poll":
                server.hang_up()
            assert control(device).result(30)["sent"] == "pid 0 kp 1.0"
            assert record.lost() == 0
        assert server.firmware.requests.count("pid 0 kp 1.0") == 1
    assert [json.loads(event.data_json).get("outcome") for event in record.events] == [None, "done"]


def test_the_last_error_goes_with_the_outage(tmp_path):
    with Peer(good) as peer, running(tmp_path, peer.port) as (device, record):
        until(lambda: record.frames, "a reading")
        peer.change(silent)
        until(lambda: device.status()["last_error"], "an outage")
        peer.change(good)
        until(lambda: device.status()["connected"], "connected again")
        assert device.status()["last_error"] == ""


def test_a_command_that_a_killed_daemon_was_about_is_closed_and_not_sent(tmp_path):
    folder = tmp_path / "d" / "thermostat"
    folder.mkdir(parents=True)
    command = {"op": "setpoint", "dialect": "new", "sent": "pid 0 target 20.0", "command_id": None}
    (folder / "bench.command").write_text(json.dumps(command))
    with Peer(good) as peer, running(tmp_path, peer.port) as (_, record):
        until(lambda: len(record.frames) >= 3, "readings")
        (event,) = record.events
    assert (event.event_type, event.detail) == ("control_outcome", "pid 0 target 20.0")
    assert json.loads(event.data_json)["outcome"] == "unknown"
    assert not [line for line in peer.requests if line.startswith("pid")]
    assert list(folder.iterdir()) == []


# ---- streaming and its fall-back


def dropping(server, times):
    """The shipped simulator, which drops this many answers to `report mode on` without a word, and does not stream."""
    execute = server.firmware._execute

    def drop(words, session):
        if words[:2] == ["report", "mode"] and times:
            times.pop()
            return []
        return execute(words, session)

    server.firmware._execute = drop


def test_one_answer_that_was_dropped_does_not_end_streaming(tmp_path):
    with Server("old") as server:
        dropping(server, [1, 2])
        with running(tmp_path, server.port, mode="stream", timeout_s=0.5) as (device, record):
            until(lambda: len(record.frames) >= 5, "readings")
            assert device.status()["mode"] == "stream"
    assert "polled instead" not in record.lines.getvalue()


def test_streaming_is_tried_again_later(tmp_path, monkeypatch):
    monkeypatch.setattr(device_module, "_STREAM_AGAIN_S", 2.0)
    with Server("old") as server:
        dropping(server, times := [1, 2, 3, 4])
        with running(tmp_path, server.port, mode="stream", timeout_s=0.3) as (device, record):
            until(lambda: len(times) == 1 and record.frames, "it is polled")
            assert device.status()["mode"] == "poll"
            until(lambda: device.status()["mode"] == "stream" and not times, "another attempt")
            until(lambda: device.status()["mode"] == "poll", "which is in vain")
            until(lambda: device.status()["mode"] == "stream", "and another")
            frames = len(record.frames)
            until(lambda: len(record.frames) > frames + 10, "it streams")
            assert device.status()["mode"] == "stream"
    assert record.lines.getvalue().count("polled instead") == 1


def test_asked_by_many_after_the_fall_back_no_reply_is_taken_for_another(tmp_path):
    with Server("new") as server:
        with running(tmp_path, server.port, mode="stream", timeout_s=10) as (device, record):
            until(lambda: len(record.frames) >= 2, "readings")
            assert hammer(device.save_once, 3.0) > 6
        assert server.accepted == 1
    assert record.events == []
    assert "stands still" not in record.lines.getvalue()
