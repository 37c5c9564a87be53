"""Control commands: the words of each dialect, and what is refused before anything is sent."""

import math
import os
import time
from types import SimpleNamespace

import msgspec
import pytest

from common.errors import RigbusError
from common.frames import Event
from common.sims.thermostat_firmware import Firmware, Session
from common.thermostats.commands import MAX_WAITING, Commands
from common.thermostats.control import setting_of
from common.thermostats.link import LinkError, Stopped, TimedOut, TooLate
from common.thermostats.mark import Mark
from common.thermostats.protocol import Done, Listing, Refusal, Warned
from common.thermostats.setting import carry_out, close_left_open


def words(op, dialect="new", **request):
    return setting_of(op, request)[1].words(dialect)


@pytest.mark.parametrize(
    ("op", "request_", "old", "new"),
    [
        ("pid", {"kp": 1}, "pid 0 kp 1.0", "pid 0 kp 1.0"),
        ("pid", {"kd": 1e-9}, "pid 0 kd 0.000000001", "pid 0 kd 0.000000001"),
        ("pid", {"ki": -12345.678}, "pid 0 ki -12345.678", "pid 0 ki -12345.678"),
        ("pid", {"output_min": -2}, "pid 0 output_min -2.0", "pid 0 output_min -2.0"),
        ("pid", {"target": 21.5}, "pid 0 target 21.5", "pid 0 target 21.5"),
        ("setpoint", {"celsius": 21.5}, "pid 0 target 21.5", "pid 0 target 21.5"),
        ("output", {"pid": True}, "pwm 0 pid", "output 0 pid"),
        ("output", {"i_set": 0}, "pwm 0 i_set 0.0", "output 0 i_set 0.0"),
        ("output", {"max_v": 4.0}, "pwm 0 max_v 4.0", "output 0 max_v 4.0"),
        ("output", {"max_i_neg": 1.5}, "pwm 0 max_i_neg 1.5", "output 0 max_i_neg 1.5"),
        ("save", {}, "save 0", "save 0"),
    ],
)
def test_words(op, request_, old, new):
    request = {"device": "bench", "channel": 0, **request_}
    assert (words(op, "old", **request), words(op, "swap", **request), words(op, **request)) == (old, old, new)
    assert setting_of(op, request)[0] == "bench"


def test_polarity_is_a_word_of_the_new_firmware_alone():
    assert words("output", channel=1, polarity="reversed") == "output 1 polarity reversed"
    for dialect in ("old", "swap"):
        with pytest.raises(RigbusError, match="no polarity"):
            words("output", dialect, channel=1, polarity="reversed")


@pytest.mark.parametrize("op", ["pid", "output", "setpoint", "save"])
def test_the_record_has_the_op_that_was_asked_for(op):
    fields = {"pid": {"target": 20}, "output": {"pid": True}, "setpoint": {"celsius": 20}, "save": {}}[op]
    assert setting_of(op, {"channel": 0, **fields})[1].op == op


def test_a_bare_save_has_two_replies():
    assert setting_of("save", {})[1].replies == 2
    assert setting_of("save", {"channel": 1})[1].replies == 1
    assert setting_of("save", {"command_id": "c"})[1].command_id == "c"


