"""Every dialect, of the shipped simulator and of foreign servers that are not made with its code: the same account."""

import json

import pytest
from msgspec import UNSET
from thermostat_peers import Peer, report, running, until

from common.errors import RigbusError
from common.sims.thermostat import Server
from common.thermostats.control import setting_of

DIALECTS = ("old", "swap", "new")


def foreign(dialect, strange=()):
    """A server of one dialect, by the table of the facts alone; the settings that it takes go to `peer.settings`."""
    word = "output" if dialect == "new" else "pwm"
    extra = {"swap": {"current_swapped": False}, "old": {"vref": 1.5}}.get(dialect, {})

    def behave(peer, conn):
        for request in peer.lines(conn):
            words = request.split()
            if words == ["report"]:
                answers = [report(peer.now(), **extra)]
            elif words == [word]:
                flat = {"channel": 0, "i_set": 0.0, "max_v": 4.0}
                nested = {"channel": 0, "i_set": {"value": 0.0, "max": 3.0}}
                answers = [json.dumps([flat if dialect == "new" else nested])]
            elif words[:2] == ["report", "mode"] and dialect != "new":
                answers = ["{}", *(report(peer.now() + n / 100, **extra) for n in range(5))]
            elif words[0] in ("pid", word) and len(words) > 2:
                answers = ["{}"]
            elif words[0] == "save":
                answers = ["{}"] * (1 if words[1:] else 2)
            else:
                answers = ['{ "error": "invalid input" }']
            for answer in answers:
                conn.sendall(answer.encode())
                conn.sendall(b"\n")

    return behave


@pytest.fixture(params=["simulated", "foreign"])
def server(request):
    """Starts a thermostat of a dialect; `port` and `requests` of what it gives."""
    made = []

    class Simulated(Server):
        @property
        def requests(self):
            return self.firmware.requests

    def start(dialect):
        made.append(Simulated(dialect).start() if request.param == "simulated" else Peer(foreign(dialect)))
        return made[-1]

    yield start
    for each in made:
        each.close()


