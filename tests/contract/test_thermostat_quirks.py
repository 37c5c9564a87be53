"""Every oddity that the simulated thermostat can be given, and what the daemon's side makes of it."""

import itertools
import threading

import pytest
from thermostat_peers import running, until

from common.errors import RigbusError
from common.sims.thermostat import SOCKETS, Server, quirks_of
from common.thermostats.control import setting_of


@pytest.fixture
def server():
    with Server("old") as made:
        yield made


def more(record, n=3):
    """Until n more readings are there."""
    frames = len(record.frames)
    until(lambda: len(record.frames) >= frames + n, "more readings")


@pytest.mark.parametrize(
    ("quirk", "cause"),
    [
        ("drop_every=7", "timeout"),
        ("silent", "timeout"),
        ("error_every=7", "device_error"),
        ("frozen", "stale"),
        ("delay_s=0.5", "timeout"),
    ],
)
def test_missed_polls_have_a_cause_and_it_goes_on(tmp_path, server, quirk, cause):
    with running(tmp_path, server.port, period_s=0.2) as (_, record):
        more(record)
        server.firmware.quirks = quirks_of([quirk])
        until(lambda: record.lost(cause), "a poll lost")
        server.firmware.quirks = quirks_of([])
        more(record)
    assert server.firmware.quirks.drop_every == 0


def test_errors_in_doubled_braces(tmp_path, server):
    with running(tmp_path, server.port) as (_, record):
        more(record)
        server.firmware.quirks = quirks_of(["error_every=2", "doubled_braces"])
        until(lambda: record.lost("device_error"), "a poll lost")
    assert "unable to choose postfilter rate" in record.losses[0].detail


@pytest.mark.parametrize(("quirk", "flag"), [("no_thermistor=1", "null"), ("nan=1", "nan")])
def test_without_a_thermistor_there_is_a_null_and_a_flag(tmp_path, server, quirk, flag):
    server.firmware.quirks = quirks_of([quirk])
    with running(tmp_path, server.port, period_s=0.3) as (device, record):
        more(record)
        assert device.summary().endswith(" °C –")
    second = next(r for frame in record.frames for r in frame.readings if r["channel"] == 1)
    assert [second[name] for name in ("adc", "sens", "temperature")] == [None] * 3
    assert second["flags"] == [f"{name}: {flag}" for name in ("adc", "sens", "temperature")]
    assert record.lost() == record.lost("late")


def test_a_reboot_is_told_once_and_readings_go_on(tmp_path, server):
    server.firmware._booted -= 1000
    with running(tmp_path, server.port, period_s=0.2) as (_, record):
        more(record)
        server.reboot()
        until(lambda: record.events, "the reboot is told")
        more(record)
    assert [event.event_type for event in record.events] == ["reboot"]
    times = [frame.readings[0]["time"] for frame in record.frames]
    assert sum(b < a for a, b in itertools.pairwise(times)) == 1


def test_a_connection_that_was_closed_meanwhile_costs_no_poll(tmp_path, server):
    with running(tmp_path, server.port, period_s=0.5, timeout_s=10) as (_, record):
        for _ in range(3):
            more(record, 1)
            server.hang_up()
        more(record, 1)
    assert record.lost() == record.lost("late")
    assert record.lines.getvalue().count("\n") == 1


def test_no_socket_is_left_to_the_device(tmp_path, server):
    server.firmware.quirks = quirks_of(["drop_every=7"])
    with running(tmp_path, server.port, timeout_s=0.1) as (_, record):
        until(lambda: server.accepted > 2 * SOCKETS, "it connects more often than the device has sockets")
        server.firmware.quirks = quirks_of([])
        more(record)
        until(lambda: server.clients == 1, "one connection")
    until(lambda: server.clients == 0, "closed at the end")


def test_the_fourth_client_is_served_and_a_full_device_is_waited_for(tmp_path, server):
    server.refuse(True)
    with running(tmp_path, server.port) as (device, record):
        until(lambda: record.lost("refused"), "a poll lost")
        with pytest.raises(RigbusError, match="not connected"):
            device.save_once()
        server.refuse(False)
        more(record)


def test_a_stream_has_each_reading_once_and_knows_what_was_dropped(tmp_path, server):
    with running(tmp_path, server.port, mode="stream", timeout_s=5) as (device, record):
        more(record, 20)
        server.firmware.quirks.drop_every, pushed = 1, server.firmware.replies
        until(lambda: server.firmware.replies > pushed + 10, "ten reports are dropped")
        server.firmware.quirks.drop_every = 0
        until(lambda: record.lost("dropped") >= 4, "it is told by the device's time")
        more(record, 5)
        assert device.status()["mode"] == "stream"
        assert device.save_once().result(30)["readings"]
    for channel in (0, 1):
        times = [r["time"] for frame in record.frames for r in frame.readings if r["channel"] == channel]
        assert times == sorted(set(times))


def test_a_stream_that_ends_is_counted_and_begun_again(tmp_path, server):
    server.firmware._booted -= 1000
    with running(tmp_path, server.port, mode="stream", timeout_s=0.5) as (_, record):
        more(record)
        server.firmware.quirks.silent = True
        until(lambda: record.lost("timeout") >= 10, "readings of a second and more")
        server.firmware.quirks.silent = False
        more(record)
        server.firmware.quirks.frozen = True
        until(lambda: record.lost("timeout", "stale") >= 20, "more of them")
        server.firmware.quirks.frozen = False
        more(record)
        server.reboot()
        until(lambda: record.events, "the reboot is told")
        more(record)


def test_commands_of_many_at_once_are_answered_one_by_one(tmp_path, server):
    server.firmware.quirks.delay_s = 0.05
    done, refused = [], []

    def ask(n):
        try:
            setting = setting_of("pid", {"channel": 0, "kp": n})[1]
            done.append(device.control(setting).result(30)["sent"] if n % 2 else device.save_once().result(30))
        except RigbusError as e:
            refused.append(str(e))

    with running(tmp_path, server.port, period_s=60, timeout_s=10, allow_control=True) as (device, record):
        more(record, 1)
        threads = [threading.Thread(target=ask, args=(n,)) for n in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len(done) + len(refused) == 30
    assert len(done) >= 8
    assert set(refused) <= {"bench: 8 commands wait already"}
    sent = [line for line in server.firmware.requests if line.startswith("pid")]
    assert sorted(sent) == sorted(line for line in done if isinstance(line, str))


def test_a_command_to_a_device_that_falls_silent_is_not_sent_again(tmp_path, server):
    with running(tmp_path, server.port, period_s=60, timeout_s=0.3, allow_control=True) as (device, record):
        more(record, 1)
        server.firmware.quirks.silent = True
        with pytest.raises(RigbusError, match="was sent once, whether it was done is not known"):
            device.control(setting_of("pid", {"channel": 0, "kp": 1})[1]).result(30)
        with pytest.raises(RigbusError, match="not connected"):
            device.control(setting_of("pid", {"channel": 0, "kp": 1})[1])
    assert [line for line in server.firmware.requests if line.startswith("pid")] == ["pid 0 kp 1.0"]
    assert [event.event_type for event in record.events] == ["control_intent", "control_outcome"]


def test_a_stop_ends_commands_that_wait(tmp_path, server):
    server.firmware.quirks.delay_s = 0.2
    with running(tmp_path, server.port, period_s=60, timeout_s=30) as (device, record):
        more(record, 1)
        server.firmware.quirks.silent = True
        futures = [device.save_once() for _ in range(5)]
    assert all(isinstance(future.exception(1), RigbusError) for future in futures)