@pytest.mark.parametrize(
    ("op", "request_", "why"),
    [
        ("pid", {}, "exactly one of target, kp"),
        ("pid", {"kp": 1, "ki": 1}, "exactly one of .*, not 2"),
        ("pid", {"kp": math.nan}, "kp: nan is not a finite number"),
        ("pid", {"ki": math.inf}, "not a finite number"),
        ("pid", {"target": 1000}, "target: 1000 °C is not within -100 to 200 °C"),
        ("pid", {"target": math.nan}, "not a finite number"),
        ("pid", {"output_max": 2.01}, "output_max: 2.01 A is not within -2 to 2 A"),
        ("pid", {"kp": 1, "channel": 2}, "channel: there are 0 and 1, not 2"),
        ("pid", {"kp": 1, "channel": -1}, "channel"),
        ("pid", {"kd": 1e-300}, "kd: that number has too many digits"),
        ("setpoint", {"celsius": -math.inf}, "not a finite number"),
        ("output", {}, "exactly one of pid, i_set"),
        ("output", {"pid": False}, "pid: only true"),
        ("output", {"i_set": -2.5}, "i_set: -2.5 A is not within -2 to 2 A"),
        ("output", {"max_i_neg": -1}, "max_i_neg: -1 A is not within 0 to 2 A"),
        ("output", {"max_i_pos": 3}, "max_i_pos"),
        ("output", {"max_v": 4.4}, "max_v: 4.4 V is not within 0 to 4.3 V"),
        ("output", {"max_v": -1}, "max_v"),
        ("save", {"channel": 5}, "channel"),
    ],
)
def test_what_is_refused(op, request_, why):
    with pytest.raises(RigbusError, match=why):
        words(op, **{"channel": 0, **request_})


def test_older_firmware_has_wider_limits_and_an_unknown_one_no_word_for_the_output():
    assert words("output", "old", channel=0, i_set=3) == "pwm 0 i_set 3.0"
    assert words("pid", "unknown", channel=0, kp=3) == "pid 0 kp 3.0"
    with pytest.raises(RigbusError, match="dialect is not known"):
        words("output", "unknown", channel=0, i_set=1)
    with pytest.raises(RigbusError, match="not within"):
        words("pid", "unknown", channel=0, output_min=-3)


@pytest.mark.parametrize(
    ("op", "request_"),
    [
        ("pid", {"kp": 1}),
        ("pid", {"channel": "0", "kp": 1}),
        ("pid", {"channel": 0, "kp": "1"}),
        ("pid", {"channel": 0, "kp": True}),
        ("pid", {"channel": 0.5, "kp": 1}),
        ("pid", {"channel": 0, "kp": 1, "device": 7}),
        ("output", {"channel": 0, "pid": 1}),
        ("output", {"channel": 0, "polarity": "sideways"}),
        ("setpoint", {"channel": 0}),
        ("save", {"channel": "x"}),
    ],
)
def test_a_wrong_form(op, request_):
    with pytest.raises(msgspec.ValidationError):
        setting_of(op, request_)


@pytest.mark.parametrize("value", [1e-7, 123456.789, -0.1, 3e5, 2, 1 / 3])
def test_the_firmware_reads_the_number_that_was_meant(value):
    """It knows no exponents: it would read 1e-07 as 1."""
    firmware = Firmware("new", time.monotonic)
    line = words("pid", channel=1, kp=value)
    assert Session(firmware).feed(line.encode() + b"\n") == [b"{}"]
    assert firmware.channels[1].pid["kp"] == value
    Session(firmware).feed(b"pid 1 kp 1e-7\n")
    assert firmware.channels[1].pid["kp"] == 1.0


LATEST_NS = 7


class FakeLink:
    timeout_s = 10.0

    def __init__(self, *replies, flush=None, send=None):
        self.replies, self.sent, self.faults, self.begun = list(replies), [], {"flush": flush, "send": send}, False

    def _do(self, what):
        if self.faults[what] is not None:
            raise self.faults[what]

    def flush(self):
        self.begun = False
        self._do("flush")

    def send(self, line, not_after_ns):
        assert not_after_ns == LATEST_NS
        self._do("send")
        self.sent.append(line)
        self.begun = True

    def reply(self, what, deadline):
        assert deadline <= time.monotonic() + self.timeout_s
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


class FakeMark:
    def __init__(self):
        self.steps = []

    def begin(self, command):
        self.steps.append(command)

    def end(self):
        self.steps.append("end")