def ask(device, op, **request):
    """A control command, as the daemon's handler passes it on."""
    return device.control(setting_of(op, request)[1]).result(timeout=30)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_it_is_told_by_probing_and_logged(tmp_path, server, dialect):
    with running(tmp_path, server(dialect).port, period_s=0.3, timeout_s=10) as (device, record):
        until(lambda: len(record.frames) >= 3, "readings")
        assert device.status()["dialect"] == dialect
    assert {frame.dialect for frame in record.frames} == {dialect}
    assert all([r["channel"] for r in frame.readings] == [0, 1] for frame in record.frames)
    times = [frame.readings[0]["time"] for frame in record.frames]
    assert times == sorted(set(times))
    fields = {name for frame in record.frames for r in frame.readings for name in r}
    assert ("current_swapped" in fields) == (dialect == "swap")
    assert ("vref" in fields) == (dialect == "old")
    assert record.lost() == record.lost("late")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_probing_changes_nothing(tmp_path, server, dialect):
    peer = server(dialect)
    with running(tmp_path, peer.port, timeout_s=10) as (_, record):
        until(lambda: record.frames, "a reading")
    assert set(peer.requests) <= {"report", "output", "pwm"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_commands_have_the_dialects_own_words(tmp_path, server, dialect):
    peer, word = server(dialect), "output" if dialect == "new" else "pwm"
    with running(tmp_path, peer.port, timeout_s=10, allow_control=True) as (device, record):
        until(lambda: record.frames, "a reading")
        sent = [
            ask(device, "pid", channel=0, kp=0.5)["sent"],
            ask(device, "setpoint", channel=1, celsius=-3)["sent"],
            ask(device, "output", channel=1, pid=True)["sent"],
            ask(device, "output", channel=0, i_set=-1.25)["sent"],
            ask(device, "output", channel=0, max_i_neg=1)["sent"],
            ask(device, "save", channel=1)["sent"],
            ask(device, "save")["sent"],
        ]
        frames = len(record.frames)
        until(lambda: len(record.frames) > frames, "reports are still answers to their own requests")
    assert sent == [
        "pid 0 kp 0.5", "pid 1 target -3.0", f"{word} 1 pid", f"{word} 0 i_set -1.25", f"{word} 0 max_i_neg 1.0",
        "save 1", "save",
    ]  # fmt: skip
    assert [r for r in peer.requests if r not in ("report", "output", "pwm")] == sent  # each once
    assert [e.event_type for e in record.events] == ["control_intent", "control_outcome"] * len(sent)
    assert [e.detail for e in record.events[::2]] == sent


@pytest.mark.parametrize("dialect", DIALECTS)
def test_streaming_where_the_firmware_has_it(tmp_path, server, dialect):
    peer = server(dialect)
    with running(tmp_path, peer.port, mode="stream", timeout_s=10, allow_control=True) as (device, record):
        until(lambda: len(record.frames) >= 3, "readings")
        assert device.status()["mode"] == ("poll" if dialect == "new" else "stream")
        assert ask(device, "pid", channel=0, kp=1)["sent"] == "pid 0 kp 1.0"
    assert ("report mode on" in peer.requests) == (dialect != "new")
    assert record.lines.getvalue().count("no stream, polled instead") == (dialect == "new")
    assert record.lost() == record.lost("late", "dropped")


@pytest.mark.parametrize(
    "answer", ["", "blah", "{{}", '{"error": "no"}'], ids=["nothing", "no JSON", "braces", "error"]
)
def test_a_stream_that_does_not_begin_is_polled_instead(tmp_path, answer):
    def behave(peer, conn):
        for request in peer.lines(conn):
            line = {"report": report(peer.now()), "pwm": '[{"channel": 0}]', "report mode on": answer}.get(
                request, "{}"
            )
            conn.sendall(line.encode() + b"\n")

    with Peer(behave) as peer, running(tmp_path, peer.port, mode="stream") as (device, record):
        until(lambda: len(record.frames) >= 3, "readings")
        assert device.status()["mode"] == "poll"
        assert device.save_once().result(30)["readings"]
    assert record.lines.getvalue().count("polled instead") == 1


@pytest.mark.parametrize(
    ("answer", "dialect"),
    [
        (lambda peer, request: '{ "error": "invalid input" }', "unknown"),
        (lambda peer, request: "ERR no such command", "unknown"),
        (lambda peer, request: report(peer.now()), "unknown"),
        (lambda peer, request: "[]", "unknown"),
        (lambda peer, request: '[{"channel": 0}]' if request == "pwm" else "{}", "old"),
        (lambda peer, request: None, "unknown"),
    ],
    ids=["errors", "no JSON", "reports", "empty lists", "pwm", "nothing"],
)
def test_a_device_that_answers_only_reports_is_read(tmp_path, answer, dialect):
    def behave(peer, conn):
        for request in peer.lines(conn):
            line = report(peer.now()) if request == "report" else answer(peer, request)
            if line is not None:
                conn.sendall(line.encode() + b"\n")

    with Peer(behave) as peer, running(tmp_path, peer.port, allow_control=True) as (device, record):
        until(lambda: len(record.frames) >= 3, "readings")
        assert device.status()["dialect"] == dialect
        if dialect == "unknown":
            with pytest.raises(RigbusError, match="dialect is not known"):
                ask(device, "output", channel=0, pid=True)


def test_the_dialect_is_probed_again_after_a_reconnection_and_a_reboot(tmp_path):
    with Peer(foreign("old")) as peer, running(tmp_path, peer.port) as (_, record):
        peer.began -= 1e6
        until(lambda: record.frames, "a reading")
        peer.change(foreign("new"))
        until(lambda: record.frames[-1].dialect == "new", "the other dialect")
        assert not record.events
        peer.behave = foreign("swap")
        peer.began += 1e6  # its time goes back, though the connection stays
        until(lambda: record.events, "the reboot is told")
        until(lambda: record.frames[-1].dialect == "swap", "it asks again")
    event = record.events[0]
    assert (event.event_type, event.source, event.level) == ("reboot", "bench", "warning")
    assert event.detail.startswith("its time went back from ")
    assert event.correlation_id in (None, UNSET)
    assert record.lines.getvalue().count("rebooted") == 1