class FakeRuntime:
    def __init__(self, *, commits=True):
        self.events, self.commits, self.mark = [], commits, FakeMark()

    def publish(self, event):
        assert isinstance(event, Event)
        self.events.append(event)
        return len(self.events)

    def committed(self, seq):
        assert seq == len(self.events)
        return self.commits

    def told(self):
        data = [msgspec.json.decode(event.data_json) for event in self.events]
        return [(e.event_type, d.get("outcome"), e.level) for e, d in zip(self.events, data, strict=True)]


def carried_out(link, rt=None, **request):
    rt = rt or FakeRuntime()
    request = request or {"channel": 0, "kp": 1}
    setting = setting_of("save" if "kp" not in request else "pid", request)[1]
    try:
        return rt, carry_out(rt, rt.mark, "bench", setting, "new", link, LATEST_NS)
    except RigbusError as e:
        return rt, e


def test_intent_and_outcome_are_recorded():
    link = FakeLink(Done({}))
    rt, answer = carried_out(link, channel=0, kp=1, command_id="c7")
    assert answer == {"device": "bench", "dialect": "new", "sent": "pid 0 kp 1.0", "warnings": []}
    assert rt.told() == [("control_intent", None, "info"), ("control_outcome", "done", "info")]
    assert {(e.source, e.detail, e.correlation_id) for e in rt.events} == {("bench", "pid 0 kp 1.0", "c7")}
    assert link.sent == ["pid 0 kp 1.0"]


def test_without_a_recorded_intent_nothing_is_sent():
    link = FakeLink()
    rt, error = carried_out(link, FakeRuntime(commits=False))
    assert "could not be recorded" in str(error)
    assert link.sent == []
    assert rt.told()[1] == ("control_outcome", "not sent", "warning")


def test_a_refusal_of_the_device_is_the_reply():
    rt, error = carried_out(FakeLink(Refusal("invalid input")))
    assert str(error) == "bench: the device refuses 'pid 0 kp 1.0': invalid input"
    assert not isinstance(error, LinkError)
    assert rt.told()[1] == ("control_outcome", "refused", "warning")


@pytest.mark.parametrize(
    "faults",
    [
        {"flush": LinkError("the device closed the connection")},
        {"send": TooLate("nothing was sent in time")},
        {"send": TimedOut("no room")},
        {"send": Stopped("the daemon stops")},
    ],
    ids=str,
)
def test_what_was_not_sent_is_not_said_to_have_been(faults):
    (fault,) = faults.values()
    link = FakeLink(**faults)
    rt, error = carried_out(link)
    assert type(error) is type(fault)
    assert str(error) == f"bench: 'pid 0 kp 1.0' was not sent: {fault}"
    assert link.sent == []
    assert rt.told()[1] == ("control_outcome", "not sent", "warning")


def test_replies_that_are_none_have_one_time_out_together():
    class Talking(FakeLink):
        timeout_s = 0.1

        def reply(self, what, deadline):
            return Listing([])

    rt, error = carried_out(Talking())
    assert type(error) is TimedOut
    assert "only reports" in str(error)
    assert rt.told()[1] == ("control_outcome", "unknown", "warning")


def test_a_command_is_marked_from_its_intent_to_its_recorded_outcome():
    rt, _ = carried_out(FakeLink(Done({})), channel=0, kp=1, command_id="c7")
    assert rt.mark.steps == [{"op": "pid", "dialect": "new", "sent": "pid 0 kp 1.0", "command_id": "c7"}, "end"]
    rt, _ = carried_out(FakeLink(), FakeRuntime(commits=False))
    assert rt.mark.steps[1:] == []  # the next start records what this one could not


def test_what_a_killed_daemon_was_about_is_closed_as_unknown(tmp_path):
    mark, rt = Mark(tmp_path / "t", "bench"), FakeRuntime()
    close_left_open(rt, mark, "bench")
    assert rt.events == []
    mark.begin({"op": "pid", "dialect": "new", "sent": "pid 0 kp 1.0", "command_id": "c7"})
    for _ in range(2):
        close_left_open(rt, Mark(tmp_path / "t", "bench"), "bench")
    (event,) = rt.events
    assert rt.told() == [("control_outcome", "unknown", "warning")]
    assert (event.source, event.detail, event.correlation_id) == ("bench", "pid 0 kp 1.0", "c7")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"op": 7, "sent": null}', "\xff"])
def test_a_mark_that_was_cut_does_not_keep_it_from_starting(tmp_path, text):
    (tmp_path / "bench.command").write_bytes(text.encode("latin-1"))
    close_left_open(FakeRuntime(), Mark(tmp_path, "bench"), "bench")


def test_a_folder_that_takes_no_files_costs_nothing_else(tmp_path):
    (tmp_path / "t").write_text("a file")
    mark = Mark(tmp_path / "t", "bench")
    mark.begin({"op": "pid"})
    assert mark.left_open() is None
    mark.end()


@pytest.mark.parametrize("fault", [TimedOut("no answer"), LinkError("gone"), Stopped("the daemon stops")])
def test_without_an_answer_it_is_not_sent_again_and_nobody_says_it_was_done(fault):
    link = FakeLink(fault)
    rt, error = carried_out(link)
    assert type(error) is type(fault)
    assert "whether it was done is not known" in str(error)
    assert len(link.sent) == 1
    assert rt.told()[1] == ("control_outcome", "unknown", "warning")


def test_warnings_are_passed_on_and_reports_are_no_answer():
    rt, answer = carried_out(FakeLink(Listing([]), Warned("no fan"), Listing([]), Done({})), device="bench")
    assert answer["warnings"] == ["no fan"]
    assert rt.told()[1] == ("control_outcome", "done", "info")


@pytest.fixture
def commands():
    fd = os.eventfd(0)
    yield SimpleNamespace(queue=Commands("bench", fd), stop=lambda: os.eventfd_write(fd, 1))
    os.close(fd)


def test_the_queue_is_bounded_and_every_future_is_completed(commands):
    queue = commands.queue
    futures = [queue.put(lambda link: {}, 60) for _ in range(MAX_WAITING)]
    with pytest.raises(RigbusError, match="8 commands wait already"):
        queue.put(lambda link: {}, 60)
    assert queue.to_run
    assert queue.take().future is futures[0]
    queue.close()
    assert all("daemon stops" in str(f.exception(0)) for f in futures[1:])
    assert queue.take() is None
    assert not queue.to_run
    with pytest.raises(RigbusError, match="daemon stops"):
        queue.put(lambda link: {}, 60)


def test_what_is_not_begun_in_time_is_not_begun(commands):
    early, later = (commands.queue.put(lambda link: {}, patience) for patience in (-1, 60))
    assert commands.queue.take().future is later  # whether or not expire() has come by
    assert "nothing was sent in time" in str(early.exception(0))
    other = commands.queue.put(None, -1)
    commands.queue.expire()
    assert "no new reading in time" in str(other.exception(0))


def test_who_waits_is_told_where_there_is_no_reading_to_come(commands):
    command, waiting = commands.queue.put(lambda link: {}, 60), commands.queue.put(None, 60)
    commands.queue.disappoint("no answer")
    assert str(waiting.exception(0)) == "bench: no answer"
    assert not command.done()


def test_who_waits_for_a_reading_is_not_taken_for_a_command(commands):
    waiting = commands.queue.put(None, 60)
    assert commands.queue.reading_wanted
    assert not commands.queue.to_run
    assert commands.queue.take() is None
    commands.queue.tell({"readings": [1]})
    assert waiting.result(0) == {"readings": [1]}


def test_a_stop_ends_every_wait(commands):
    commands.stop()
    with pytest.raises(Stopped):
        commands.queue.wait(60)
    with pytest.raises(Stopped):
        commands.queue.wait_for_stop(60)
